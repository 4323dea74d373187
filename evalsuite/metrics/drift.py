"""Drift: what an adapter made worse, or better, outside its own domain. The base's answers are what it is measured by.

Of questions that are none of the domain's (evalsuite/sets/drift.py) the share that the model answers rightly, less the share that its base does: -5 % says
that of a hundred answers five more went wrong than right. The table has both sides of it, how often the two say the same to the letter, and how
often the base is right at all: what it never could cannot be lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalsuite.metrics.base import Answer, Estimate, Mean, floats

_COLUMNS = ("lost", "gained", "same_text", "base_right")


class Drift(Mean):
    title = "drift"
    unit = "share"
    better = "higher"

    def measure(self, answers: Sequence[Answer]) -> np.ndarray:
        """Float [n]: 1 where the model alone is right, -1 where its base alone is, else 0; NaN without an answer of the base."""
        return np.array(
            [np.nan if one.base is None else one.verdict.passed - one.base.verdict.passed for one in answers],
            dtype=float,
        )

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, 6]: as of every mean, then what the table counts."""
        counts = [
            (0, 0, 0, 0) if one.base is None
            else (
                one.base.verdict.passed > one.verdict.passed, one.verdict.passed > one.base.verdict.passed,
                one.text == one.base.text, one.base.verdict.passed,
            )
            for one in answers
        ]  # fmt: skip
        return np.concatenate([super().rows(answers), floats(counts, len(_COLUMNS))], axis=1)

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Gained less lost."""
        total, n, *counts = rows.sum(axis=0)
        if not n:
            return Estimate(None)
        shares = {name: float(count / n) for name, count in zip(_COLUMNS, counts, strict=True)}
        return Estimate(float(total / n), table=(shares,))
