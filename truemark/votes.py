"""What people say of two answers to one question: written by the demos, read by the statistics and as preference pairs.

    with open_store("results/votes.sqlite") as store:           # or postgresql://user@host/name
        store.offer([Item("math", prompt, Answer(...), Answer(...))])
        task = store.queue("ada", 1)[0]                         # task.left and task.right: two texts, no names
        store.add("ada", task.item, "left")
        store.votes("math")                                     # of each annotator and item the last word

Blind: who shows a task never holds what produced which side. Sides are drawn from the store's seed, by annotator and item, so a
page that was reloaded shows the same ones; the vote keeps them, so that a taste for the left can be seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from truemark.chat import Message
from truemark.errors import InvalidData, MissingDependency
from truemark.files import sha256_json

if TYPE_CHECKING:
    from truemark.votes_sql import Store

STORE = "results/votes.sqlite"
"""Where votes lie when no URL is given, relative to the working directory."""
ENOUGH = 2
"""Annotators of an item from which on their agreement can be measured."""
RATINGS = range(1, 6)
LONGEST_NAME = 200
Choice = Literal["a", "b", "tie"]
Shown = Literal["left", "right", "tie"]


@dataclass(frozen=True)
class Answer:
    """One of the two, and what produced it."""

    text: str
    ref: str
    """Model reference as the user wrote it."""
    sha256: str
    """Hash of the weights, as in a prediction's `model_sha256`: what a leaderboard's row is joined by."""
    label: str = ""
    """Name for a table (the artifact's id); the reference where empty."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _unicode(self.text))

    @property
    def name(self) -> str:
        """Label, else reference."""
        return self.label or self.ref


@dataclass(frozen=True)
class Item:
    """A question and two answers: what one vote is about."""

    domain: str
    prompt: Sequence[Message]
    """The messages that were asked."""
    a: Answer
    b: Answer
    example: str | None = None
    """Id of the example in the domain's data; None for a question that somebody typed."""

    def __post_init__(self) -> None:
        prompt = [{"role": message["role"], "content": _unicode(message["content"])} for message in self.prompt]
        object.__setattr__(self, "prompt", prompt)

    @cached_property
    def id(self) -> str:
        """By content: the same pair offered twice, in either order, is one item."""
        answers = sorted([one.sha256, one.text] for one in (self.a, self.b))
        return sha256_json([self.domain, self.question, self.example, answers])

    @cached_property
    def question(self) -> str:
        """Hash of what was asked: items with one question rise and fall together, and are resampled together."""
        return sha256_json(self.prompt)


@dataclass(frozen=True)
class Task:
    """An item as an annotator may see it."""

    item: str
    """`Item.id`."""
    domain: str
    prompt: Sequence[Message]
    left: str
    right: str


@dataclass(frozen=True)
class Vote:
    """What one annotator said of one item."""

    item: Item
    annotator: str
    """A name or an anonymous id (see `anonymous`)."""
    choice: Choice
    """Of the item's own a and b, whatever side they were shown on."""
    left: Literal["a", "b"]
    """Which of the two was shown on the left."""
    rating_a: int | None
    """1 to 5; None where none was given."""
    rating_b: int | None
    created: str
    """UTC, ISO 8601."""
    revision: int = 1
    """Rises when an annotator changes the vote; what it replaced stays in the store."""


@dataclass(frozen=True)
class Progress:
    """How far the judging of a domain is."""

    domain: str
    items: int
    votes: int
    """The last word of each annotator on each item."""
    annotators: int
    by_annotators: dict[int, int]
    """Number of annotators → items that have so many."""

    @property
    def enough(self) -> int:
        """Items with at least ENOUGH annotators."""
        return sum(count for number, count in self.by_annotators.items() if number >= ENOUGH)


def _unicode(text: str) -> str:
    """As in a prediction: a lone surrogate, which is in no UTF-8 file, becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def anonymous() -> str:
    """A fresh id for an annotator without a name."""
    return f"anonymous-{secrets.token_hex(6)}"


def draw_left(seed: int, annotator: str, item: str) -> Literal["a", "b"]:
    """Which answer this annotator sees on the left: a fair draw, the same each time."""
    return "a" if int(sha256_json([seed, annotator, item])[:8], 16) % 2 == 0 else "b"


def check_annotator(name: str) -> str:
    """`name` without outer spaces. Raises InvalidData for one that is empty, too long or not printable."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidData(
            f"expected an annotator's name of 1 to {LONGEST_NAME} printable characters, found {name[:40]!r}",
            mend="leave the name out to vote with an anonymous id",
        )
    return name


def open_store(url: str = STORE, *, create: bool = True, seed: int | None = None, timeout: float = 10.0) -> Store:
    """Open the store at `url`: a file, `sqlite:///FILE` or `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE`.

    A store that is not there is made (unless `create` is off), with `seed` for its sides (default: drawn). `timeout` is in
    seconds: how long to wait for another writer. Raises MissingDependency for the extra or the driver, InvalidData for a URL that
    is none, a file that is no store and a store of another version, StorageError for one that is locked or out of reach.
    """
    try:
        from truemark.votes_sql import Store
    except ImportError as error:
        raise MissingDependency.extra(error.name or "sqlalchemy", "votes") from None
    return Store(url, create=create, seed=seed, timeout=timeout)
