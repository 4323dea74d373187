"""Known answers, and that an interval which says 95 % covers 95 %."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalsuite.statistics import mcnemar, paired_bootstrap, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_known_answers(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == 1.0
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="found 3 of 2"):
        wilson(3, 2)


def test_wilson_covers() -> None:
    generator = np.random.default_rng(1)
    for p in (0.05, 0.5, 0.85):
        draws = generator.binomial(200, p, size=4000)
        covered = np.mean([low <= p <= high for low, high in (wilson(int(k), 200) for k in draws)])
        assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    # R: binom.test; statsmodels' docstring for the last
    [(0, 0, 1.0), (1, 7, 0.0703125), (6, 16, 0.0524797), (10, 20, 0.0987371), (5, 5, 1.0), (121, 59, 4.434e-06)],
)
def test_mcnemar_known_answers(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == pytest.approx(p, rel=1e-3)
    assert mcnemar(wins, losses) == mcnemar(losses, wins)


@pytest.mark.parametrize(("n", "k"), [(9, 2), (300, 120), (1000, 480)])
def test_mcnemar_is_the_exact_sum(n: int, k: int) -> None:
    exact = 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar(k, n - k) == pytest.approx(exact, rel=1e-10)


def test_mcnemar_does_not_overflow() -> None:
    assert mcnemar(300_000, 700_000) == 0.0
    assert 0.04 < mcnemar(499_000, 501_000) < 0.05


def test_bootstrap_matches_the_plain_one() -> None:
    """Drawing indices, the textbook way, gives the same interval as our multinomial draw."""
    d = np.random.default_rng(2).choice([-1.0, 0.0, 1.0], p=[0.1, 0.5, 0.4], size=300)
    index = np.random.default_rng(3).integers(0, len(d), size=(10_000, len(d)))
    plain = np.quantile(d[index].mean(axis=1), [0.025, 0.975])
    assert paired_bootstrap(d) == pytest.approx(tuple(plain), abs=0.006)


def test_bootstrap_is_seeded_and_degenerate_where_nothing_differs() -> None:
    d = np.array([1.0, 0.0, 0.0, -1.0, 1.0] * 20)
    assert paired_bootstrap(d, seed=4) == paired_bootstrap(d, seed=4)
    assert paired_bootstrap(np.zeros(50)) == (0.0, 0.0)
    with pytest.raises(ValueError, match="at least one"):
        paired_bootstrap(np.array([]))


def test_bootstrap_covers() -> None:
    generator = np.random.default_rng(5)
    covered = []
    for _ in range(600):
        d = generator.choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=250)
        low, high = paired_bootstrap(d, resamples=1000)
        covered.append(low <= 0.2 <= high)
    assert 0.92 <= np.mean(covered) <= 0.975


def test_clusters_widen_where_families_move_together() -> None:
    """40 families whose examples all agree carry the information of 40 examples: only the clustered interval covers."""
    generator = np.random.default_rng(6)
    plain, clustered = [], []
    families = np.repeat(np.arange(40), 10)
    for _ in range(300):
        d = np.repeat(generator.choice([0.0, 1.0], p=[0.6, 0.4], size=40), 10)
        low, high = paired_bootstrap(d, resamples=1000)
        plain.append(low <= 0.4 <= high)
        low, high = paired_bootstrap(d, families, resamples=1000)
        clustered.append(low <= 0.4 <= high)
    assert np.mean(clustered) > 0.9
    assert np.mean(plain) < 0.6
