"""TER: edits and shifts per word of the reference, in percent (Snover et al. 2006), by sacreBLEU. 0 is best, over 100 is possible."""

from __future__ import annotations

from typing import Any

from evalsuite.metrics.sacre import Sacre, metrics


class Ter(Sacre):
    title = "TER"
    better = "lower"

    def metric(self) -> Any:
        """`TER` as it is by default."""
        return metrics().TER()
