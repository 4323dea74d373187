"""Seconds to a whole answer, as users meet them: the median and the slow end.

Of a batch, an answer's time is its share of the batch's (`Prediction.seconds`): compare only models that ran alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from evalsuite.metrics.base import Answer, Estimate, Kept, floats


class LatencyP50(Kept):
    title = "latency p50"
    unit = "seconds"
    better = "lower"
    quantile: ClassVar[float] = 0.50

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, 1]: seconds."""
        return floats([answer.prediction.seconds for answer in answers], 1)

    def estimate(self, rows: np.ndarray) -> Estimate:
        """The quantile, by linear interpolation (Hyndman & Fan 1996, type 7)."""
        return Estimate(float(np.quantile(rows, self.quantile)) if len(rows) else None)

    def each(self, rows: np.ndarray) -> np.ndarray:
        """Seconds of each answer: their differences, not those of quantiles, are what a paired test sees."""
        values: np.ndarray = rows[:, 0]
        return values


class LatencyP95(LatencyP50):
    title = "latency p95"
    quantile = 0.95
