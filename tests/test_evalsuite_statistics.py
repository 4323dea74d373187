"""Known answers, and that an interval which says 95 % covers 95 %."""

from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import statistics_simulation as simulation
from evalsuite.statistics import (
    bca,
    holm,
    mcnemar,
    minimum_detectable,
    paired_bootstrap,
    permutation,
    rank_groups,
    t_quantile,
    wilson,
)


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


def test_bootstrap_is_seeded_and_says_where_nothing_differs() -> None:
    d = np.array([1.0, 0.0, 0.0, -1.0, 1.0] * 20)
    assert paired_bootstrap(d, seed=4) == paired_bootstrap(d, seed=4)
    for interval in (paired_bootstrap, bca):
        found = interval(np.zeros(50))
        assert found == (0.0, 0.0) and found.empty and found.method == "none: all values are equal"
        bounded = interval(np.zeros(50), bounds=(-1, 1))
        assert bounded.method == "rule of three" and bounded == pytest.approx((-0.058, 0.058), abs=5e-4)
        with pytest.raises(ValueError, match="at least one"):
            interval(np.array([]))
        with pytest.raises(ValueError, match="finite"):
            interval(np.array([0.5, np.nan]))


def test_one_family_tells_little_however_many_examples_it_has() -> None:
    values = np.random.default_rng(1).random(500)
    one = bca(values, np.zeros(500), bounds=(0, 1))
    assert one.method == "rule of three" and one.high - one.low > 0.9
    assert bca(np.full(40, 0.7), np.arange(40) % 20, bounds=(0, 1)) == pytest.approx(
        (0.7 * 0.05 ** (1 / 20), 0.7417), abs=1e-4
    )


def test_bca_known_answer() -> None:
    """Efron & Tibshirani (1993), table 14.1 has the variance; for means we hold to a direct, index-drawing BCa."""
    values = np.random.default_rng(3).gamma(0.5, 1.0, 40)
    normal = NormalDist()
    means = values[np.random.default_rng(9).integers(0, 40, (50_000, 40))].mean(axis=1)
    bias = normal.inv_cdf((means < values.mean()).mean())
    centred = values - values.mean()  # of a mean the jackknife is the values themselves
    acceleration = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    z = 2.0227 * math.sqrt(40 / 39)  # t(0.975, 39)
    shares = [normal.cdf(bias + (bias + e) / (1 - acceleration * (bias + e))) for e in (-z, z)]
    assert bca(values, resamples=50_000) == pytest.approx(tuple(np.quantile(means, shares)), rel=0.015)
    low, high = bca(values)
    plain = paired_bootstrap(values)
    assert high > plain.high and low > plain.low, "the long tail is on the right"


@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-10, 10))
@settings(max_examples=40, deadline=None)
def test_bca_moves_and_scales_with_the_values(n: int, seed: int, scale: float, shift: float) -> None:
    values = np.random.default_rng(seed).exponential(size=n)
    low, high = bca(values, resamples=400)
    assert low <= values.mean() <= high or n < 5
    assert bca(values * scale + shift, resamples=400) == pytest.approx(
        (low * scale + shift, high * scale + shift), rel=1e-6, abs=1e-6
    )


def test_a_family_of_one_each_is_no_family() -> None:
    values = np.random.default_rng(5).random(80)
    assert bca(values, np.arange(80)) == pytest.approx(bca(values), abs=1e-12)
    assert permutation(values - 0.45, np.arange(80)) == permutation(values - 0.45)


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 3, 3.18245), (0.975, 5, 2.57058), (0.8, 3, 0.97847), (0.975, 30, 2.04227), (0.9995, 9, 4.78091)],
)  # fmt: skip
def test_t_quantile(p: float, df: int, t: float) -> None:
    assert t_quantile(p, df) == pytest.approx(t, rel=1.5e-3)
    assert t_quantile(1 - p, df) == pytest.approx(-t, rel=1.5e-3)
    with pytest.raises(ValueError, match="degree of freedom"):
        t_quantile(p, 0)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_sign_flips_of_right_and_wrong_are_mcnemar(d: list[float]) -> None:
    assert permutation(np.array(d)) == pytest.approx(mcnemar(d.count(1.0), d.count(-1.0)), rel=1e-9)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_sign_flips_are_counted(d: list[int], size: int) -> None:
    """Against every flip written out; whole numbers, fractions and families take three different ways to it."""
    families = np.arange(len(d)) // size
    sums = np.bincount(families, d)
    flipped = [sum(s * one for s, one in zip(signs, sums, strict=True)) for signs in product([-1, 1], repeat=len(sums))]
    exact = np.mean([abs(one) >= abs(sum(d)) for one in flipped])
    assert permutation(np.array(d), families) == pytest.approx(exact)
    assert permutation(np.array(d) * 0.1, families) == pytest.approx(exact)


