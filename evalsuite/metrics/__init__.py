"""Metrics: one file each, one row each in METRICS. A metric sees answers and nothing else: no model, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from domains.base import Example, Verdict
from evalsuite.predictions import Prediction
from evalsuite.statistics import Interval
from truemark.errors import UnknownName

METRICS = {
    "accuracy": "evalsuite.metrics.accuracy:score",
    "tokens_per_second": "evalsuite.metrics.tokens_per_second:score",
}


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


Metric = Callable[[Sequence[Answer]], Estimate]


def get(name: str) -> Metric:
    """The metric's function. Raises UnknownName with the nearest name."""
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    module, _, attribute = METRICS[name].partition(":")
    metric: Metric = getattr(import_module(module), attribute)
    return metric
