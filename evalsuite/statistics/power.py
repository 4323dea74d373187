"""What a comparison could have seen: printed beside every "no difference", which alone says nothing."""

from __future__ import annotations

import math

import numpy as np

from evalsuite.statistics.bootstrap import is_constant, units
from evalsuite.statistics.interval import t_quantile, unseen


def minimum_detectable(
    differences: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float | None:
    """The true mean difference that a two-sided test at `alpha` finds with the chance `power`, from the spread observed.

    (t(1 - alpha/2) + t(power)) times the standard error, G - 1 degrees of freedom: Bloom (1995), Evaluation Review 19:547.
    The standard error is that of the mean of G units: for right/wrong scores, of the observed discordance. Of a table of m
    tests pass alpha / m, the level at which Holm begins.

    Where no unit differs from another, the spread is that of the share that may go unseen (rule of three) within `bounds`;
    None without bounds, or where n units are too few for a sign-flip test to reach `alpha` at all (2^(1-n)). Raises ValueError as `bca`.
    """
    sums, sizes = units(differences, clusters)
    n = len(sums)
    if 2.0 ** (1 - n) > alpha:
        return None
    if is_constant(sums, sizes):
        if bounds is None:
            return None
        error = math.sqrt(unseen(n) / n) * max(map(abs, bounds))
    else:
        mean = sums.sum() / sizes.sum()
        rest = sums - mean * sizes
        error = math.sqrt(n / (n - 1) * float(rest @ rest)) / float(sizes.sum())
    return (t_quantile(1 - alpha / 2, n - 1) + t_quantile(power, n - 1)) * error
