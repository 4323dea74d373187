"""What every domain is: the shape of its examples, of its verdicts and of its module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Protocol, TypedDict

METRICS = ("accuracy", "tokens_per_second")
"""What every evaluation shows."""


class Example(TypedDict):
    """One row of `data/DOMAIN/{train,dev,test}.jsonl`."""

    id: str
    messages: list[dict[str, str]]
    """OpenAI form; for training the last is the assistant's answer, for evaluation the check never reads them."""
    reference: str
    """The gold answer as text."""
    meta: dict[str, Any]
    """What the check needs beyond the reference, `family` (the template family, for splits and clustering),
    `slice` (a named part of a split that is reported in a row of its own) and, where the domain has LEVELS, `level`."""


def asked(example: Example) -> list[dict[str, str]]:
    """The messages that a model is asked: the example's own without the closing answer."""
    messages = example["messages"]
    while messages and messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    return messages


def last_said(messages: Sequence[Mapping[str, str]]) -> str:
    """The last thing a user says; empty where no user speaks."""
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")


def question(example: Example) -> str:
    """The last thing a user says in an example; empty where no user speaks."""
    return last_said(example["messages"])


@dataclass(frozen=True)
class Verdict:
    """What a check says of one answer."""

    score: float
    """In [0, 1]."""
    passed: bool
    reason: str
    """One of the domain's REASONS; `ok` when passed and nothing is to be said."""
    detail: dict[str, Any] = field(default_factory=dict)
    """Says it in words under `message`, and whatever the domain adds."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)


@dataclass(frozen=True)
class Solution:
    """What a domain knows of a question without a model: enough to judge an answer, and an answer of its own where it can."""

    text: str
    """Steps and final answer, in the form the model is trained to write; empty where there is no answer of its own."""
    reference: str
    """The answer alone, as an example's `reference` holds it."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What the check needs beyond the reference, as an example's `meta` holds it."""


@dataclass(frozen=True)
class Card:
    """What a demo page shows of a domain."""

    title: str
    description: str
    examples: tuple[str, ...]
    """Questions one can click."""
    answer_format: str = "markdown"
    checker: str = "the check"
    """Who checks, as a person would say it: `SymPy`."""


class Domain(Protocol):
    """The attributes of a domain's package (`domains/NAME/__init__.py`); two are optional: `negatives` (see below), `again` (`domains/review.py`)."""

    NAME: str
    SYSTEM_PROMPT: str
    """Baked into an adapter's chat template, so serving renders the same tokens."""
    REASONS: dict[str, str]
    """Every `Verdict.reason` with a line that explains it."""
    SLICES: dict[str, str]
    """Every `meta["slice"]` of the test set with a line that says what it holds."""
    LEVELS: dict[str, str]
    """Every `meta["level"]` (difficulty, curriculum) from first to last with a line that explains it; empty where there are none."""
    METRICS: tuple[str, ...]
    """Rows of `evalsuite.metrics.METRICS` that its evaluations show: `METRICS` of this module where nothing more tells."""
    CARD: Card

    def messages(self, question: str) -> list[dict[str, str]]:
        """The messages that put a user's question to the model (without the system prompt: the template brings it)."""
        ...

    def question(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The question in a conversation, as `solve` takes it: what `messages` made messages of. Most often `last_said`."""
        ...

    def build(self, seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
        """`{"train": [...], "dev": [...], "test": [...]}` with n training examples (fewer where the stock is finite); the same bytes for the same seed.

        Of `levels` alone, or of all. Raises UnknownName for a level that is not in LEVELS.
        """
        ...

    def check(self, prediction: str, example: Example) -> Verdict:
        """Judge one answer. Needs no model, no network and no other example; never raises on hostile text."""
        ...

    def solve(self, question: str) -> Solution | None:
        """What to judge an answer by, without a model (math: SymPy), or None where the domain cannot."""
        ...

    def inspect(self, messages: Sequence[Mapping[str, str]], answer: str) -> Verdict | None:
        """What an answer shows of itself where `solve` has nothing to compare it with: its steps, its citations, whether clingo runs it.

        Passed says that nothing was found wrong, not that it is right. None where nothing can be checked. Never raises on hostile text.
        """
        ...


def negatives(domain: Domain, example: Example, rng: Random) -> list[tuple[str, str]]:
    """`(kind, text)` of answers that look like the example's own and are known to be wrong.

    From the optional attribute of a domain `negatives(example, rng) -> Iterator[tuple[str, str]]`; none where it has none.
    """
    make = getattr(domain, "negatives", None)
    return [] if make is None else list(make(example, rng))


def judge(domain: Domain, question: str, answer: str, solution: Solution) -> Verdict:
    """Check an answer to a question that nobody prepared against what the domain itself knows of it."""
    messages = domain.messages(question)
    return domain.check(
        answer, {"id": "asked", "messages": messages, "reference": solution.reference, "meta": solution.meta}
    )
