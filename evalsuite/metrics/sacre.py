"""What BLEU, chrF and TER share: sacreBLEU's packages, signature and statistics (Post 2018, https://aclanthology.org/W18-6319)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from evalsuite.metrics.base import Answer, Estimate, Metric, floats
from truemark.errors import MissingDependency


class Sacre(Metric):
    """A corpus metric of sacreBLEU with one reference: a function of sums of integers over answers."""

    unit = "points"
    better: ClassVar[Literal["higher", "lower"]] = "higher"

    @abstractmethod
    def metric(self) -> Any:
        """sacreBLEU's own metric. Raises MissingDependency."""

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, s]: sacreBLEU's sufficient statistics."""
        pairs = [answer.text for answer in answers], [[answer.gold for answer in answers]]
        # private, as corpus_score keeps no statistics: the extra pins sacrebleu to 2.6, and a test holds us to its corpus_score
        return np.asarray(self.metric()._extract_corpus_statistics(*pairs) if answers else np.zeros((0, 1)), np.float64)

    def estimate(self, rows: np.ndarray) -> Estimate:
        """The corpus score, on sacreBLEU's scale, with its signature."""
        metric = self.metric()
        metric.num_refs = 1
        signature = str(metric.get_signature())
        if not len(rows):
            return Estimate(None, signature=signature)
        return Estimate(self.of(metric, rows.sum(axis=0).tolist()), signature=signature)

    def each(self, rows: np.ndarray) -> np.ndarray:
        """The sentence scores."""
        metric = self.metric()
        return floats([self.of(metric, row) for row in rows.tolist()], 1)[:, 0]

    def of(self, metric: Any, sums: list[float]) -> float:
        """The score of summed statistics."""
        return float(metric._compute_score_from_stats(sums).score)


def metrics() -> Any:
    """`sacrebleu.metrics`. Raises MissingDependency."""
    try:
        from sacrebleu import metrics as found
    except ImportError:
        raise MissingDependency.extra("sacrebleu", "metrics") from None
    return found
