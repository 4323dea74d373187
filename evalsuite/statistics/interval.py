"""An interval that knows its method; Wilson's, for a proportion; and what is left to say where nothing varies."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

NORMAL = NormalDist()
Z95 = NORMAL.inv_cdf(0.975)
"""The 97.5 % point of the standard normal distribution."""
ALL_EQUAL = "none: all values are equal"


class _Bounds(NamedTuple):
    low: float
    high: float


class Interval(_Bounds):
    """A two-sided 95 % confidence interval, and by which method; as a tuple it is (low, high)."""

    method: str

    def __new__(cls, low: float, high: float, method: str = "") -> Interval:
        """Bounds in the unit of the value."""
        interval = super().__new__(cls, low, high)
        interval.method = method
        return interval

    @property
    def empty(self) -> bool:
        """Whether it has no width, as nothing varied: then it says nothing of what would."""
        return self.low == self.high

    def to_json(self) -> dict[str, Any]:
        """`low`, `high` and `method`."""
        return {"low": self.low, "high": self.high, "method": self.method}


def wilson(successes: int, n: int, z: float = Z95) -> Interval:
    """Wilson's score interval for a proportion; [0, 1] for n = 0.

    Wilson (1927), JASA 22:209. Recommended over p ± z·se by Brown, Cai & DasGupta (2001), Statistical Science 16:101:
    it keeps its coverage at small n and near 0 and 1, where a weak base model lives.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n, found {successes} of {n}")
    if n == 0:
        return Interval(0.0, 1.0, "Wilson")
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # exact at the ends, where rounding would leave 1e-17
    return Interval(0.0 if successes == 0 else middle - half, 1.0 if successes == n else middle + half, "Wilson")


def unseen(n: int) -> float:
    """The largest share of a population that n draws can miss altogether in one of twenty samples: about 3/n.

    The rule of three in its exact form 1 - 0.05^(1/n): Hanley & Lippman-Hand (1983), JAMA 249:1743.
    """
    return float(1 - 0.05 ** (1 / n))


def constant(value: float, n: int, bounds: tuple[float, float] | None) -> Interval:
    """The interval of a mean where all n units are equal, so that no resample can differ.

    With the `bounds` that a value may take, the rule of three: an unseen share of units may lie at either end.
    Without them there is none, and the interval of zero width says so in its method.
    """
    if bounds is None:
        return Interval(value, value, ALL_EQUAL)
    low, high = bounds
    if not low <= value <= high:
        raise ValueError(f"expected a value within {bounds}, found {value}")
    q = unseen(n)
    return Interval(value - q * (value - low), value + q * (high - value), "rule of three")


def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t, to 0.1 % for p in [0.0005, 0.9995] from 3 degrees of freedom on; exact for 1 and 2.

    Cornish-Fisher expansion: Abramowitz & Stegun (1964), 26.7.5.
    """
    if df < 1:
        raise ValueError(f"expected at least 1 degree of freedom, found {df}")
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = NORMAL.inv_cdf(p)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / df**power for power, term in enumerate(terms))