def test_sign_flips_drawn_agree_with_all() -> None:
    d = np.random.default_rng(4).normal(0.2, 1, 200).round(1)
    assert permutation(d) == pytest.approx(permutation(d * 10), abs=0.012)
    assert permutation(d) == permutation(d), "seeded"
    assert permutation(np.full(300, 0.3)) == pytest.approx(1 / 10_001), "never 0"
    assert permutation(np.zeros(9)) == 1.0


def test_holm_known_answers() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == [] and holm([0.2]) == [0.2]


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_letter_is_shared_by_those_not_told_apart_and_by_no_others(m: int, seed: int) -> None:
    half = np.triu(np.random.default_rng(seed).random((m, m)) < 0.5, 1)
    different = half | half.T
    letters = rank_groups(different)
    for i in range(m):
        assert letters[i]
        for j in range(m):
            assert bool(set(letters[i]) & set(letters[j])) != different[i, j]


def test_rank_groups() -> None:
    apart = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool)
    assert rank_groups(apart) == ["a", "ab", "b"]
    assert rank_groups(np.zeros((3, 3), dtype=bool)) == ["a", "a", "a"]
    assert rank_groups(~np.eye(3, dtype=bool)) == ["a", "b", "c"]
    assert rank_groups(~np.eye(53, dtype=bool))[-1] == "(53)"


def test_the_detectable_difference_by_hand() -> None:
    d = np.array([1.0] * 12 + [-1.0] * 8 + [0.0] * 180)
    error = math.sqrt((0.1 - 0.02**2) / 199)
    assert minimum_detectable(d) == pytest.approx((1.97196 + 0.84343) * error, rel=1e-3)
    stricter = minimum_detectable(d, alpha=0.005)
    assert stricter is not None and stricter > minimum_detectable(d)  # type: ignore[operator]
    assert minimum_detectable(np.zeros(100)) is None
    never = minimum_detectable(np.zeros(100), bounds=(-1, 1))
    assert never is not None and 0.04 < never < 0.06
    assert minimum_detectable(d, np.arange(200) % 5) is None, "2^(1-5) > 0.05: no difference is large enough"
    assert minimum_detectable(d, np.arange(200) % 6) is not None
    assert minimum_detectable(d, np.arange(200) % 6, alpha=0.05 / 4) is None


def test_a_million_differences() -> None:
    """Right or wrong costs nothing in n; the p is still exact."""
    d = np.zeros(1_000_000)
    d[:2000], d[2000:3800] = 1, -1
    assert permutation(d) == pytest.approx(mcnemar(2000, 1800), rel=1e-6)
    low, high = paired_bootstrap(d)
    assert low < 0.0002 < high < 0.0004


REPEATS = 400


@pytest.mark.parametrize("name", simulation.COVERAGE)
def test_95_percent_intervals_cover_95_percent(name: str) -> None:
    [covered] = simulation.measure({name: simulation.COVERAGE[name]}, 1000).values()
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("name", simulation.ALARMS)
def test_false_alarms_are_at_their_level(name: str) -> None:
    [alarms] = simulation.measure({name: simulation.ALARMS[name]}, REPEATS).values()
    assert alarms <= 0.06


@pytest.mark.parametrize("name", simulation.WARNING)
def test_without_families_or_holm_they_are_not(name: str) -> None:
    [alarms] = simulation.measure({name: simulation.WARNING[name]}, REPEATS).values()
    assert alarms > 0.1


@pytest.mark.parametrize("name", simulation.POWER)
def test_the_detectable_difference_is_found_in_four_of_five(name: str) -> None:
    [found] = simulation.measure({name: simulation.POWER[name]}, REPEATS).values()
    assert 0.74 <= found <= 0.86
