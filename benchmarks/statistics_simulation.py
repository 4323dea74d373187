"""How often the statistics are right: coverage of 95 % intervals, false alarms at 5 %, and power at the detectable difference.

    python -m benchmarks.statistics_simulation [--repeats 4000]     → benchmarks/results/statistics.json

Each line draws data of which the truth is known, as many times as asked, and counts. The data look like ours: right and
wrong, skewed scores in [0, 1], families of unequal size whose examples rise and fall together. tests/test_evalsuite_statistics.py
runs the same lines with fewer repeats and holds them to 93-97 %, 6 % and 75-85 %.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite import statistics
from truemark import artifacts
from truemark.files import write_json

OUT = Path(__file__).parent / "results" / "statistics.json"
RESAMPLES = 1000
Draw = np.random.Generator
Line = Callable[[Draw, int], float]


def _families(generator: Draw, count: int) -> np.ndarray:
    """Labels of `count` families of 1 to 8 examples, [n]."""
    return np.repeat(np.arange(count), generator.integers(1, 9, count))


def _together(generator: Draw, families: np.ndarray, shape: float) -> np.ndarray:
    """Scores in [0, 1] with mean 1/4, of which half the variance is the family's, [n]; the smaller the shape, the more skewed."""
    shared = generator.beta(shape, 3 * shape, families.max() + 1)
    return (shared[families] + generator.beta(shape, 3 * shape, len(families))) / 2


