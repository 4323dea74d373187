"""Share of answers that the domain's check passes, with Wilson's interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalsuite.metrics import Answer, Estimate, Metric
from evalsuite.statistics import wilson


def score(answers: Sequence[Answer]) -> Estimate:
    """Accuracy in [0, 1]."""
    passed = sum(answer.verdict.passed for answer in answers)
    return Estimate(passed / len(answers) if answers else None, wilson(passed, len(answers)))


def values(answers: Sequence[Answer]) -> np.ndarray:
    """1.0 for an answer that passes, else 0.0."""
    return np.array([float(answer.verdict.passed) for answer in answers])


METRIC = Metric(score, values, title="accuracy", unit="share")
