"""Bootstrap intervals of a mean: percentile and BCa, over examples or whole problem families.

With families the mean is a ratio of two sums over families, and whole families are drawn, as examples of one template
rise and fall together: Davison & Hinkley (1997), Bootstrap Methods, sec. 3.8.

Both widen their percentiles for few units (Hesterberg 2015, The American Statistician 69:371, sec. 4.4.1: t in place of
z, times sqrt(n / (n - 1))), without which 20 families cover 92 % where 95 % is said.
"""

from __future__ import annotations

import math

import numpy as np

from evalsuite.statistics.interval import NORMAL, Interval, constant, t_quantile

RESAMPLES = 10_000
_DRAWS = 2**25
"""Above so many draws fewer resamples are made, but at least _FEWEST: the noise of an end is then still 2 % of the width."""
_FEWEST = 1_000
_CELLS = 2**21
"""Draws held in memory at once: some tens of MB."""

Bounds = tuple[float, float]


def bca(
    values: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    bounds: Bounds | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """95 % BCa interval of the mean of `values`, float [n]; with `clusters` (a label per value, [n]) over whole clusters.

    Efron (1987), JASA 82:171: bias-corrected and accelerated, the acceleration from the jackknife (eq. 6.6 in DiCiccio &
    Efron 1996, Statistical Science 11:189). For values that are not skewed it is the percentile interval.

    Where all units are equal no resample differs: then the rule of three within the `bounds` a value may take, else an
    empty interval; `method` says which. Raises ValueError for no values or one that is not finite.
    """
    sums, sizes = units(values, clusters)
    mean = float(sums.sum() / sizes.sum())
    if is_constant(sums, sizes):
        return constant(mean, len(sums), bounds)
    means = _resampled(sums, sizes, seed, resamples)
    # half of the ties count as below: discrete scores have many
    below = float((means < mean - 1e-12).mean() + (abs(means - mean) <= 1e-12).mean() / 2)
    half = 0.5 / len(means)
    bias = NORMAL.inv_cdf(min(max(below, half), 1 - half))
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    pull = left_out.mean() - left_out
    acceleration = float((pull**3).sum() / (6 * (pull**2).sum() ** 1.5))
    shares = [_corrected(z, bias, acceleration) for z in _widened(len(sums))]
    low, high = np.quantile(means, shares)
    return Interval(float(low), float(high), _named("BCa bootstrap", clusters))


def paired_bootstrap(
    differences: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    bounds: Bounds | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """95 % percentile interval of the mean of per-example differences, float [n]; arguments and errors as of `bca`.

    Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 13; paired by example as in Koehn (2004), EMNLP.
    """
    sums, sizes = units(differences, clusters)
    if is_constant(sums, sizes):
        return constant(float(sums.sum() / sizes.sum()), len(sums), bounds)
    low, high = np.quantile(_resampled(sums, sizes, seed, resamples), [NORMAL.cdf(z) for z in _widened(len(sums))])
    return Interval(float(low), float(high), _named("paired bootstrap", clusters))


def units(values: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(sum, size) of each unit that is drawn, both float [G]: a value, or all values of a cluster."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError("expected at least one value")
    if not np.isfinite(values).all():
        raise ValueError("expected finite values: leave out those to which the metric does not apply")
    if clusters is None:
        return values, np.ones_like(values)
    labels, index = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(index, values, len(labels)), np.bincount(index, minlength=len(labels)).astype(np.float64)


def is_constant(sums: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether all units have the same mean (one unit always has), up to rounding."""
    means = sums / sizes
    return bool(np.ptp(means) <= 1e-12 * max(1.0, float(abs(means).max())))


def _resampled(sums: np.ndarray, sizes: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of resamples, float [resamples].

    Units with the same (sum, size) are exchangeable, so where few are distinct (right or wrong: three) a resample is a
    multinomial draw over them: the same distribution as drawing indices, and at no cost in n.
    """
    generator = np.random.default_rng(seed)
    n = len(sums)
    distinct, counts = np.unique(
        sums + 1j * sizes, return_counts=True
    )  # pairs as one number: sorts a million in a moment
    few = len(distinct) * 10 <= n
    cells = len(distinct) if few else n
    resamples = min(resamples, max(_FEWEST, _DRAWS // cells))
    step = max(1, _CELLS // cells)
    equal = bool(np.ptp(sizes) == 0)
    means = []
    for start in range(0, resamples, step):
        now = min(step, resamples - start)
        if few:
            totals = generator.multinomial(n, counts / n, size=now) @ distinct
            means.append(totals.real / totals.imag)
        else:
            drawn = generator.integers(0, n, size=(now, n), dtype=np.int32)
            size = n * sizes[0] if equal else sizes[drawn].sum(axis=1)
            means.append(sums[drawn].sum(axis=1) / size)
    return np.concatenate(means)


def _widened(n: int) -> tuple[float, float]:
    """The normal deviates of a 95 % interval, widened for n units."""
    z = t_quantile(0.975, n - 1) * math.sqrt(n / (n - 1))
    return -z, z


def _corrected(z: float, bias: float, acceleration: float) -> float:
    """The share of resamples below an end of the interval: Efron (1987), eq. 3.9."""
    shifted = bias + z
    room = 1 - acceleration * shifted
    if room <= 0:  # so skewed that the end lies beyond every resample
        return float(shifted > 0)
    return NORMAL.cdf(bias + shifted / room)


def _named(method: str, clusters: np.ndarray | None) -> str:
    return method if clusters is None else f"{method} over families"
