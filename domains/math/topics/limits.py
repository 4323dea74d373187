"""Limits: by putting in, by cancelling, at infinity, of sin(ax)/(bx), with a square root."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import Problem, polynomial
from domains.math.topics.common import NOT_ZERO, bracket, factor, polynomial_at, unequal, value_of

LETTERS = ("x", "x", "x", "t", "h")


def limits(level: str, rng: random.Random) -> Problem:
    """easy: polynomials; medium: a common factor; hard: at infinity, sin(ax)/(bx), square roots."""
    v = rng.choice(LETTERS)
    if level == "easy":
        function = {rng.randint(1, 3): rng.choice(NOT_ZERO), 0: rng.choice(NOT_ZERO)}
        function |= {1: rng.choice(NOT_ZERO)}
        at = rng.choice([n for n in range(-4, 6) if n])
        result = value_of(function, at)
        return _problem(v, polynomial(function, v), at, (f"{polynomial_at(function, at)} = {result}",), str(result))
    if level == "medium":
        return _cancel(v, rng) if rng.random() < 0.6 else _cancel_both(v, rng)
    return rng.choice((_infinity, _sine, _root))(v, rng)


def _problem(v: str, f: str, at: int, steps: tuple[str, ...], answer: str) -> Problem:
    return Problem("limit", {"v": v, "f": f, "a": at}, steps, answer)


def _cancel(v: str, rng: random.Random) -> Problem:
    """(x^2 + bx + c)/(x - p)."""
    p, q = rng.sample([n for n in range(-9, 10) if n], 2)
    top = polynomial({2: 1, 1: -(p + q), 0: p * q}, v)
    bottom = factor(1, -p, v)
    steps = (f"({top})/{bottom} = {bottom}{factor(1, -q, v)}/{bottom} = {polynomial({1: 1, 0: -q}, v)}", f"{p} - {bracket(q)} = {p - q}")  # fmt: skip
    return _problem(v, f"({top})/{bottom}", p, steps, str(p - q))


def _cancel_both(v: str, rng: random.Random) -> Problem:
    """(x - p)(x - q)/((x - p)(x - r)), both multiplied out."""
    p, q = unequal(rng, -7, 7)
    r = rng.choice([n for n in range(-8, 9) if n and n not in (p, q)])
    top, bottom = (polynomial({2: 1, 1: -(p + n), 0: p * n}, v) for n in (q, r))
    one, other, common = factor(1, -q, v), factor(1, -r, v), factor(1, -p, v)
    result = Fraction(p - q, p - r)
    steps = (f"({top})/({bottom}) = {common}{one}/({common}{other}) = {one}/{other}", f"({p} - {bracket(q)})/({p} - {bracket(r)}) = {result}")  # fmt: skip
    return _problem(v, f"({top})/({bottom})", p, steps, str(result))


def _infinity(v: str, rng: random.Random) -> Problem:
    """A quotient of two polynomials of one degree."""
    n = rng.randint(1, 3)
    a, b, c, d = rng.choice(NOT_ZERO), rng.choice(NOT_ZERO), rng.randint(1, 9), rng.choice(NOT_ZERO)
    low = rng.randint(0, n - 1)
    top, bottom = polynomial({n: a, low: b}, v), polynomial({n: c, 0: d}, v)

    def shrunk(first: int, other: int, power: int) -> str:
        return f"({first} {'-' if other < 0 else '+'} {abs(other)}/{v}{f'^{power}' if power > 1 else ''})"

    result = Fraction(a, c)
    steps = (f"({top})/({bottom}) = {shrunk(a, b, n - low)}/{shrunk(c, d, n)}", f"({a} + 0)/({c} + 0) = {result}")
    return Problem("limit_at_infinity", {"v": v, "f": f"({top})/({bottom})"}, steps, str(result))


def _sine(v: str, rng: random.Random) -> Problem:
    a, b, k = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 4)
    lead = "" if k == 1 else str(k)
    result = Fraction(k * a, b)
    steps = (f"{lead}sin({a}{v})/({b}{v}) = {k * a}/{b} * sin({a}{v})/({a}{v})", f"{k * a}/{b} * 1 = {result}")
    return _problem(v, f"{lead}sin({a}{v})/({b}{v})", 0, steps, str(result))


def _root(v: str, rng: random.Random) -> Problem:
    """(sqrt(kx + r^2) - r)/x at 0."""
    k, r = rng.randint(1, 9), rng.randint(2, 9)
    inner = f"sqrt({polynomial({1: k, 0: r * r}, v)})"
    result = Fraction(k, 2 * r)
    steps = (f"({inner} - {r})/{v} = {k}/({inner} + {r})", f"{k}/({r} + {r}) = {result}")
    return _problem(v, f"({inner} - {r})/{v}", 0, steps, str(result))