def _covers(interval: statistics.Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def wilson(n: int, p: float | None = None) -> Line:
    """Right and wrong; `p` None is one anywhere in [0.02, 0.98], as the coverage of a single one leaps with n."""

    def line(generator: Draw, repeats: int) -> float:
        truth = generator.uniform(0.02, 0.98, repeats) if p is None else np.full(repeats, p)
        right = generator.binomial(n, truth)
        return float(np.mean([_covers(statistics.wilson(int(k), n), t) for k, t in zip(right, truth, strict=True)]))

    return line


def bca_skewed(n: int) -> Line:
    """Gamma with shape 1/2: skewness 2.8, more than an exponential."""
    return lambda generator, repeats: float(
        np.mean(
            [
                _covers(statistics.bca(generator.gamma(0.5, 1.0, n), seed=seed, resamples=RESAMPLES), 0.5)
                for seed in range(repeats)
            ]
        )
    )


def bca_discrete(n: int) -> Line:
    """Five-step scores of which most are 0."""
    steps, chances = np.array([0, 0.25, 0.5, 0.75, 1.0]), [0.6, 0.1, 0.1, 0.1, 0.1]
    return lambda generator, repeats: float(
        np.mean(
            [
                _covers(statistics.bca(generator.choice(steps, n, p=chances), seed=seed, resamples=RESAMPLES), 0.25)
                for seed in range(repeats)
            ]
        )
    )


def bca_families(count: int, shape: float = 1.0) -> Line:
    """Skewed scores in families of unequal size."""

    def line(generator: Draw, repeats: int) -> float:
        covered = 0
        for seed in range(repeats):
            families = _families(generator, count)
            values = _together(generator, families, shape)
            covered += _covers(statistics.bca(values, families, seed=seed, resamples=RESAMPLES), 0.25)
        return covered / repeats

    return line


def paired(n: int, wins: float, losses: float) -> Line:
    """Right and wrong of two models on the same examples."""
    return lambda generator, repeats: float(
        np.mean(
            [
                _covers(
                    statistics.paired_bootstrap(
                        generator.choice([-1.0, 0.0, 1.0], n, p=[losses, 1 - wins - losses, wins]),
                        seed=seed,
                        resamples=RESAMPLES,
                    ),
                    wins - losses,
                )
                for seed in range(repeats)
            ]
        )
    )


def _right_and_wrong(generator: Draw, families: np.ndarray) -> np.ndarray:
    """Differences of two models that are equally good, where each family leans to one of them, [n]."""
    lean = generator.uniform(-0.35, 0.35, families.max() + 1)[families]
    draw = generator.random(len(families))
    return np.where(draw < 0.35 + lean, 1.0, np.where(draw > 0.65 + lean, -1.0, 0.0))


def paired_families(count: int) -> Line:
    """The same in families."""

    def line(generator: Draw, repeats: int) -> float:
        covered = 0
        for seed in range(repeats):
            families = _families(generator, count)
            d = _right_and_wrong(generator, families)
            covered += _covers(statistics.paired_bootstrap(d, families, seed=seed, resamples=RESAMPLES), 0.0)
        return covered / repeats

    return line


def mcnemar(n: int, discordance: float) -> Line:
    """Two models that are equally good."""

    def line(generator: Draw, repeats: int) -> float:
        differ = generator.binomial(n, discordance, repeats)
        wins = generator.binomial(differ, 0.5)
        return float(
            np.mean([statistics.mcnemar(int(w), int(k - w)) <= 0.05 for w, k in zip(wins, differ, strict=True)])
        )

    return line


def flips(n: int) -> Line:
    """Two models whose skewed scores have one distribution."""

    def line(generator: Draw, repeats: int) -> float:
        d = generator.gamma(0.5, 1.0, (repeats, n)) - generator.gamma(0.5, 1.0, (repeats, n))
        return float(np.mean([statistics.permutation(row, seed=seed, flips=999) <= 0.05 for seed, row in enumerate(d)]))

    return line


def flips_families(count: int, *, by_family: bool = True) -> Line:
    """Right and wrong in families; `by_family=False` shows what it costs to take them for independent."""

    def line(generator: Draw, repeats: int) -> float:
        alarms = 0
        for _ in range(repeats):
            families = _families(generator, count)
            d = _right_and_wrong(generator, families)
            alarms += statistics.permutation(d, families if by_family else None) <= 0.05
        return alarms / repeats

    return line


def holm(models: int, *, corrected: bool = True) -> Line:
    """A table of models that are all as good as the baseline: how often is any of them said to differ?"""

    def line(generator: Draw, repeats: int) -> float:
        alarms = 0
        for _ in range(repeats):
            hard = generator.random(200)  # the same examples, so the tests are correlated
            right = (generator.random((models + 1, 200)) < hard).astype(np.int8)
            wins = ((right[1:] - right[0]) > 0).sum(axis=1)
            losses = ((right[1:] - right[0]) < 0).sum(axis=1)
            p = [statistics.mcnemar(int(w), int(k)) for w, k in zip(wins, losses, strict=True)]
            alarms += min(statistics.holm(p) if corrected else p) <= 0.05
        return alarms / repeats

    return line


def power(count: int) -> Line:
    """Differences in families whose true mean is the detectable one: how often does the test find it?"""

    def line(generator: Draw, repeats: int) -> float:
        def draw() -> tuple[np.ndarray, np.ndarray]:
            families = _families(generator, count)
            shared = generator.normal(0, 0.2, count)
            return families, shared[families] + generator.normal(0, 0.2, len(families))

        pilots = [draw() for _ in range(200)]
        effect = np.mean([statistics.minimum_detectable(d, families) for families, d in pilots])
        found = 0
        for seed in range(repeats):
            families, d = draw()
            found += statistics.permutation(d + effect, families, seed=seed, flips=999) <= 0.05
        return found / repeats

    return line


COVERAGE: dict[str, Line] = {
    "Wilson, n = 200, any p": wilson(200),
    "Wilson, n = 30, any p": wilson(30),
    "Wilson, n = 200, p = 0.5": wilson(200, 0.5),
    "BCa, skewed scores, n = 200": bca_skewed(200),
    "BCa, five-step scores, n = 100": bca_discrete(100),
    "BCa, skewed scores, 40 families": bca_families(40),
    "paired bootstrap, right and wrong, n = 250": paired(250, 0.3, 0.1),
    "paired bootstrap, right and wrong, n = 160, few differ": paired(160, 0.08, 0.04),
    "paired bootstrap, right and wrong, 20 families": paired_families(20),
}
"""Share of intervals that hold the truth: 93 to 97 %."""
HARD: dict[str, Line] = {
    "BCa, skewed scores, n = 30": bca_skewed(30),
    "BCa, skewed scores, 15 families": bca_families(15),
    "BCa, nearly all scores 0 or 1, 40 families": bca_families(40, 0.1),
    "paired bootstrap, right and wrong, n = 60, few differ": paired(60, 0.05, 0.03),
    "paired bootstrap, right and wrong, 8 families": paired_families(8),
}
"""Too little data for the promise: reported, not held to it."""
ALARMS: dict[str, Line] = {
    "McNemar, n = 200": mcnemar(200, 0.3),
    "McNemar, n = 40": mcnemar(40, 0.3),
    "sign flips, skewed scores, n = 60": flips(60),
    "sign flips, right and wrong, 40 families": flips_families(40),
    "sign flips, right and wrong, 8 families": flips_families(8),
    "Holm over 20 models, any false alarm": holm(20),
}
"""Share of false alarms where nothing differs: at most 6 %."""
WARNING: dict[str, Line] = {
    "sign flips, 40 families taken for independent examples": flips_families(40, by_family=False),
    "20 models without Holm, any false alarm": holm(20, corrected=False),
}
"""What leaving out families or Holm would do."""
POWER: dict[str, Line] = {
    "sign flips at the detectable difference, 40 families": power(40),
    "sign flips at the detectable difference, 15 families": power(15),
}
"""Share of true differences found: 75 to 85 %."""


def measure(lines: dict[str, Line], repeats: int, seed: int = 1) -> dict[str, float]:
    """Each line's share, over `repeats` draws."""
    return {
        name: line(np.random.default_rng([seed, number]), repeats) for number, (name, line) in enumerate(lines.items())
    }


def main() -> None:
    """Run all lines and write benchmarks/results/statistics.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    started = time.monotonic()
    found: dict[str, Any] = {}
    for title, lines in {
        "coverage_of_95": COVERAGE, "coverage_with_too_little_data": HARD, "false_alarms_at_5": ALARMS,
        "false_alarms_without_the_correction": WARNING, "power_at_the_detectable_difference": POWER,
    }.items():  # fmt: skip
        found[title] = measure(lines, options.repeats)
        print(title, found[title], flush=True)
    write_json(
        options.out,
        {
            "command": f"python -m benchmarks.statistics_simulation --repeats {options.repeats}",
            "machine": artifacts.machine(),
            "numpy": np.__version__,
            "repeats": options.repeats,
            "standard_error_at_95": round(math.sqrt(0.95 * 0.05 / options.repeats), 4),
            "resamples": RESAMPLES,
            "seconds": round(time.monotonic() - started, 1),
            **found,
        },
    )


if __name__ == "__main__":
    main()
