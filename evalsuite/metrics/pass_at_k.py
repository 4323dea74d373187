"""pass@k: the chance that one of k answers to an example passes; unbiased, from n ≥ k answers to each (Chen et al. 2021, domains/passes.py).

Answers to the same example (by id) are its samples. Examples with fewer than k have no value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from domains.passes import chance
from evalsuite.metrics.base import Answer, Estimate, Kept


class Grouped(Kept):
    """A metric of all answers to an example together. Its value stands at the example's first answer, NaN at the others."""

    unit = "share"
    better = "higher"

    def __init__(self, k: int | None = None) -> None:
        self.k = k
        """None: the largest that the answers allow."""

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """Object [n, 2]: the example's id and whether the answer passes."""
        found = np.empty((len(answers), 2), dtype=object)
        for index, answer in enumerate(answers):
            found[index] = answer.example["id"], answer.verdict.passed
        return found

    @abstractmethod
    def of(self, passed: list[bool], k: int) -> float:
        """The value of one example, of its answers in order."""

    @abstractmethod
    def largest(self, counts: list[int]) -> int:
        """The k that is meant where none is given, by the number of answers to each example."""

    def each(self, rows: np.ndarray) -> np.ndarray:
        """Float [n]."""
        values = np.full(len(rows), np.nan)
        groups = _groups(rows)
        k = self._k(groups)
        for places in groups.values():
            values[places[0]] = self.of([bool(rows[place, 1]) for place in places], k)
        return values

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Mean over the examples that have a value."""
        values = self.each(rows)
        values = values[~np.isnan(values)]
        return Estimate(float(values.mean()) if len(values) else None, signature=f"k:{self._k(_groups(rows))}")

    def _k(self, groups: dict[str, list[int]]) -> int:
        return self.k or self.largest([len(places) for places in groups.values()] or [1])


class PassAtK(Grouped):
    title = "pass@k"

    def of(self, passed: list[bool], k: int) -> float:
        """Chen et al.'s estimate; NaN below k answers."""
        return chance(sum(passed), len(passed), k) if len(passed) >= k else float("nan")

    def largest(self, counts: list[int]) -> int:
        """As many as every example has."""
        return min(counts)


def _groups(rows: np.ndarray) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(rows[:, 0]):
        groups.setdefault(name, []).append(place)
    return groups
