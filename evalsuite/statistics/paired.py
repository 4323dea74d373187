"""Paired tests of "no difference": McNemar's for right and wrong, sign flips for any metric, both exact where they can be."""

from __future__ import annotations

import math

import numpy as np

from evalsuite.statistics.bootstrap import units

EXACT_UNITS = 20
"""Up to so many differing units all 2^n sign flips are counted."""
FLIPS = 10_000
_DRAWS, _FEWEST = 2**26, 1_000
"""Above so many signs fewer flips are made, but not fewer than these."""
_CELLS = 2**22
_LATTICE = 2**15
"""Longest distribution of a whole-number sum that is worked out by convolution."""


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided p of McNemar's exact test: of the examples that only one of two models gets right, are half each one's?

    McNemar (1947), Psychometrika 12:153, with the binomial distribution in place of chi squared (as in
    statsmodels' `mcnemar(exact=True)`). 1.0 where the two models never differ.
    """
    n, k = wins + losses, min(wins, losses)
    if n == 0:
        return 1.0
    return float(min(1.0, 2 * _binomial(n, k).sum()))


def permutation(
    differences: np.ndarray, clusters: np.ndarray | None = None, *, seed: int = 0, flips: int = FLIPS
) -> float:
    """Two-sided p of the sign-flip test of mean difference 0, float [n]; with `clusters` the sign of a whole cluster flips.

    Under the null hypothesis the two models are exchangeable in each unit: Fisher (1935), The Design of Experiments, sec. 21;
    for systems on one test set Noreen (1989) and Dror et al. (2018), ACL. Exact (every flip counted) for whole-number
    differences, where without clusters it is McNemar's test, and for at most EXACT_UNITS units that differ; else `flips`
    random ones, of which the observed is one: (1 + k) / (1 + flips), Phipson & Smyth (2010).

    G units that differ cannot give a p below 2^(1-G): five families never reach 0.05. Raises ValueError as `bca`.
    """
    sums = abs(units(differences, clusters)[0])
    observed = abs(float(np.asarray(differences, dtype=np.float64).sum()))
    sums = sums[sums > 1e-12]
    if len(sums) == 0:
        return 1.0
    if np.array_equal(sums, np.rint(sums)) and (np.ptp(sums) == 0 or sums.sum() <= _LATTICE):
        return _whole(sums.astype(np.int64), round(observed))
    observed -= 1e-9 * float(sums.max())  # sums of the same numbers in another order
    if len(sums) <= EXACT_UNITS:
        totals = np.zeros(1)
        for one in sums:
            totals = np.concatenate([totals + one, totals - one])
        return float((abs(totals) >= observed).mean())
    generator = np.random.default_rng(seed)
    flips = min(flips, max(_FEWEST, _DRAWS // len(sums)))
    step = max(1, _CELLS // len(sums))
    extreme = 0
    for start in range(0, flips, step):
        now = min(step, flips - start)
        bits = np.unpackbits(np.frombuffer(generator.bytes(now * len(sums) // 8 + 1), np.uint8))[: now * len(sums)]
        positive = bits.reshape(now, len(sums)).astype(np.float32) @ sums.astype(np.float32)
        extreme += int((abs(2 * positive - sums.sum()) >= observed * (1 - 1e-6)).sum())
    return (1 + extreme) / (1 + flips)


def _whole(sums: np.ndarray, observed: int) -> float:
    """The share of all sign flips whose sum is at least as far from 0, of whole numbers > 0 [G].

    The k of c equal units that are positive add `unit * (2k - c)`: the distribution of the whole sum is the convolution
    of one such binomial per distinct unit, on the numbers -total, -total + 2, ..., total.
    """
    chances = np.ones(1)
    for unit, count in zip(*np.unique(sums, return_counts=True), strict=True):
        spread = np.zeros(int(unit * count) + 1)
        spread[::unit] = _binomial(int(count), int(count))
        chances = np.convolve(chances, spread)
    total = len(chances) - 1
    place = 2 * np.arange(total + 1) - total
    return float(min(1.0, chances[abs(place) >= observed].sum()))


def _binomial(n: int, last: int) -> np.ndarray:
    """Chances of 0..last heads in n tosses of a fair coin, float [last + 1]; by logarithms, so no n overflows."""
    i = np.arange(last, dtype=np.float64)
    return np.exp(np.concatenate([[0.0], np.cumsum(np.log(n - i) - np.log(i + 1))]) - n * math.log(2))
