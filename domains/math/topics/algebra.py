"""Simplification (like terms, products, rational expressions) and factoring."""

from __future__ import annotations

import random
from math import gcd

from domains.math.problems import Problem, polynomial, term
from domains.math.topics.common import NOT_ZERO, bracket, factor, plus, times, unequal

LETTERS = ("x", "x", "x", "y", "a", "t")


def simplification(level: str, rng: random.Random) -> Problem:
    """easy: like terms and one bracket; medium: products and squares; hard: rational expressions."""
    v = rng.choice(LETTERS)
    if level == "easy":
        a, b, c, d = rng.randint(2, 7), rng.choice(NOT_ZERO), rng.choice(NOT_ZERO), rng.choice(NOT_ZERO)
        first = f"{a}{factor(1, b, v)}{' - ' if c < 0 else ' + '}{term(abs(c), 1, v)}{plus(d)}"
        middle = f"{polynomial({1: a, 0: a * b}, v)}{' - ' if c < 0 else ' + '}{term(abs(c), 1, v)}{plus(d)}"
        answer = polynomial({1: a + c, 0: a * b + d}, v)
        return Problem("simplify", {"v": v, "f": first}, (f"{first} = {middle}", f"{middle} = {answer}"), answer)
    if level == "medium":
        return _square(v, rng) if rng.random() < 0.5 else _products(v, rng)
    return _rational(v, rng)


def _products(v: str, rng: random.Random) -> Problem:
    """(ax + b)(cx + d) - k x^2."""
    one, other = ({1: rng.randint(1, 5), 0: rng.choice(NOT_ZERO)} for _ in range(2))
    k = rng.randint(1, 6)
    product = times(one, other)
    f = f"({polynomial(one, v)})({polynomial(other, v)}) - {term(k, 2, v)}"
    answer = polynomial(product | {2: product[2] - k}, v)
    steps = (f"({polynomial(one, v)})({polynomial(other, v)}) = {polynomial(product, v)}", f"{polynomial(product, v)} - {term(k, 2, v)} = {answer}")  # fmt: skip
    return Problem("simplify", {"v": v, "f": f}, steps, answer)


def _square(v: str, rng: random.Random) -> Problem:
    """(x + p)^2 - (x - q)(x + r)."""
    p, q, r = rng.choice(NOT_ZERO), rng.randint(1, 9), rng.randint(1, 9)
    square, product = times({1: 1, 0: p}, {1: 1, 0: p}), times({1: 1, 0: -q}, {1: 1, 0: r})
    one, other = f"{factor(1, p, v)}^2", f"{factor(1, -q, v)}{factor(1, r, v)}"
    answer = polynomial({n: square[n] - product[n] for n in (2, 1, 0)}, v)
    steps = (f"{one} = {polynomial(square, v)}", f"{other} = {polynomial(product, v)}", f"{polynomial(square, v)} - ({polynomial(product, v)}) = {answer}")  # fmt: skip
    return Problem("simplify", {"v": v, "f": f"{one} - {other}"}, steps, answer)


def _rational(v: str, rng: random.Random) -> Problem:
    """(x - p)(x - q)/((x - p)(x - r)) multiplied out, sometimes with a number in front."""
    p, q = rng.sample([n for n in range(-8, 9) if n], 2)
    r = rng.choice([n for n in range(-8, 9) if n and n not in (p, q)])
    k = rng.choice((1, 1, 2, 3))
    top = {2: k, 1: -k * (p + q), 0: k * p * q}
    bottom = {2: 1, 1: -(p + r), 0: p * r}
    lead = "" if k == 1 else str(k)
    f = f"({polynomial(top, v)})/({polynomial(bottom, v)})"
    common, one, other = factor(1, -p, v), factor(1, -q, v), factor(1, -r, v)
    steps = (
        f"{polynomial(top, v)} = {lead}{common}{one}",
        f"{polynomial(bottom, v)} = {common}{other}",
        f"{f} = {lead}{common}{one}/({common}{other})",
    )
    answer = f"{lead}{one}/{other}"
    return Problem("simplify", {"v": v, "f": f}, steps, answer)


def factoring(level: str, rng: random.Random) -> Problem:
    """easy: a common factor; medium: two brackets; hard: a leading number, or a cubic by grouping."""
    v = rng.choice(LETTERS)
    if level == "easy":
        while True:
            k, n, a, b = rng.randint(2, 9), rng.randint(0, 3), rng.randint(1, 7), rng.choice(NOT_ZERO)
            if gcd(a, b) == 1:
                break
        f, lead = polynomial({n + 1: k * a, n: k * b}, v), term(k, n, v)
        steps = (f"{term(k * a, n + 1, v)} = {lead} * {term(a, 1, v)}", f"{term(k * abs(b), n, v)} = {lead} * {abs(b)}")
        return Problem("factor", {"v": v, "f": f}, steps, f"{lead}({polynomial({1: a, 0: b}, v)})")
    if level == "medium":
        p, q = unequal(rng, -12, 12)
        f = polynomial({2: 1, 1: p + q, 0: p * q}, v)
        steps = (f"{p} * {bracket(q)} = {p * q}", f"{p}{plus(q)} = {p + q}")
        return Problem("factor", {"v": v, "f": f}, steps, f"{factor(1, p, v)}{factor(1, q, v)}")
    return _leading(v, rng) if rng.random() < 0.6 else _grouping(v, rng)


def _leading(v: str, rng: random.Random) -> Problem:
    """(ax + b)(cx + d) by splitting the middle term."""
    while True:
        a, c, b, d = rng.randint(2, 6), rng.randint(1, 4), rng.choice(NOT_ZERO), rng.choice(NOT_ZERO)
        if gcd(a, b) == gcd(c, d) == 1 and a * d + b * c and (a, b) != (c, d):
            break
    f = polynomial({2: a * c, 1: a * d + b * c, 0: b * d}, v)
    one, other = factor(a, b, v), factor(c, d, v)
    lead = factor(a, b, v)
    steps = (
        f"{a * d} * {bracket(b * c)} = {a * c} * {bracket(b * d)} = {a * b * c * d}, {a * d}{plus(b * c)} = {a * d + b * c}",
        f"{f} = {term(a * c, 2, v)}{' - ' if b * c < 0 else ' + '}{term(abs(b * c), 1, v)}{' - ' if d < 0 else ' + '}{term(abs(a * d), 1, v)}{plus(b * d)}",
        f"{f} = {term(c, 1, v)}{lead}{plus(d)}{lead}",
    )
    return Problem("factor", {"v": v, "f": f}, steps, f"{one}{other}")


def _grouping(v: str, rng: random.Random) -> Problem:
    """x^3 + a x^2 - k^2 x - k^2 a."""
    a, k = rng.choice(NOT_ZERO), rng.randint(1, 6)
    if abs(a) == k:
        a = k + 1
    f = polynomial({3: 1, 2: a, 1: -k * k, 0: -k * k * a}, v)
    lead = factor(1, a, v)
    steps = (f"{f} = {v}^2{lead} - {k * k if k > 1 else ''}{lead}", f"{f} = {lead}({v}^2 - {k * k})", f"{v}^2 - {k * k} = {factor(1, -k, v)}{factor(1, k, v)}")  # fmt: skip
    return Problem("factor", {"v": v, "f": f}, steps, f"{lead}{factor(1, -k, v)}{factor(1, k, v)}")
