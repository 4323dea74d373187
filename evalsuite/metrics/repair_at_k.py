"""repair@k: share of examples whose answer passes after at most k repairs, each asked for with what the solver said of the one before.

Answers to the same example (by id) are its attempts, in order; a loop that ended early ended with its last (domains/asp/repair.py).
Where nothing was repaired it is accuracy.
"""

from __future__ import annotations

from evalsuite.metrics.pass_at_k import Grouped


class RepairAtK(Grouped):
    title = "repair@k"

    def of(self, passed: list[bool], k: int) -> float:
        """Whether the last of the first k + 1 attempts passes."""
        return float(passed[: k + 1][-1])

    def largest(self, counts: list[int]) -> int:
        """As many as any example was given."""
        return max(counts) - 1
