"""What a metric is: a few numbers of each answer, and a value from their sum.

    rows = metric.rows(answers)          # float [n, s]: all it needs of each answer
    metric.each(rows)                    # float [n]: the value of each answer, NaN where it has none
    metric.estimate(rows)                # the value of them all
    metric.condense(rows)                # fewer rows with the same estimate: for most metrics one, the sum

So a million answers are scored in chunks, in any number of processes, in memory that does not grow with them: corpus BLEU is a function of ten
sums, a mean of two (evalsuite/scoring.py). A new metric subclasses `Metric`, or `Mean` where an answer's own value is all there is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from domains.base import Example, Verdict
from evalsuite.predictions import Prediction
from evalsuite.statistics import Interval

Unit = Literal["share", "points", "seconds", "per_second", "count", "money"]
"""`share`: in [0, 1], shown in percent. `points`: on a scale of its own, mostly [0, 100]. `money`: in the currency of the price."""


@dataclass(frozen=True)
class Answer:
    """One example, what was predicted, and what the domain's check says of it."""

    example: Example
    prediction: Prediction
    verdict: Verdict
    base: Answer | None = None
    """What the model's base says to the same example, for metrics of what an adapter changed."""

    @property
    def text(self) -> str:
        """What the model wrote."""
        return self.prediction.text

    @property
    def gold(self) -> str:
        """What the answer is compared with: the example's own closing answer, else its reference."""
        messages = self.example["messages"]
        if messages and messages[-1]["role"] == "assistant":
            return messages[-1]["content"]
        return self.example["reference"]


@dataclass(frozen=True)
class Estimate:
    """A metric's value over some answers."""

    value: float | None
    """None where these answers do not tell (an engine that counts no tokens)."""
    interval: Interval | None = None
    """95 % confidence interval, for metrics that have one."""
    signature: str = ""
    """Implementation, version and settings that another needs to reach the same number; empty where the name says it all."""
    table: tuple[dict[str, float], ...] = ()
    """Rows behind the value, where it rests on a table (calibration: the bins of the reliability diagram)."""


class Metric(ABC):
    """One row of METRICS. Has no state: one instance serves every model, and travels to other processes."""

    title: ClassVar[str]
    """As a table's heading has it."""
    unit: ClassVar[Unit]
    better: ClassVar[Literal["higher", "lower"]]
    whole: ClassVar[bool] = False
    """Whether `each` must see all rows at once, as an answer's value rests on others'."""

    @abstractmethod
    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, s]: what the metric needs of each answer. Raises MissingDependency where a package or its data is absent."""

    @abstractmethod
    def estimate(self, rows: np.ndarray) -> Estimate:
        """The value over rows, or over what `condense` made of them."""

    def each(self, rows: np.ndarray) -> np.ndarray | None:
        """Float [n], NaN where the metric does not apply; None for a metric that an answer alone has no value of."""
        return None

    def condense(self, rows: np.ndarray) -> np.ndarray:
        """[m, s] with the same estimate, m as small as may be; of rows that may be condensed ones. Here: their sum, m = 1."""
        total: np.ndarray = rows.sum(axis=0, keepdims=True)
        return total

    def score(self, answers: Sequence[Answer]) -> Estimate:
        """The value over all answers."""
        return self.estimate(self.rows(answers))

    def values(self, answers: Sequence[Answer]) -> np.ndarray | None:
        """The value of each answer: float [n], NaN where the metric does not apply; None where it has none of single answers.

        Their mean is the score of a `Mean`; of a corpus metric (BLEU) it is not.
        """
        return self.each(self.rows(answers))


class Mean(Metric):
    """A metric whose score is the mean of its values over the answers that have one."""

    @abstractmethod
    def measure(self, answers: Sequence[Answer]) -> Sequence[float] | np.ndarray:
        """Float [n]: the value of each answer, NaN where the metric does not apply."""

    def signature(self) -> str:
        """See Estimate."""
        return ""

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, 2]: the value (0 where it does not apply), and whether it applies."""
        values = np.asarray(self.measure(answers), dtype=np.float64)
        applies = ~np.isnan(values)
        return np.stack([np.where(applies, values, 0.0), applies], axis=1)

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Sum over count."""
        total, n = rows.sum(axis=0)
        return Estimate(float(total / n) if n else None, signature=self.signature())

    def each(self, rows: np.ndarray) -> np.ndarray:
        """The values."""
        return np.where(rows[:, 1] > 0, rows[:, 0], np.nan)


class Share(Mean):
    """A mean of yes and no, with Wilson's interval."""

    unit = "share"
    better = "higher"

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Share and interval."""
        from evalsuite.statistics import wilson

        yes, n = (round(value) for value in rows.sum(axis=0))
        return Estimate(yes / n if n else None, wilson(yes, n), self.signature())


class Kept(Metric):
    """A metric that must see all its rows at once (a quantile, a calibration curve): they are kept, a few floats an answer."""

    whole = True

    def condense(self, rows: np.ndarray) -> np.ndarray:
        """All of them."""
        return rows


def floats(rows: Sequence[Any], width: int) -> np.ndarray:
    """Float [n, width], also for n = 0."""
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), width)
