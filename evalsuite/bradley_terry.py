"""Scores from votes on pairs: the Bradley-Terry model with ties as Davidson has them.

    strengths(votes)      # Strengths(models=("a", "b"), scores=array([0.4, -0.4]), …)

A vote on i and j is `i` with probability p_i / s, `j` with p_j / s and a tie with ν √(p_i p_j) / s, where s is the sum of the three
(Davidson 1970, JASA 65:317). A score is β_i = ln p_i, and the scores of a connected group sum to zero: β_i - β_j is the log-odds
that a vote on the two, when it is no tie, goes to i; 0.69 apart is two of three.

Not half a win for each, which is the other custom: a tie would be two contradicting observations, and the scores of models that
often tie would shrink by it. Davidson's ν takes the ties up, and the scores keep their meaning.

Regularised by normal priors, N(0, PRIOR²) on every β and on ln ν: a model that won all its votes would otherwise be infinitely good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evalsuite.statistics import Interval

PRIOR = 3.0
"""Standard deviation: a model that beats the average one 20 of 21 times is no surprise to it."""
FEWEST = 10
"""Questions below which resampling them says little: no interval is given."""
_STEPS = 50
_TOLERANCE = 1e-6


class Comparison(NamedTuple):
    """One vote."""

    a: str
    """Model."""
    b: str
    choice: str
    """`a`, `b` or `tie`."""
    question: str
    """What is resampled as one."""


@dataclass(frozen=True)
class Strengths:
    """Scores of models, as the votes have them."""

    models: tuple[str, ...]
    scores: np.ndarray
    """β, [models]; within a group they sum to zero."""
    intervals: tuple[Interval | None, ...]
    """95 %, from resampled questions; None with too few questions, and for a model whose score is the prior's alone."""
    wins: np.ndarray
    """[models, models]: how often row beat column."""
    ties: np.ndarray
    """[models, models], symmetric."""
    tie_weight: float
    """ν; 0.5 where half as many ties as votes for either are expected of equals."""
    groups: tuple[tuple[str, ...], ...]
    """Models that votes connect, largest first. Scores of two groups cannot be compared."""
    unbounded: dict[str, str]
    """Model → `best` or `worst`: it never lost (won) against any model outside of its like, so that the votes set it no bound."""

    @property
    def connected(self) -> bool:
        """Whether all models can be compared."""
        return len(self.groups) <= 1


def strengths(votes: Sequence[Comparison], *, seed: int = 0, resamples: int = 1000) -> Strengths:
    """Fit the scores and resample questions for their intervals (percentile bootstrap). Votes of a model on itself are left out."""
    votes = [vote for vote in votes if vote.a != vote.b]
    models = tuple(sorted({name for vote in votes for name in (vote.a, vote.b)}))
    place = {name: index for index, name in enumerate(models)}
    pairs, table, questions = _tables(votes, place)
    wins, ties = np.zeros((2, len(models), len(models)))
    for (i, j), (first, second, tie) in zip(pairs, table.sum(axis=0).reshape(-1, 3), strict=True):
        wins[i, j], wins[j, i] = first, second
        ties[i, j] = ties[j, i] = tie
    groups = _groups(wins + wins.T + ties)
    names = tuple(tuple(models[i] for i in group) for group in groups)
    unbounded = {models[i]: side for i, side in _unbounded(wins + ties, groups).items()}
    if not votes:
        return Strengths(models, np.zeros(0), (), wins, ties, 0.0, names, {})
    best = _fit(table.sum(axis=0)[None].astype(float), pairs, np.zeros(len(models) + 1))
    fitted = _centred(best, groups)[0]
    intervals: list[Interval | None] = [None] * len(models)
    if questions >= FEWEST:
        distinct, counts = np.unique(table, axis=0, return_counts=True)
        weights = np.random.default_rng(seed).multinomial(questions, counts / questions, size=resamples)
        drawn = _centred(_fit((weights @ distinct).astype(float), pairs, best[0]), groups)[:, :-1]
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        intervals = [
            None if name in unbounded else Interval(float(a), float(b))
            for name, a, b in zip(models, low, high, strict=True)
        ]
    nu = float(np.exp(fitted[-1])) if ties.any() else 0.0
    return Strengths(models, fitted[:-1], tuple(intervals), wins, ties, nu, names, unbounded)


def probability(difference: float, tie_weight: float) -> tuple[float, float, float]:
    """Chances that the better, neither, the other wins, for two models `difference` apart."""
    parts = np.array([difference / 2, np.log(tie_weight) if tie_weight > 0 else -np.inf, -difference / 2])
    parts = np.exp(parts - parts.max())
    win, tie, loss = parts / parts.sum()
    return float(win), float(tie), float(loss)


