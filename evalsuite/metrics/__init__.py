"""Metrics: one file each, one row each in METRICS. A metric sees answers and nothing else: no model, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import numpy as np

from domains.base import Example, Verdict
from evalsuite.predictions import Prediction
from evalsuite.statistics import Interval
from truemark.errors import UnknownName

METRICS = {
    "accuracy": "evalsuite.metrics.accuracy:METRIC",
    "tokens_per_second": "evalsuite.metrics.tokens_per_second:METRIC",
}
Unit = Literal["share", "points", "seconds", "per_second", "count", "money"]
"""`share`: in [0, 1], shown in percent. `points`: on a scale of its own."""


@dataclass(frozen=True)
class Answer:
    """One example, what was predicted, and what the domain's check says of it."""

    example: Example
    prediction: Prediction
    verdict: Verdict


@dataclass(frozen=True)
class Estimate:
    """A metric's value over some answers."""

    value: float | None
    """None where these answers do not tell (an engine that counts no tokens)."""
    interval: Interval | None = None
    """95 % confidence interval, for metrics that have one."""
    signature: str = ""
    """Implementation and settings that another needs to reach the same number."""


@dataclass(frozen=True)
class Metric:
    """One row of METRICS."""

    score: Callable[[Sequence[Answer]], Estimate]
    values: Callable[[Sequence[Answer]], np.ndarray | None] | None = None
    """Value of each answer, float [n], NaN where the metric does not apply: what paired tests need."""
    title: str = ""
    unit: Unit = "points"
    better: Literal["higher", "lower"] = "higher"


def get(name: str) -> Metric:
    """The metric. Raises UnknownName with the nearest name."""
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    module, _, attribute = METRICS[name].partition(":")
    metric: Metric = getattr(import_module(module), attribute)
    return metric
