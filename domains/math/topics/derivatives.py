"""Derivatives: powers, products, chains and quotients, and their values at a point."""

from __future__ import annotations

import random

from domains.math.problems import Problem, polynomial, term
from domains.math.topics.common import NOT_ZERO, bracket, factor, polynomial_at, times, value_of

LETTERS = ("x", "x", "x", "t", "u")


def derivatives(level: str, rng: random.Random) -> Problem:
    """easy: polynomials; medium: products, sin, cos, exp, a value at a point; hard: chain and quotient rules, exp and ln in products."""
    v = rng.choice(LETTERS)
    forms = {"easy": (_powers,), "medium": (_product, _waves, _at_point), "hard": (_chain, _quotient, _exponential, _logarithm)}  # fmt: skip
    return rng.choice(forms[level])(v, rng)


def derived(function: dict[int, int]) -> dict[int, int]:
    """The derivative of a polynomial."""
    return {power - 1: value * power for power, value in function.items() if power and value}


def _random(rng: random.Random, degree: int, terms: int) -> dict[int, int]:
    powers = sorted({degree, *rng.sample(range(degree), terms - 1)}, reverse=True)
    return {power: rng.choice(NOT_ZERO) for power in powers}


def _by_term(function: dict[int, int], v: str) -> tuple[str, ...]:
    """Term by term: `4x^3 -> 12x^2`."""
    return tuple(f"{term(value, power, v)} -> {polynomial(derived({power: value}), v)}" for power, value in function.items())  # fmt: skip


def _powers(v: str, rng: random.Random) -> Problem:
    function = _random(rng, rng.randint(2, 6), rng.randint(2, 3))
    return Problem("derivative_of", {"v": v, "f": polynomial(function, v)}, _by_term(function, v), polynomial(derived(function), v))  # fmt: skip


def _product(v: str, rng: random.Random) -> Problem:
    one, other = {rng.choice((1, 2)): rng.randint(1, 5), 0: rng.choice(NOT_ZERO)}, {1: rng.randint(1, 6), 0: rng.choice(NOT_ZERO)}  # fmt: skip
    f, g = f"({polynomial(one, v)})", f"({polynomial(other, v)})"
    df, dg = polynomial(derived(one), v), polynomial(derived(other), v)
    result = derived(times(one, other))
    steps = (f"d/d{v} {f} = {df}", f"d/d{v} {g} = {dg}", f"f'({v}) = {df} * {g} + {f} * {dg}")
    return Problem("derivative_of", {"v": v, "f": f"{f}{g}"}, steps, polynomial(result, v))


def _waves(v: str, rng: random.Random) -> Problem:
    """a sin(kx) + b cos(mx) or with exp or a power."""
    a, k = rng.randint(2, 7), rng.randint(2, 6)
    b, n = rng.randint(2, 6), rng.randint(2, 4)
    name = rng.choice(("sin", "cos", "exp"))
    end = {"sin": f"{a * k}cos({k}{v})", "cos": f"-{a * k}sin({k}{v})", "exp": f"{a * k}exp({k}{v})"}[name]
    steps = (f"{a}{name}({k}{v}) -> {end}", f"{term(b, n, v)} -> {term(b * n, n - 1, v)}")
    return Problem("derivative_of", {"v": v, "f": f"{a}{name}({k}{v}) + {term(b, n, v)}"}, steps, f"{end} + {term(b * n, n - 1, v)}")  # fmt: skip


def _at_point(v: str, rng: random.Random) -> Problem:
    function = _random(rng, rng.randint(2, 4), rng.randint(2, 3))
    at = rng.choice([n for n in range(-3, 5) if n])
    slope = derived(function)
    result = value_of(slope, at)
    steps = (f"f'({v}) = {polynomial(slope, v)}", f"f'({at}) = {polynomial_at(slope, at)} = {result}")
    return Problem("derivative_at", {"v": v, "f": polynomial(function, v), "a": at}, steps, str(result))


def _chain(v: str, rng: random.Random) -> Problem:
    """(a x^m + b)^n, or sin, cos or exp of the inner function."""
    m, a, b = rng.choice((1, 2, 2, 3)), rng.randint(1, 5), rng.choice(NOT_ZERO)
    inner = polynomial({m: a, 0: b}, v)
    slope = {m - 1: a * m}
    outer = rng.choice(("power", "power", "sin", "exp"))
    if outer == "power":
        n = rng.randint(3, 6)
        first = f"{n}({inner})^{n - 1} * {polynomial(slope, v)}"
        answer = f"{term(a * m * n, m - 1, v)}({inner})^{n - 1}"
        steps = (f"d/d{v} ({inner}) = {polynomial(slope, v)}", f"f'({v}) = {first}")
        return Problem("derivative_of", {"v": v, "f": f"({inner})^{n}"}, steps, answer)
    after = {"sin": "cos", "exp": "exp"}[outer]
    lead = "" if slope == {0: 1} else term(a * m, m - 1, v)
    answer = (f"{lead} * " if lead and not lead[-1].isdigit() else lead) + f"{after}({inner})"
    steps = (f"d/d{v} ({inner}) = {polynomial(slope, v)}", f"f'({v}) = {after}({inner}) * {polynomial(slope, v)}")
    return Problem("derivative_of", {"v": v, "f": f"{outer}({inner})"}, steps, answer)


def _quotient(v: str, rng: random.Random) -> Problem:
    """(ax + b)/(cx + d)."""
    while True:
        a, c = rng.randint(1, 6), rng.randint(1, 5)
        b, d = rng.choice(NOT_ZERO), rng.choice(NOT_ZERO)
        if a * d != b * c:
            break
    top, bottom = factor(a, b, v), factor(c, d, v)
    steps = (
        f"d/d{v} {top} = {a}, d/d{v} {bottom} = {c}",
        f"f'({v}) = ({a}{bottom} - {c}{top})/{bottom}^2",
        f"{a} * {bracket(d)} - {bracket(b)} * {c} = {a * d - b * c}",
    )
    return Problem("derivative_of", {"v": v, "f": f"{top}/{bottom}"}, steps, f"{a * d - b * c}/{bottom}^2")


def _exponential(v: str, rng: random.Random) -> Problem:
    """x^n exp(kx), by the product rule."""
    n, k = rng.randint(1, 4), rng.choice([n for n in range(-5, 6) if n])
    power, exponent = term(1, n, v), term(k, 1, v)
    slope, exp = term(n, n - 1, v), f"exp({exponent})"
    steps = (
        f"d/d{v} {power} = {slope}",
        f"d/d{v} {exp} = {k}{exp}",
        f"f'({v}) = {slope} * {exp} + {power} * {bracket(k)} * {exp}",
    )
    answer = f"({polynomial({n: k, n - 1: n}, v)}) * {exp}"
    return Problem("derivative_of", {"v": v, "f": f"{power} * {exp}"}, steps, answer)


def _logarithm(v: str, rng: random.Random) -> Problem:
    """a x^n ln(x)."""
    a, n = rng.randint(1, 6), rng.randint(1, 5)
    power, slope = term(a, n, v), term(a * n, n - 1, v)
    steps = (f"d/d{v} {power} = {slope}", f"d/d{v} ln({v}) = 1/{v}", f"f'({v}) = {slope} * ln({v}) + {power} * 1/{v}")
    lead = "" if slope == "1" else slope + ("" if slope.isdigit() else " * ")
    return Problem("derivative_of", {"v": v, "f": f"{power} * ln({v})"}, steps, f"{lead}ln({v}) + {term(a, n - 1, v)}")  # fmt: skip
