"""The statistics beside every number: an interval for a proportion, and paired comparisons on the same examples.

    wilson(48, 60)                      # Interval(0.682, 0.882)
    mcnemar(wins=20, losses=10)         # 0.0987
    paired_bootstrap(adapter - base)    # Interval of the mean difference

Pure functions of counts and numpy arrays; no SciPy, no state, and the same result for the same seed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""
RESAMPLES = 10_000
_CELLS = 2**22
"""Weights held in memory at once, so that a million examples stay within some tens of MB."""


class Interval(NamedTuple):
    """A two-sided confidence interval."""

    low: float
    high: float


def wilson(successes: int, n: int, z: float = Z95) -> Interval:
    """Wilson's score interval for a proportion; [0, 1] for n = 0.

    Wilson (1927), JASA 22:209. Recommended over p ± z·se by Brown, Cai & DasGupta (2001), Statistical Science 16:101:
    it keeps its coverage at small n and near 0 and 1, where a weak base model lives.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n, found {successes} of {n}")
    if n == 0:
        return Interval(0.0, 1.0)
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # exact at the ends, where rounding would leave 1e-17
    return Interval(0.0 if successes == 0 else middle - half, 1.0 if successes == n else middle + half)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided p of McNemar's exact test: of the examples that only one of two models gets right, are half each one's?

    McNemar (1947), Psychometrika 12:153, with the binomial distribution in place of chi squared (as in
    statsmodels' `mcnemar(exact=True)`). 1.0 where the two models never differ.
    """
    n, k = wins + losses, min(wins, losses)
    if n == 0:
        return 1.0
    # log C(n, i) - n log 2 for i = 0..k, by the ratio of neighbours: no overflow at any n
    i = np.arange(k, dtype=np.float64)
    terms = np.concatenate([[0.0], np.cumsum(np.log(n - i) - np.log(i + 1))]) - n * math.log(2)
    return float(min(1.0, 2 * np.exp(terms).sum()))


def paired_bootstrap(
    differences: np.ndarray, clusters: np.ndarray | None = None, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """95 % percentile interval of the mean of per-example differences, float [n].

    Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 13; paired by example as in Koehn (2004), EMNLP.
    With `clusters` (one label per example, [n]) whole clusters are drawn, as examples of one template rise and fall
    together: Davison & Hinkley (1997), Bootstrap Methods, sec. 3.8.

    Units with the same (sum, size) are exchangeable, so a resample is a multinomial draw over the distinct ones: the
    same distribution as drawing indices, and for right/wrong scores three columns whatever n is.
    An interval of zero width means that no example differs, not that none would.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0:
        raise ValueError("expected at least one difference")
    if clusters is None:
        units = np.stack([values, np.ones_like(values)], axis=1)
    else:
        _, index = np.unique(np.asarray(clusters), return_inverse=True)
        units = np.stack([np.bincount(index, weights=values), np.bincount(index)], axis=1)
    distinct, counts = np.unique(units, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    n, share = len(units), counts / len(units)
    means = []
    step = max(1, _CELLS // len(distinct))
    for start in range(0, resamples, step):
        weights = generator.multinomial(n, share, size=min(step, resamples - start))
        sums = weights @ distinct
        means.append(sums[:, 0] / sums[:, 1])
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(float(low), float(high))
