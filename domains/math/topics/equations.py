"""Linear and quadratic equations in one unknown."""

from __future__ import annotations

import random
from fractions import Fraction
from math import isqrt, lcm

from domains.math.problems import Problem, polynomial, term
from domains.math.topics.common import LETTERS, NOT_ZERO, bracket, factor, plus, unequal


def linear(level: str, rng: random.Random) -> Problem:
    """easy: ax + b = c; medium: unknowns on both sides; hard: brackets, or fractions, with a fraction as solution."""
    v = rng.choice(LETTERS)
    if level == "easy":
        a, x, b = rng.randint(2, 12), rng.choice([n for n in range(-12, 16) if n]), rng.choice(NOT_ZERO)
        return _linear(v, f"{polynomial({1: a, 0: b}, v)} = {a * x + b}", [], a, b, 0, a * x + b)
    if level == "medium":
        a, c = rng.sample([n for n in range(-8, 13) if n], 2)
        x, b = rng.choice([n for n in range(-9, 10) if n]), rng.choice(NOT_ZERO)
        return _linear(v, f"{polynomial({1: a, 0: b}, v)} = {polynomial({1: c, 0: (a - c) * x + b}, v)}", [], a, b, c, (a - c) * x + b)  # fmt: skip
    return _brackets(v, rng) if rng.random() < 0.5 else _fractions(v, rng)


def _linear(v: str, equation: str, steps: list[str], a: int, b: int, c: int, d: int) -> Problem:
    """The end of every linear equation: ax + b = cx + d, reached from `equation` by `steps`."""
    x = Fraction(d - b, a - c)
    moved = f"{d}{plus(-b)}" if b else str(d)
    if c:
        steps = [*steps, f"{term(a, 1, v)}{plus_term(-c, v)} = {moved}"]
    if a - c == 1:
        steps = [*steps, f"{v} = {moved} = {x}" if b else f"{v} = {x}"]
    else:
        right = f"{moved} = {d - b}" if b else str(d)
        steps = [*steps, f"{term(a - c, 1, v)} = {right}", f"{v} = {d - b} / {bracket(a - c)} = {x}"]
    return Problem("linear_equation", {"v": v, "eq": equation}, tuple(steps), f"{v} = {x}")


def plus_term(c: int, v: str) -> str:
    """` - 3x`."""
    return f" - {term(-c, 1, v)}" if c < 0 else f" + {term(c, 1, v)}"


def _brackets(v: str, rng: random.Random) -> Problem:
    """a(x + p) + c(x + q) = e."""
    while True:
        a, c = rng.randint(2, 9), rng.choice([n for n in range(-7, 8) if abs(n) > 1])
        p, q, e = rng.choice(NOT_ZERO), rng.choice(NOT_ZERO), rng.randint(-20, 30)
        if a + c:
            break
    equation = f"{a}{factor(1, p, v)} {'-' if c < 0 else '+'} {abs(c)}{factor(1, q, v)} = {e}"
    expanded = f"{a}{v}{plus(a * p)}{plus_term(c, v)}{plus(c * q)} = {e}"
    collected = f"{polynomial({1: a + c, 0: a * p + c * q}, v)} = {e}"
    return _linear(v, equation, [expanded, collected], a + c, a * p + c * q, 0, e)


def _fractions(v: str, rng: random.Random) -> Problem:
    """(x + p)/b + (x + q)/d = e, multiplied by the common denominator."""
    b, d = rng.sample(range(2, 8), 2)
    p, q, e = rng.choice(NOT_ZERO), rng.choice(NOT_ZERO), rng.randint(-6, 9)
    m = lcm(b, d)
    i, j = m // b, m // d
    equation = f"{factor(1, p, v)}/{b} + {factor(1, q, v)}/{d} = {e}"
    first = f"{'' if i == 1 else i}{factor(1, p, v)} + {'' if j == 1 else j}{factor(1, q, v)} = {m} * {bracket(e)} = {m * e}"
    collected = f"{polynomial({1: i + j, 0: i * p + j * q}, v)} = {m * e}"
    return _linear(v, equation, [first, collected], i + j, i * p + j * q, 0, m * e)


