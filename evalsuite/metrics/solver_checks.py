"""Share of answers of which the solver confirms all it reads: the final answer and every step (score 1).

At most accuracy, which lets a right answer behind a wrong step pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.metrics.base import Answer, Share


class SolverChecks(Share):
    title = "solver checks"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """1.0 for a passed answer of full score."""
        return [float(answer.verdict.passed and answer.verdict.score >= 1) for answer in answers]
