"""Integrals: antiderivatives by power rule, substitution and parts; definite integrals by their values at the ends."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import Problem, polynomial, term
from domains.math.topics.common import NOT_ZERO, Number, bracket, plus
from domains.math.topics.derivatives import LETTERS, derived


def integrals(level: str, rng: random.Random) -> Problem:
    """easy: polynomials with whole results; medium: fractions, definite integrals; hard: substitution, parts, sin, exp and ln."""
    v = rng.choice(LETTERS)
    forms = {"easy": (_whole, _whole, _definite_easy), "medium": (_fractions, _definite, _definite), "hard": (_substitution, _parts, _waves, _logarithm, _definite_hard)}  # fmt: skip
    return rng.choice(forms[level])(v, rng)


def written(function: dict[int, Fraction], v: str) -> str:
    """A polynomial with fractions: `5x^3/3 + 2x`."""
    text = ""
    for power in sorted(function, reverse=True):
        value = function[power]
        if value:
            body = term(abs(value.numerator), power, v) + (f"/{value.denominator}" if value.denominator > 1 else "")
            text += (f" - {body}" if value < 0 else f" + {body}") if text else ("-" if value < 0 else "") + body
    return text or "0"


def _whole(v: str, rng: random.Random) -> Problem:
    powers = sorted(rng.sample(range(1, 7), rng.randint(2, 3)), reverse=True)
    result = {power: rng.choice(NOT_ZERO) for power in powers}
    function = derived(result)
    steps = tuple(f"{term(result[power] * power, power - 1, v)} -> {term(result[power], power, v)}" for power in powers)
    return Problem("integral_of", {"v": v, "f": polynomial(function, v)}, steps, f"{polynomial(result, v)} + C")


def _fractions(v: str, rng: random.Random) -> Problem:
    powers = sorted(rng.sample(range(0, 6), 3), reverse=True)
    function = {power: rng.choice(NOT_ZERO) for power in powers}
    result = {power + 1: Fraction(value, power + 1) for power, value in function.items()}
    steps = tuple(f"{term(function[p], p, v)} -> {written({p + 1: result[p + 1]}, v)}" for p in powers)
    return Problem("integral_of", {"v": v, "f": polynomial(function, v)}, steps, f"{written(result, v)} + C")


def _between(function: dict[int, int], low: int, high: int, v: str) -> Problem:
    result = {power + 1: Fraction(value, power + 1) for power, value in function.items()}

    def at(x: int) -> Fraction:
        return sum((c * Fraction(x) ** p for p, c in result.items()), Fraction(0))

    area = at(high) - at(low)
    steps = (
        f"F({v}) = int ({polynomial(function, v)}) d{v} = {written(result, v)}",
        f"F({high}) = {_put_in(result, high)} = {at(high)}",
        f"F({low}) = {_put_in(result, low)} = {at(low)}",
        f"F({high}) - F({low}) = {at(high)} - {bracket(at(low))} = {area}",
    )
    slots: dict[str, object] = {"v": v, "f": polynomial(function, v), "a": low, "b": high}
    return Problem("definite_integral", slots, steps, str(area))


def _put_in(function: dict[int, Fraction], x: int) -> str:
    text = ""
    for power in sorted(function, reverse=True):
        value = function[power]
        if value:
            body = bracket(x) + (f"^{power}" if power > 1 else "")
            body = (f"{abs(value.numerator)} * " if abs(value.numerator) > 1 else "") + body
            body += f"/{value.denominator}" if value.denominator > 1 else ""
            text += (f" - {body}" if value < 0 else f" + {body}") if text else ("-" if value < 0 else "") + body
    return text or "0"


def _definite_easy(v: str, rng: random.Random) -> Problem:
    function = {1: 2 * rng.randint(1, 5), 0: rng.choice(NOT_ZERO)}
    low = rng.randint(0, 3)
    return _between(function, low, low + rng.randint(1, 4), v)


def _definite(v: str, rng: random.Random) -> Problem:
    powers = sorted({2, *rng.sample((0, 1, 3), rng.randint(1, 2))}, reverse=True)
    function = {power: rng.choice(NOT_ZERO) * (3 if power == 2 and rng.random() < 0.5 else 1) for power in powers}
    low = rng.randint(0, 2)
    return _between(function, low, low + rng.randint(1, 3), v)


def _definite_hard(v: str, rng: random.Random) -> Problem:
    function = {power: rng.choice(NOT_ZERO) for power in (3, *sorted(rng.sample((0, 1, 2), 2), reverse=True))}
    low = rng.randint(-4, 0)
    return _between(function, low, low + rng.randint(2, 5), v)


def _substitution(v: str, rng: random.Random) -> Problem:
    """k x (x^2 + b)^n, with u = x^2 + b."""
    b, n, m = rng.choice(NOT_ZERO), rng.randint(2, 6), rng.choice((1, 1, 2, 3))
    inner = polynomial({2: 1, 0: b}, v)
    k = 2 * m
    result: Number = Fraction(m, n + 1)
    top = "" if result.numerator == 1 else str(result.numerator)
    answer = f"{top}({inner})^{n + 1}" + (f"/{result.denominator}" if result.denominator > 1 else "")
    steps = (f"d/d{v} ({inner}) = 2{v}", f"d/d{v} ({inner})^{n + 1} = {n + 1}({inner})^{n} * 2{v}", f"{k}{v}({inner})^{n} -> {answer}")  # fmt: skip
    return Problem("integral_of", {"v": v, "f": f"{k}{v}({inner})^{n}"}, steps, f"{answer} + C")


def _parts(v: str, rng: random.Random) -> Problem:
    """(ax + b) exp(x), or a x cos(kx)."""
    a, b = rng.randint(1, 6), rng.choice(NOT_ZERO)
    if rng.random() < 0.5:
        first, after = polynomial({1: a, 0: b}, v), polynomial({1: a, 0: b - a}, v)
        steps = (f"d/d{v} ({first}) = {a}", f"int ({first}) * exp({v}) d{v} = ({first}) * exp({v}) - int {a} * exp({v}) d{v}")  # fmt: skip
        return Problem("integral_of", {"v": v, "f": f"({first}) * exp({v})"}, steps, f"({after}) * exp({v}) + C")
    k = rng.randint(2, 5)
    inner, x = f"{k}{v}", term(a * k * k, 1, v)
    steps = (
        f"d/d{v} {x} = {a * k * k}",
        f"int {x} * cos({inner}) d{v} = {term(a * k, 1, v)} * sin({inner}) - int {a * k} * sin({inner}) d{v}",
    )
    answer = f"{term(a * k, 1, v)} * sin({inner}) + {a if a > 1 else ''}cos({inner})"
    return Problem("integral_of", {"v": v, "f": f"{x} * cos({inner})"}, steps, f"{answer} + C")


def _waves(v: str, rng: random.Random) -> Problem:
    a, b, k, m = rng.randint(1, 6), rng.randint(1, 6), rng.randint(2, 6), rng.randint(2, 5)
    name = rng.choice(("sin", "cos"))
    end = f"{'-' if name == 'sin' else ''}{a if a > 1 else ''}{'cos' if name == 'sin' else 'sin'}({k}{v})"
    tail = f"{b if b > 1 else ''}exp({m}{v})"
    steps = (f"{a * k}{name}({k}{v}) -> {end}", f"{b * m}exp({m}{v}) -> {tail}")
    return Problem("integral_of", {"v": v, "f": f"{a * k}{name}({k}{v}) + {b * m}exp({m}{v})"}, steps, f"{end} + {tail} + C")  # fmt: skip


def _logarithm(v: str, rng: random.Random) -> Problem:
    """a/x + b x^n + c."""
    a, n, b, c = rng.randint(2, 9), rng.randint(1, 4), rng.randint(1, 5), rng.choice(NOT_ZERO)
    power = term(b * (n + 1), n, v)
    steps = (f"{a}/{v} -> {a}ln({v})", f"{power} -> {term(b, n + 1, v)}", f"{c} -> {term(c, 1, v)}")
    answer = f"{a}ln({v}) + {term(b, n + 1, v)}{' - ' if c < 0 else ' + '}{term(abs(c), 1, v)} + C"
    return Problem("integral_of", {"v": v, "f": f"{a}/{v} + {power}{plus(c)}"}, steps, answer)
