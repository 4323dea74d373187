"""How the topics write numbers, sums and brackets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from domains.math.problems import polynomial, term

Number = int | Fraction
NOT_ZERO = tuple(n for n in range(-9, 10) if n)
LETTERS = ("x", "x", "x", "x", "y", "t", "z", "n")


def plus(value: Number) -> str:
    """` + 5` or ` - 5`."""
    return f" - {-value}" if value < 0 else f" + {value}"


def bracket(value: Number) -> str:
    """`(-3)`, `(2/3)`, `3`: a number that can stand in a product or under a power."""
    return f"({value})" if value < 0 or Fraction(value).denominator > 1 else str(value)


def factor(a: int, b: int, v: str) -> str:
    """`(2x - 3)`; plain `x` where b is 0."""
    return f"({polynomial({1: a, 0: b}, v)})" if b else term(a, 1, v)


def combination(coefficients: Sequence[int], names: Sequence[str]) -> str:
    """`2x - 3y + z`."""
    text = ""
    for value, name in zip(coefficients, names, strict=True):
        if value:
            written = term(abs(value), 1, name)
            text += (f" - {written}" if value < 0 else f" + {written}") if text else term(value, 1, name)
    return text or "0"


def polynomial_at(coefficients: dict[int, int], value: Number) -> str:
    """The polynomial with a number put in: `2 * 3^2 - 5 * 3 + 1`."""
    text = ""
    for power in sorted(coefficients, reverse=True):
        c = coefficients[power]
        if not c:
            continue
        body = {0: "", 1: bracket(value)}.get(power, f"{bracket(value)}^{power}")
        written = " * ".join(part for part in ("" if abs(c) == 1 and body else str(abs(c)), body) if part)
        text += (f" - {written}" if c < 0 else f" + {written}") if text else ("-" if c < 0 else "") + written
    return text or "0"


def value_of(coefficients: dict[int, int], at: Number) -> Fraction:
    """The polynomial's value."""
    return sum((Fraction(c) * Fraction(at) ** power for power, c in coefficients.items()), Fraction(0))


def times(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    """The product of two polynomials."""
    result: dict[int, int] = {}
    for p, a in one.items():
        for q, b in other.items():
            result[p + q] = result.get(p + q, 0) + a * b
    return result


def unequal(rng: random.Random, low: int, high: int, count: int = 2) -> list[int]:
    """Different whole numbers that are not 0, in rising order."""
    return sorted(rng.sample([n for n in range(low, high + 1) if n], count))