def _tables(votes: Sequence[Comparison], place: dict[str, int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Pairs [pairs, 2] (i < j); per question the counts of i, j, tie for each pair, [questions, 3 · pairs]; number of questions."""
    pairs = sorted({(min(place[v.a], place[v.b]), max(place[v.a], place[v.b])) for v in votes})
    column = {pair: index for index, pair in enumerate(pairs)}
    questions = {name: index for index, name in enumerate(dict.fromkeys(vote.question for vote in votes))}
    table = np.zeros((len(questions), 3 * len(pairs)), dtype=np.int64)
    for vote in votes:
        i, j = place[vote.a], place[vote.b]
        outcome = 2 if vote.choice == "tie" else int((vote.choice == "a") != (i < j))
        table[questions[vote.question], 3 * column[min(i, j), max(i, j)] + outcome] += 1
    return np.array(pairs, dtype=np.int64).reshape(-1, 2), table, len(questions)


def _fit(counts: np.ndarray, pairs: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The most probable (β, ln ν), [many, models + 1], for many tables of counts [many, 3 · pairs] at once.

    Newton's method from `start` [models + 1]; the logarithm of the posterior is strictly concave. A step that does not help is halved.
    """
    many, size = len(counts), len(start)
    # what each outcome adds to ln p: β_i, β_j, or ln ν + (β_i + β_j) / 2
    design = np.zeros((len(pairs), 3, size))
    rows = np.arange(len(pairs))
    design[rows, 0, pairs[:, 0]] = design[rows, 1, pairs[:, 1]] = 1
    design[rows, 2, pairs[:, 0]] = design[rows, 2, pairs[:, 1]] = 0.5
    design[:, 2, -1] = 1
    flat = design.reshape(-1, size)
    seen = counts.reshape(many, -1, 3)
    total = seen.sum(axis=2)
    precision = 1 / PRIOR**2

    def objective(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        eta = (theta @ flat.T).reshape(many, -1, 3)
        top = eta.max(axis=2, keepdims=True)
        weight = np.exp(eta - top)
        norm = weight.sum(axis=2, keepdims=True)
        value = (seen * (eta - top - np.log(norm))).sum(axis=(1, 2)) - precision / 2 * np.square(theta).sum(axis=1)
        return value, weight / norm

    theta = np.tile(start, (many, 1))
    value, chance = objective(theta)
    for _ in range(_STEPS):
        expected = total[:, :, None] * chance
        gradient = (seen - expected).reshape(many, -1) @ flat - precision * theta
        # Fisher information: of each pair total · (diag(p) - p pᵀ) seen through the design
        mean = np.einsum("bpo,pos->bps", chance, design)
        information = np.einsum("bq,qs,qt->bst", expected.reshape(many, -1), flat, flat, optimize=True)
        information -= np.einsum("bp,bps,bpt->bst", total, mean, mean, optimize=True)
        information += precision * np.eye(size)
        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        scale = np.ones(many)
        for _ in range(30):
            after, chances = objective(theta + scale[:, None] * step)
            worse = after < value - 1e-9
            if not worse.any():
                break
            scale[worse] /= 2
        theta, value, chance = theta + scale[:, None] * step, after, chances
        if np.abs(scale[:, None] * step).max() < _TOLERANCE:
            break
    return theta


def _centred(theta: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Scores of each group about their mean; the prior does it already, but for rounding and for a resample that falls apart."""
    theta = theta.copy()
    for group in groups:
        theta[:, list(group)] -= theta[:, list(group)].mean(axis=1, keepdims=True)
    return theta


def _reach(edges: np.ndarray) -> np.ndarray:
    """Which node leads to which along `edges`, [models, models]; every node to itself."""
    reach = (edges > 0) | np.eye(len(edges), dtype=bool)
    for middle in range(len(edges)):  # Warshall
        reach |= reach[:, middle : middle + 1] & reach[middle : middle + 1]
    return reach


def _groups(edges: np.ndarray) -> list[list[int]]:
    """Connected components, largest first."""
    reach = _reach(edges)
    found = {tuple(int(i) for i in np.flatnonzero(row)) for row in reach}
    return [list(group) for group in sorted(found, key=lambda group: (-len(group), group))]


def _unbounded(beats: np.ndarray, groups: Sequence[Sequence[int]]) -> dict[int, str]:
    """Models without a finite maximum-likelihood score: Ford (1957), Am. Math. Monthly 64:28, asks for a chain of wins both ways.

    `beats` counts wins and ties of row against column.
    """
    reach = _reach(beats)
    found: dict[int, str] = {}
    for group in groups:
        for i in group:
            above = all(reach[i, j] for j in group)
            below = all(reach[j, i] for j in group)
            if above and not below:
                found[i] = "best"
            elif below and not above:
                found[i] = "worst"
            elif not above and not below:
                found[i] = "between"
    return found
