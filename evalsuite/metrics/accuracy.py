"""Share of answers that the domain's check passes, with Wilson's interval."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.metrics import Answer, Estimate
from evalsuite.statistics import wilson


def score(answers: Sequence[Answer]) -> Estimate:
    """Accuracy in [0, 1]."""
    passed = sum(answer.verdict.passed for answer in answers)
    return Estimate(passed / len(answers) if answers else None, wilson(passed, len(answers)))
