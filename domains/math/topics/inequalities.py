"""Inequalities in one unknown: linear, turned around by a negative factor, quadratic and rational."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import Problem, polynomial, term
from domains.math.topics.common import LETTERS, NOT_ZERO, bracket, factor, plus, unequal

TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
SIGNS = tuple(TURNED)


def inequalities(level: str, rng: random.Random) -> Problem:
    """easy: ax + b < c; medium: unknowns on both sides, a negative factor; hard: quadratic or rational."""
    v, sign = rng.choice(LETTERS), rng.choice(SIGNS)
    if level == "easy":
        a, b, x = rng.randint(2, 9), rng.choice(NOT_ZERO), rng.choice([n for n in range(-10, 13) if n])
        return _linear(v, sign, a, b, 0, a * x + b)
    if level == "medium":
        while True:
            a, c = rng.sample([n for n in range(-7, 8) if n], 2)
            if a - c < -1:
                break
        b, d = rng.choice(NOT_ZERO), rng.randint(-20, 20)
        return _linear(v, sign, a, b, c, d)
    p, q = unequal(rng, -8, 9)
    return _quadratic(v, sign, p, q) if rng.random() < 0.6 else _rational(v, sign, p, q, rng)


def _linear(v: str, sign: str, a: int, b: int, c: int, d: int) -> Problem:
    x = Fraction(d - b, a - c)
    left, right = polynomial({1: a, 0: b}, v), polynomial({1: c, 0: d}, v)
    end = TURNED[sign] if a < c else sign
    steps = []
    if c:
        steps.append(f"{term(a, 1, v)} {'+' if c < 0 else '-'} {term(abs(c), 1, v)} {sign} {d}{plus(-b)}")
    steps.append(f"{term(a - c, 1, v)} {sign} {d - b}")
    steps.append(f"{v} {end} {d - b} / {bracket(a - c)}")
    answer = f"{v} {end} {x}"
    return Problem("inequality", {"v": v, "ineq": f"{left} {sign} {right}"}, tuple(steps), answer)


def _between(v: str, sign: str, p: int, q: int, open_at: str = "") -> str:
    """The numbers from p to q; `open_at` is an end that never belongs to them."""
    strict = sign in ("<", ">")
    low, high = ("<" if strict or open_at == end else "<=" for end in ("low", "high"))
    return f"{p} {low} {v} {high} {q}"


def _outside(v: str, sign: str, p: int, q: int, open_at: str = "") -> str:
    strict = sign in ("<", ">")
    low, high = ("" if strict or open_at == end else "=" for end in ("low", "high"))
    return f"{v} <{low} {p} or {v} >{high} {q}"


def _quadratic(v: str, sign: str, p: int, q: int) -> Problem:
    question = f"{polynomial({2: 1, 1: -(p + q), 0: p * q}, v)} {sign} 0"
    steps = (
        f"{-p} * {bracket(-q)} = {p * q}, {-p}{plus(-q)} = {-p - q}",
        f"{factor(1, -p, v)}{factor(1, -q, v)} {sign} 0",
    )
    answer = (_between if sign in ("<", "<=") else _outside)(v, sign, p, q)
    return Problem("inequality", {"v": v, "ineq": question}, steps, answer)


def _rational(v: str, sign: str, p: int, q: int, rng: random.Random) -> Problem:
    """(x - zero)/(x - pole) < 0; the pole is never a solution."""
    zero, pole = (p, q) if rng.random() < 0.5 else (q, p)
    k = rng.choice((1, 2, 3))
    # (x - zero)/(x - pole) sign 0, written as (x + s)/(x - pole) sign k moved to one side
    top = {1: 1 - k, 0: -zero + k * pole} if k > 1 else {1: 1, 0: -zero}
    if k > 1:
        zero_moved = Fraction(k * pole - zero, k - 1)
        if zero_moved.denominator > 1 or zero_moved == pole:
            k, top = 1, {1: 1, 0: -zero}
    if k == 1:
        question = f"{factor(1, -zero, v)}/{factor(1, -pole, v)} {sign} 0"
        steps: tuple[str, ...] = (f"{factor(1, -zero, v)}{factor(1, -pole, v)} {sign} 0",) if sign in ("<", ">") else ()
        inside = sign in ("<", "<=")
    else:
        zero = int(Fraction(k * pole - zero, k - 1))
        question = f"{polynomial({1: 1, 0: top[0] - k * pole}, v)}".join("()") + f"/{factor(1, -pole, v)} {sign} {k}"
        steps = (
            f"({polynomial({1: 1, 0: top[0] - k * pole}, v)} - {k}{factor(1, -pole, v)})/{factor(1, -pole, v)} {sign} 0",
            f"({polynomial(top, v)})/{factor(1, -pole, v)} {sign} 0",
        )
        inside = sign in (">", ">=")
    low, high = sorted((zero, pole))
    steps = steps or (f"{factor(1, -zero, v)}/{factor(1, -pole, v)} {sign} 0",)
    answer = (_between if inside else _outside)(v, sign, low, high, "low" if pole == low else "high")
    return Problem("inequality", {"v": v, "ineq": question}, steps, answer)
