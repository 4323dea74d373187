"""Fractions: sums, differences, products, quotients, mixed numbers and parts of a quantity."""

from __future__ import annotations

import random
from fractions import Fraction
from math import gcd, lcm

from domains.math.problems import NAMES, Problem
from domains.math.topics.common import bracket


def fractions(level: str, rng: random.Random) -> Problem:
    """easy: one operation; medium: a part of a part, and what is left; hard: mixed numbers, three operations."""
    if level == "easy":
        return rng.choice((_sum, _product))(rng)
    if level == "medium":
        return rng.choice((_sum_wide, _quotient, _rest))(rng)
    return rng.choice((_mixed, _three))(rng)


def _proper(rng: random.Random, low: int, high: int) -> tuple[int, int]:
    while True:
        b = rng.randint(low, high)
        a = rng.randint(1, b - 1)
        if gcd(a, b) == 1:
            return a, b


def _reduced(top: int, bottom: int) -> tuple[str, ...]:
    """The step that reduces a fraction, where it can be."""
    value = str(Fraction(top, bottom))
    return () if value == f"{top}/{bottom}" else (f"{top}/{bottom} = {value}",)


def _expression(text: str, steps: tuple[str, ...], answer: Fraction) -> Problem:
    return Problem("fraction_expression", {"e": text}, steps, str(answer))


def _added(a: int, b: int, sign: str, c: int, d: int) -> Problem:
    m = lcm(b, d)
    i, j = a * m // b, c * m // d
    total = i + j if sign == "+" else i - j
    steps = [f"{a}/{b} = {i}/{m}, {c}/{d} = {j}/{m}" if b != d else f"{a}/{b} {sign} {c}/{d} = ({a} {sign} {c})/{m}"]
    steps.append(f"{i}/{m} {sign} {j}/{m} = {total}/{m}" + (f" = {Fraction(total, m)}" if str(Fraction(total, m)) != f"{total}/{m}" else ""))  # fmt: skip
    return _expression(f"{a}/{b} {sign} {c}/{d}", tuple(steps), Fraction(total, m))


def _sum(rng: random.Random) -> Problem:
    """One denominator, or one that divides the other."""
    a, b = _proper(rng, 3, 12)
    d = b * rng.choice((1, 1, 2, 3))
    c = rng.choice([n for n in range(1, d) if gcd(n, d) == 1])
    if rng.random() < 0.4 and Fraction(a, b) != Fraction(c, d):
        big, small = max((Fraction(a, b), a, b), (Fraction(c, d), c, d)), min((Fraction(a, b), a, b), (Fraction(c, d), c, d))  # fmt: skip
        return _added(*big[1:], "-", *small[1:])
    return _added(a, b, "+", c, d)


def _sum_wide(rng: random.Random) -> Problem:
    while True:
        (a, b), (c, d) = _proper(rng, 4, 15), _proper(rng, 4, 15)
        if b % d and d % b:
            return _added(a, b, rng.choice("+-"), c, d)


def _product(rng: random.Random) -> Problem:
    (a, b), (c, d) = _proper(rng, 2, 9), _proper(rng, 2, 9)
    result = Fraction(a * c, b * d)
    steps = (f"{a} * {c} = {a * c}, {b} * {d} = {b * d}", *_reduced(a * c, b * d))
    return _expression(f"{a}/{b} * {c}/{d}", steps, result)


def _quotient(rng: random.Random) -> Problem:
    (a, b), (c, d) = _proper(rng, 2, 12), _proper(rng, 2, 12)
    result = Fraction(a * d, b * c)
    steps = (f"({a}/{b}) / ({c}/{d}) = {a}/{b} * {d}/{c} = {a * d}/{b * c}", *_reduced(a * d, b * c))
    return _expression(f"({a}/{b}) / ({c}/{d})", steps, result)


def _rest(rng: random.Random) -> Problem:
    """a/b of n are used, then c/d of the rest."""
    (a, b), (c, d) = _proper(rng, 2, 8), _proper(rng, 2, 6)
    n = b * d * rng.randint(1, 9)
    used = a * n // b
    left = n - used
    again = left * c // d
    if left * c % d:
        n *= d
        used, left = a * n // b, n - a * n // b
        again = left * c // d
    slots: dict[str, object] = {"name": rng.choice(NAMES), "a": a, "b": b, "c": c, "d": d, "n": n}
    steps = (f"{a}/{b} * {n} = {used}", f"{n} - {used} = {left}", f"{c}/{d} * {left} = {again}", f"{left} - {again} = {left - again}")  # fmt: skip
    return Problem("fraction_story", slots, steps, str(left - again))


def _mixed(rng: random.Random) -> Problem:
    (a, b), (c, d) = _proper(rng, 2, 9), _proper(rng, 2, 9)
    p, q = rng.randint(1, 6), rng.randint(1, 6)
    sign = rng.choice("+-*")
    one, other = Fraction(p * b + a, b), Fraction(q * d + c, d)
    result = {"+": one + other, "-": one - other, "*": one * other}[sign]
    middle = {"*": f"{one.numerator * other.numerator}/{b * d}"}.get(sign, "")
    if sign != "*":
        m = lcm(b, d)
        middle = f"{one.numerator * (m // b)}/{m} {sign} {other.numerator * (m // d)}/{m}"
    steps = (
        f"{p} {a}/{b} = ({p} * {b} + {a})/{b} = {one}",
        f"{q} {c}/{d} = ({q} * {d} + {c})/{d} = {other}",
        f"{one} {sign} {other} = {middle} = {result}",
    )
    return _expression(f"{p} {a}/{b} {sign} {q} {c}/{d}", steps, result)


def _three(rng: random.Random) -> Problem:
    """(a/b ± c/d) * e/f or divided by it."""
    while True:
        (a, b), (c, d), (e, f) = _proper(rng, 2, 9), _proper(rng, 2, 9), _proper(rng, 2, 9)
        sign, other = rng.choice("+-"), rng.choice("*/")
        inner = Fraction(a, b) + Fraction(c, d) * (1 if sign == "+" else -1)
        if inner and b != d:
            break
    result = inner * Fraction(e, f) if other == "*" else inner / Fraction(e, f)
    m = lcm(b, d)
    steps = (
        f"{a}/{b} {sign} {c}/{d} = {a * m // b}/{m} {sign} {c * m // d}/{m} = {inner}",
        f"{bracket(inner)} * {e}/{f} = {result}" if other == "*" else f"{bracket(inner)} * {f}/{e} = {result}",
    )
    return _expression(f"({a}/{b} {sign} {c}/{d}) {other} ({e}/{f})", steps, result)
