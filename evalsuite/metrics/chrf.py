"""chrF2: F-score of character n-grams up to six (Popović 2015, https://aclanthology.org/W15-3049), by sacreBLEU."""

from __future__ import annotations

from typing import Any

from evalsuite.metrics.sacre import Sacre, metrics


class ChrF(Sacre):
    title = "chrF"

    def metric(self) -> Any:
        """`CHRF` as it is by default."""
        return metrics().CHRF()
