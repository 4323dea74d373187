"""Reading a test set: what is asked, checked before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from domains.base import Example, asked
from truemark.files import sha256_json

OVERALL = "all"
"""The slice that holds every example."""


def sample(examples: list[Example], limit: int | None) -> list[Example]:
    """`limit` examples in file order, as many of each slice as can be.

    Drawn by content hash: always the same ones, and a larger sample holds a smaller.
    """
    if limit is None or limit >= len(examples):
        return examples
    drawn: Counter[str] = Counter()
    ranked = []
    for example in sorted(examples, key=example_sha256):
        ranked.append((drawn[slice_of(example)], example["id"]))
        drawn[slice_of(example)] += 1
    chosen = {id for _, id in sorted(ranked)[:limit]}
    return [example for example in examples if example["id"] in chosen]


def example_sha256(example: Example) -> str:
    """Hash of one example's whole content."""
    return sha256_json(example)


def examples_sha256(examples: Sequence[Example]) -> str:
    """Hash of a test set: its examples in their order."""
    return sha256_json([example_sha256(example) for example in examples])


def prompt(example: Example, system: str) -> list[dict[str, str]]:
    """The messages that are asked: the example's own without its closing answer, after `system` where there is one."""
    messages = asked(example)
    if system and (not messages or messages[0]["role"] != "system"):
        return [{"role": "system", "content": system}, *messages]
    return messages


def slice_of(example: Example) -> str:
    """The slice an example is reported in."""
    return str(example["meta"].get("slice", OVERALL))


def slices(examples: Sequence[Example]) -> list[str]:
    """Slices in the order they appear; `all` comes last when there is more than one."""
    found = list(dict.fromkeys(slice_of(example) for example in examples))
    return found if len(found) == 1 else [*(name for name in found if name != OVERALL), OVERALL]


def family_of(example: Example) -> str:
    """The problem family, for resampling by family; the id where none is given."""
    return str(example["meta"].get("family", example["id"]))
