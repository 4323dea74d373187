"""What a split holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from domains.base import Example, asked


def statistics(examples: Sequence[Example]) -> dict[str, Any]:
    """Counts by family, slice and level, and lengths in words of questions (all that is asked) and answers."""
    return {
        "examples": len(examples),
        "families": len({example["meta"].get("family") for example in examples}),
        "slices": _counts(example["meta"].get("slice") for example in examples),
        "levels": _counts(example["meta"].get("level") for example in examples),
        "question_words": _lengths("\n".join(message["content"] for message in asked(example)) for example in examples),
        "answer_words": _lengths(example["messages"][-1]["content"] for example in examples),
    }


def _counts(names: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(name for name in names if name is not None))


def _lengths(texts: Iterable[str]) -> dict[str, float]:
    found = sorted(len(text.split()) for text in texts) or [0]
    return {"least": found[0], "median": median(found), "most": found[-1]}
