"""Loader of MATH (Hendrycks et al. 2021, arXiv:2103.03874; MIT licence): competition problems with solutions that end in a box.

Columns `problem`, `level`, `type`, `solution`. A row whose boxed answer the check cannot read (a name, a day of the week, base-eight digits)
is left out: nobody could be judged by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from domains.base import Example
from domains.math.answers import final_answer
from domains.math.check import read
from domains.math.expressions import TooLarge, Unparsable
from domains.sources import rows

COLUMNS = ("problem", "level", "type", "solution")


def load(source: str, split: str) -> Iterator[Example]:
    """`truemark data load math/math --from hf:OWNER/NAME`, or from the files."""
    for number, row in enumerate(rows(source, COLUMNS, split=split), 1):
        solution = str(row["solution"]).strip()
        reference = boxed(solution)
        if reference is None:
            continue
        yield {
            "id": f"math-set-{split}-{number:05d}",
            "messages": [
                {"role": "user", "content": str(row["problem"]).strip()},
                {"role": "assistant", "content": solution},
            ],
            "reference": reference,
            "meta": {
                "family": f"math-set.{number}",
                "slice": str(row["type"]),
                "difficulty": str(row["level"]),
                "source": "math",
            },
        }


def boxed(solution: str) -> str | None:
    """What stands in the last box, where the check can read it."""
    start = solution.rfind("\\boxed{")
    if start < 0:
        return None
    try:
        reference = final_answer(solution[start:].replace("\n", " "))
        reference = reference.strip() if reference else None
        if reference is not None:
            read(reference)
    except (Unparsable, TooLarge, ZeroDivisionError):
        return None
    return reference
