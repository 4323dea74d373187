"""Do annotators agree? Krippendorff's α: 1 is agreement throughout, 0 what chance alone would give, below 0 is worse than chance.

    ratings = np.array([[1, 1, nan], [2, 3, 2], …])     # [units, annotators], nan where one said nothing
    alpha(ratings, "ordinal")                           # Agreement(value=0.81, interval=…, units=11, values=40)

Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), repository.upenn.edu/asc_papers/43, sections C to E.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from evalsuite.statistics import RESAMPLES, Interval

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
FEWEST = 10
"""Units below which a bootstrap over units says little: no interval is given."""
_STEP = 500
"""Resamples at a time: memory stays at some MB."""


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's α of one set of judgements."""

    level: Level
    value: float | None
    """At most 1; None where nobody ever differs in a way that could be seen: fewer than two values occur, or no unit has two."""
    interval: Interval | None
    """95 %, from resampled units; None with fewer than FEWEST of them, or where most resamples have no α."""
    units: int
    """Units with two judgements or more: the others cannot show agreement."""
    judgements: int
    """Judgements on these units."""


def alpha(
    ratings: np.ndarray, level: Level, *, clusters: np.ndarray | None = None, seed: int = 0, resamples: int = 2000
) -> Agreement:
    """α of float `ratings` [units, annotators] with nan for what is missing; any number of annotators, any of them missing.

    Of ordinal ratings the order alone counts, of interval ones the distance. Its interval is the percentile bootstrap over
    units (over whole `clusters` of them, one label per unit, where given).
    """
    if level not in LEVELS:
        raise ValueError(f"expected a level of {', '.join(LEVELS)}, found {level!r}")
    values = np.asarray(ratings, dtype=np.float64)
    paired = (~np.isnan(values)).sum(axis=1) >= 2
    values = values[paired]
    kinds = np.unique(values[~np.isnan(values)])
    counts = (values[:, :, None] == kinds).sum(axis=1).astype(np.float64)  # [units, kinds]
    judgements = int(counts.sum())
    whole = _alphas(_coincidences(counts).sum(axis=0)[None], kinds, level) if len(values) else np.array([np.nan])
    value = None if np.isnan(whole[0]) else float(whole[0])
    interval = None
    labels = None if clusters is None else np.asarray(clusters)[paired]
    if value is not None:
        interval = _bootstrap(_coincidences(counts), kinds, level, labels, seed, resamples)
    return Agreement(level, value, interval, len(values), judgements)


def _coincidences(counts: np.ndarray) -> np.ndarray:
    """Each unit's part of the coincidence matrix, [units, kinds, kinds]: pairs of values within it, over its size less one."""
    pairs = counts[:, :, None] * counts[:, None, :]
    index = np.arange(counts.shape[1])
    pairs[:, index, index] -= counts
    result: np.ndarray = pairs / (counts.sum(axis=1) - 1)[:, None, None]
    return result


def _alphas(coincidences: np.ndarray, kinds: np.ndarray, level: Level) -> np.ndarray:
    """α of coincidence matrices [many, kinds, kinds]; nan where no disagreement is expected.

    α = 1 - (n - 1) · Σ o_ck δ²_ck / Σ n_c n_k δ²_ck, over pairs of values c, k.
    """
    n_c = coincidences.sum(axis=2)
    n = n_c.sum(axis=1)
    distance = _distances(n_c, kinds, level)
    observed = (coincidences * distance).sum(axis=(1, 2))
    expected = (n_c[:, :, None] * n_c[:, None, :] * distance).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: np.ndarray = np.where(expected > 0, 1 - (n - 1) * observed / expected, np.nan)
    return result


def _distances(n_c: np.ndarray, kinds: np.ndarray, level: Level) -> np.ndarray:
    """Squared difference δ² of every two values, [1 or many, kinds, kinds]."""
    if level == "nominal":
        return (kinds[:, None] != kinds[None, :]).astype(np.float64)[None]
    if level == "interval":
        return np.square(kinds[:, None] - kinds[None, :])[None]
    # the judgements that lie between two values, half of the two counted: the difference of their mid-ranks
    middle = n_c.cumsum(axis=1) - n_c / 2
    result: np.ndarray = np.square(middle[:, :, None] - middle[:, None, :])
    return result


def _bootstrap(
    parts: np.ndarray, kinds: np.ndarray, level: Level, clusters: np.ndarray | None, seed: int, resamples: int
) -> Interval | None:
    flat = parts.reshape(len(parts), -1)
    if clusters is not None:
        names, index = np.unique(clusters, return_inverse=True)
        summed = np.zeros((len(names), flat.shape[1]))
        np.add.at(summed, index, flat)
        flat = summed
    if len(flat) < FEWEST:
        return None
    distinct, counts = np.unique(flat, axis=0, return_counts=True)  # units alike are exchangeable: see paired_bootstrap
    generator = np.random.default_rng(seed)
    found = []
    for start in range(0, min(resamples, RESAMPLES), _STEP):
        weights = generator.multinomial(len(flat), counts / len(flat), size=min(_STEP, resamples - start))
        found.append(_alphas((weights @ distinct).reshape(-1, len(kinds), len(kinds)), kinds, level))
    drawn = np.concatenate(found)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < resamples // 2:
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(high))
