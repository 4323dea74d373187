"""Does the test set measure what it says? Duplicates within a split, and what a test example shares with the training set.

Three measures, from strict to loose: the same messages; the same words whatever their case and punctuation; a window of 13 words in
common (Brown et al. 2020, arXiv:2005.14165, appendix C). Compared is what a model is asked: user turns, and the system text where it holds
the problem (what all examples begin with is left out). Windows are looked for in user and system text of the training set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from os.path import commonprefix

from domains.base import Example, asked, question

WINDOW = 13
"""Words."""
_WORD = re.compile(r"\d+(?:[.,:/]\d+)*|\w+|[-+*/=^%$<>|&~]")
Words = tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """Two examples that have too much in common."""

    kind: str
    """`exact`, `normalised` or `13-gram`."""
    left: str
    """`SPLIT:ID` of the example that must go."""
    right: str
    """`SPLIT:ID` of the one it repeats."""
    shared: str
    """What they have in common, shortened."""


def words(text: str) -> Words:
    """Casefolded words, numbers and operators; other punctuation is left out."""
    return tuple(_WORD.findall(text.casefold()))


def repeats_question(prediction: str, example: Example) -> bool:
    """Whether an answer is nothing but the question again, whose last number would else be taken for an answer."""
    text = question(example)
    if not text or len(prediction) > 2 * len(text) + 100:
        return False
    return words(prediction) == words(text)


def findings(splits: Mapping[str, Sequence[Example]]) -> Iterator[Finding]:
    """Every repetition within a split and between two, each example reported once by the strictest measure."""
    opening = _opening(splits)
    reported: set[str] = set()
    for split, examples in splits.items():
        yield from _once(_same({split: examples}, opening), reported)
    for one, other in combinations(splits, 2):
        yield from _once(_same({one: splits[one], other: splits[other]}, opening), reported)
    for held_out in (name for name in splits if name != "train" and "train" in splits):
        yield from _once(_windows(splits["train"], held_out, splits[held_out], opening), reported)


def overlap(train: Sequence[Example], test: Sequence[Example]) -> Iterator[Finding]:
    """Every test example that repeats a training example, reported once by the strictest measure."""
    splits = {"train": train, "test": test}
    opening = _opening(splits)
    reported: set[str] = set()
    between = (f for f in _same(splits, opening) if f.left.startswith("test:") and f.right.startswith("train:"))
    yield from _once(between, reported)
    yield from _once(_windows(train, "test", test, opening), reported)


def _once(found: Iterator[Finding], reported: set[str]) -> Iterator[Finding]:
    for finding in found:
        if finding.left not in reported:
            reported.add(finding.left)
            yield finding


def _opening(splits: Mapping[str, Sequence[Example]]) -> str:
    """What the system texts of all examples begin with: a persona, not a problem."""
    systems = [message["content"] for examples in splits.values() for e in examples for message in e["messages"][:1] if message["role"] == "system"]  # fmt: skip
    return commonprefix(systems) if systems else ""  # noqa: RUF071  texts, not paths


def _texts(example: Example, opening: str) -> list[str]:
    """The user's turns, and the part of the system text that is the example's own."""
    messages = asked(example)
    own = [m["content"].removeprefix(opening) for m in messages if m["role"] == "system"]
    return [text for text in (*own, *(m["content"] for m in messages if m["role"] == "user")) if text.strip()]


def _same(splits: Mapping[str, Sequence[Example]], opening: str) -> Iterator[Finding]:
    exact: dict[tuple[str, ...], str] = {}
    normalised: dict[tuple[Words, ...], str] = {}
    for split, examples in splits.items():
        for example in examples:
            here = f"{split}:{example['id']}"
            # the whole conversation: the same last turn after other turns is another question
            whole = tuple(f"{m['role']}\n{m['content']}" for m in asked(example))
            loose = tuple(words(text) for text in whole)
            shared = (_texts(example, opening) or [""])[-1][:120]
            if whole in exact:
                yield Finding("exact", here, exact[whole], shared)
            elif loose in normalised:
                yield Finding("normalised", here, normalised[loose], shared)
            exact.setdefault(whole, here)
            normalised.setdefault(loose, here)


def _windows(train: Sequence[Example], name: str, held_out: Sequence[Example], opening: str) -> Iterator[Finding]:
    seen: dict[Words, str] = {}
    for example in train:
        for text in _texts(example, opening):
            for window in _slide(words(text)):
                seen.setdefault(window, example["id"])
    for example in held_out:
        for text in _texts(example, opening):
            hit = next((window for window in _slide(words(text)) if window in seen), None)
            if hit is not None:
                yield Finding(f"{WINDOW}-gram", f"{name}:{example['id']}", f"train:{seen[hit]}", " ".join(hit))
                break


def _slide(found: Words) -> Iterator[Words]:
    return (found[start : start + WINDOW] for start in range(len(found) - WINDOW + 1))
