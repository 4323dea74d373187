"""Generated tokens per second of wall time, batching included. Depends on the machine and its load: read it as a ratio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalsuite.metrics.base import Answer, Estimate, Metric, floats


class TokensPerSecond(Metric):
    title = "tokens/s"
    unit = "per_second"
    better = "higher"

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, 2]: tokens and seconds, both 0 where the engine counts no tokens."""
        predictions = (answer.prediction for answer in answers)
        return floats([(row.tokens or 0, 0.0 if row.tokens is None else row.seconds) for row in predictions], 2)

    def estimate(self, rows: np.ndarray) -> Estimate:
        """All tokens over all seconds."""
        tokens, seconds = rows.sum(axis=0)
        return Estimate(float(tokens / seconds) if seconds > 0 else None)

    def each(self, rows: np.ndarray) -> np.ndarray:
        """Tokens per second of each answer; of a batch, with its share of the batch's time."""
        return np.divide(rows[:, 0], rows[:, 1], out=np.full(len(rows), np.nan), where=rows[:, 1] > 0)
