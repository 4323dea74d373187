"""Share of answers that the domain's check passes, with Wilson's interval."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.metrics.base import Answer, Share


class Accuracy(Share):
    title = "accuracy"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """1.0 where the check passes the answer."""
        return [float(answer.verdict.passed) for answer in answers]
