"""Contents × forms → train, dev and test, split by operation, template family and subject field, so that neither words nor templates leak.

A family is an ordered pair of forms of one operation. Dev and test have subject fields of their own; slice `sentences` puts them into
trained families, slice `operation` into operations that were never trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from random import Random
from typing import Any

from domains.base import Example
from domains.rewording.contents import draw
from domains.rewording.fields import of_split
from domains.rewording.grammar import Style, Unrenderable, operations, render
from truemark.errors import TruemarkError, UnknownName

EVAL_SIZE = {"dev": 120, "test": 320}
INSTRUCTION = "Reword: {}"
LEVELS: dict[str, str] = {}
HELD_OUT_SHARE = 3
"""One in so many examples of dev and test is of an operation that is not trained on."""


def build(seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
    """`n` training examples, 120 for dev and 320 for test; no sentence occurs twice. There are no levels: any name is unknown.

    The evaluation splits depend on the seed alone, not on n.
    """
    for level in levels:
        raise UnknownName("level", level, LEVELS)
    return {
        "train": _take(seed, "train", n),
        "dev": _take(seed, "dev", EVAL_SIZE["dev"]),
        "test": _take(seed, "test", EVAL_SIZE["test"]),
    }


def stream(seed: int, split: str) -> Iterator[Example]:
    """The examples of a split without end, as long as there are new sentences; `build` takes the first ones."""
    rng = Random(f"{seed}.rewording.{split}")
    taken: set[str] = set()
    for number in range(10**9):
        held_out = split != "train" and number % HELD_OUT_SHARE == 0
        names = [name for name, found in operations().items() if found["split"] == (split if held_out else "train")]
        operation = names[(number // HELD_OUT_SHARE if held_out else number) % len(names)]
        for _ in range(60):
            example = _draw(operation, split, "operation" if held_out else "sentences", rng)
            texts = {normalised(example["meta"]["source"]), normalised(example["reference"])} if example else set()
            if example and len(texts) == 2 and not texts & taken:
                break
        else:
            continue
        taken |= texts
        yield {**example, "id": f"rewording-{split}-{len(taken) // 2 - 1:05d}"}


def _take(seed: int, split: str, size: int) -> list[Example]:
    examples = [example for example, _ in zip(stream(seed, split), range(size), strict=False)]
    if len(examples) < size:
        raise TruemarkError(f"there are only {len(examples)} {split} sentences", mend="a smaller --n")
    return examples


def families(operation: str) -> list[tuple[str, str]]:
    """The ordered pairs of forms that make a rewording."""
    found = operations()[operation]
    unlike = [set(group) for group in found.get("unlike", [])]
    sources = found.get("sources", list(found["forms"]))
    return [
        (first, second)
        for first, second in permutations(found["forms"], 2)
        if first in sources and not any({first, second} <= group for group in unlike)
    ]


def _draw(operation: str, split: str, part: str, rng: Random) -> Example | None:
    content = draw(operations()[operation]["content"], operation, rng.choice(of_split(split)), rng)
    source_form, target_form = rng.choice(families(operation))
    digits = rng.random() < 0.5
    try:
        source = render(content, source_form, Style(digits=digits))
        reference = render(content, target_form, Style(digits=digits if rng.random() < 0.6 else not digits))
    except Unrenderable:
        return None
    meta: dict[str, Any] = {
        "source": source,
        "operation": operation,
        "family": f"{operation}.{source_form}-{target_form}",
        "slice": part,
        "content": content.to_json(),
    }
    return {
        "id": "",
        "messages": [
            {"role": "user", "content": INSTRUCTION.format(source)},
            {"role": "assistant", "content": reference},
        ],
        "reference": reference,
        "meta": meta,
    }


def normalised(text: str) -> str:
    """A sentence as the split sees it."""
    return "".join(character for character in text.casefold() if character.isalnum())