def quadratic(level: str, rng: random.Random) -> Problem:
    """easy: whole roots by factoring; medium: a x^2 with the formula; hard: roots with a square root, or terms on both sides."""
    v = rng.choice(LETTERS)
    if level == "easy":
        return _factored(v, unequal(rng, -12, 12), rng)
    if level == "medium":
        return _formula(v, rng)
    return _square(v, rng) if rng.random() < 0.6 else _both_sides(v, rng)


def _factored(v: str, roots: list[int], rng: random.Random) -> Problem:
    p, q = roots
    equation = f"{polynomial({2: 1, 1: -(p + q), 0: p * q}, v)} = 0"
    steps = (
        f"{-p} * {bracket(-q)} = {p * q}, {-p}{plus(-q)} = {-p - q}",
        f"{factor(1, -p, v)}{factor(1, -q, v)} = 0",
        f"{polynomial({1: 1, 0: -p}, v)} = 0 or {polynomial({1: 1, 0: -q}, v)} = 0",
    )
    return Problem("quadratic_equation", {"v": v, "eq": equation}, steps, f"{v} = {p} or {v} = {q}")


def _formula(v: str, rng: random.Random) -> Problem:
    """(kx - m)(x - q) = 0 by the quadratic formula."""
    while True:
        k, m, q = rng.randint(2, 5), rng.choice(NOT_ZERO), rng.choice([n for n in range(-7, 8) if n])
        if Fraction(m, k) != q and k * q + m:
            break
    b, c = -(k * q + m), m * q
    root = isqrt(b * b - 4 * k * c)
    low, high = sorted((Fraction(m, k), Fraction(q)))
    steps = (
        f"D = {bracket(b)}^2 - 4 * {k} * {bracket(c)} = {b * b}{plus(-4 * k * c)} = {root * root}",
        f"sqrt({root * root}) = {root}",
        f"{v} = ({-b} - {root}) / (2 * {k}) = {low}",
        f"{v} = ({-b} + {root}) / (2 * {k}) = {high}",
    )
    equation = f"{polynomial({2: k, 1: b, 0: c}, v)} = 0"
    return Problem("quadratic_equation", {"v": v, "eq": equation}, steps, f"{v} = {low} or {v} = {high}")


def _square(v: str, rng: random.Random) -> Problem:
    """x^2 + 2hx + c = 0 by completing the square; the root stays a root."""
    h, d = rng.choice([n for n in range(-8, 9) if n]), rng.choice([n for n in range(2, 40) if _squarefree(n)])
    equation = f"{polynomial({2: 1, 1: 2 * h, 0: h * h - d}, v)} = 0"
    steps = (
        f"{polynomial({2: 1, 1: 2 * h}, v)} = {d - h * h}",
        f"{polynomial({2: 1, 1: 2 * h, 0: h * h}, v)} = {d - h * h} + {h * h} = {d}",
        f"{factor(1, h, v)}^2 = {d}",
    )
    return Problem("quadratic_equation", {"v": v, "eq": equation}, steps, f"{v} = {-h} - sqrt({d}) or {v} = {-h} + sqrt({d})")  # fmt: skip


def _squarefree(n: int) -> bool:
    return all(n % (k * k) for k in range(2, isqrt(n) + 1))


def _both_sides(v: str, rng: random.Random) -> Problem:
    """a x^2 + b x + c = d x^2 + e x + f that comes down to whole roots, after a division."""
    p, q = unequal(rng, -8, 8)
    k, d, e, f = rng.randint(2, 4), rng.randint(1, 5), rng.randint(-6, 6), rng.randint(-9, 9)
    left = {2: k + d, 1: -k * (p + q) + e, 0: k * p * q + f}
    equation = f"{polynomial(left, v)} = {polynomial({2: d, 1: e, 0: f}, v)}"
    steps = (
        f"{polynomial({2: k, 1: -k * (p + q), 0: k * p * q}, v)} = 0",
        f"{polynomial({2: 1, 1: -(p + q), 0: p * q}, v)} = 0",
        f"{factor(1, -p, v)}{factor(1, -q, v)} = 0",
    )
    return Problem("quadratic_equation", {"v": v, "eq": equation}, steps, f"{v} = {p} or {v} = {q}")
