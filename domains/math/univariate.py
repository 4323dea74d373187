"""Polynomials in one unknown over the rationals: common roots, how many real roots, and where they lie (Sturm).

A polynomial is a list of coefficients from the constant upward, without leading zeros; `[]` is 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

from domains.math.polynomials import Polynomial

Line = list[Fraction]
MAX_DEGREE = 12


def coefficients(terms: Polynomial, name: str) -> Line | None:
    """A polynomial in the one variable `name`; None where it has another, or too high a degree."""
    found: dict[int, Fraction] = {}
    for monomial, value in terms.items():
        if any(other != name for other, _ in monomial):
            return None
        found[monomial[0][1] if monomial else 0] = value
    degree = max(found, default=-1)
    return None if degree > MAX_DEGREE else [found.get(power, Fraction(0)) for power in range(degree + 1)]


def _trimmed(line: Line) -> Line:
    while line and not line[-1]:
        line.pop()
    return line


def divided(top: Line, bottom: Line) -> tuple[Line, Line]:
    """Quotient and remainder."""
    rest, quotient = list(top), [Fraction(0)] * max(0, len(top) - len(bottom) + 1)
    while len(rest) >= len(bottom):
        factor, shift = rest[-1] / bottom[-1], len(rest) - len(bottom)
        quotient[shift] = factor
        for power, value in enumerate(bottom):
            rest[power + shift] -= factor * value
        _trimmed(rest)
    return quotient, rest


def common(one: Line, other: Line) -> Line:
    """The greatest common divisor, with leading coefficient 1."""
    while other:
        one, other = other, divided(one, other)[1]
    return [value / one[-1] for value in one]


def derived(line: Line) -> Line:
    """The derivative."""
    return [value * power for power, value in enumerate(line)][1:]


def simple(line: Line) -> Line:
    """The polynomial with the same roots, each once."""
    if len(line) < 2:
        return line
    return divided(line, common(line, derived(line)))[0]


def at(line: Line, x: Fraction) -> Fraction:
    """The value."""
    result = Fraction(0)
    for value in reversed(line):
        result = result * x + value
    return result


def without(line: Line, other: Line) -> Line:
    """The polynomial without the roots it shares with another."""
    while len(shared := common(line, other)) > 1:
        line = divided(line, shared)[0]
    return line


def _chain(line: Line) -> list[Line]:
    chain = [line, derived(line)]
    while chain[-1]:
        chain.append([-value for value in divided(chain[-2], chain[-1])[1]])
    return chain[:-1]


def _changes(values: list[Fraction]) -> int:
    signs = [value > 0 for value in values if value]
    return sum(a != b for a, b in itertools.pairwise(signs))


def bound(line: Line) -> Fraction:
    """All real roots lie strictly between minus this and this (Cauchy)."""
    return 1 + max((abs(value / line[-1]) for value in line[:-1]), default=Fraction(0))


def count(line: Line) -> int:
    """How many different real roots."""
    if len(line) < 2:
        return 0
    chain, end = _chain(simple(line)), bound(line)
    return _changes([at(one, -end) for one in chain]) - _changes([at(one, end) for one in chain])


def between(line: Line) -> list[Fraction]:
    """Points that are no roots: one below all real roots, one between each two neighbours, one above all."""
    if len(line) < 2:
        return [Fraction(0)]
    line = simple(line)
    chain, end = _chain(line), bound(line)

    def changes(x: Fraction) -> int:
        return _changes([at(one, x) for one in chain])

    points, stack = [-end], [(-end, end, changes(-end), changes(end))]
    while stack:
        low, high, a, b = stack.pop()
        if a - b <= 1:
            points.append(high)
            continue
        middle = (low + high) / 2
        step = (high - low) / 8
        while not at(line, middle):
            middle += step
            step /= 3
        inside = changes(middle)
        stack += [(middle, high, inside, b), (low, middle, a, inside)]
    return _one_a_gap(sorted(set(points)), changes)


def _one_a_gap(points: list[Fraction], changes: Callable[[Fraction], int]) -> list[Fraction]:
    kept: list[Fraction] = []
    for point in points:
        if not kept or changes(kept[-1]) != changes(point):
            kept.append(point)
    return kept


def between_count(line: Line, low: Fraction, high: Fraction) -> int:
    """How many roots of a polynomial without double roots lie between two numbers that are none."""
    chain = _chain(line)
    return _changes([at(one, low) for one in chain]) - _changes([at(one, high) for one in chain])


def times(one: Line, other: Line) -> Line:
    """The product."""
    result = [Fraction(0)] * (len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            result[i + j] += a * b
    return result
