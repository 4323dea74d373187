"""Systems of linear equations with one whole solution: substitution, elimination, three unknowns."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import Problem, polynomial, term
from domains.math.topics.common import NOT_ZERO, bracket, combination, plus

PAIRS = (("x", "y"), ("x", "y"), ("x", "y"), ("a", "b"), ("p", "q"), ("u", "v"))


def systems(level: str, rng: random.Random) -> Problem:
    """easy: one equation is solved already; medium: elimination; hard: three unknowns."""
    return {"easy": _substitution, "medium": _elimination, "hard": _three}[level](rng)


def _substitution(rng: random.Random) -> Problem:
    """y = kx + m and ax + by = c."""
    v, w = rng.choice(PAIRS)
    while True:
        k, m, a, b = rng.randint(2, 5), rng.choice(NOT_ZERO), rng.randint(1, 6), rng.randint(1, 3)
        x = rng.randint(-6, 9)
        if x and a + b * k > 1:
            break
    y = k * x + m
    c = a * x + b * y
    slots: dict[str, object] = {"v": v, "w": w, "eq1": f"{w} = {polynomial({1: k, 0: m}, v)}", "eq2": f"{combination((a, b), (v, w))} = {c}"}  # fmt: skip
    inner = f"({polynomial({1: k, 0: m}, v)})"
    steps = (
        f"{term(a, 1, v)} + {'' if b == 1 else b}{inner} = {c}",
        f"{polynomial({1: a + b * k, 0: b * m}, v)} = {c}",
        f"{term(a + b * k, 1, v)} = {c}{plus(-b * m)} = {c - b * m}",
        f"{v} = {c - b * m} / {a + b * k} = {x}",
        f"{w} = {k} * {bracket(x)}{plus(m)} = {y}",
    )
    return Problem("system_of_two", slots, steps, f"{v} = {x}, {w} = {y}")


def _elimination(rng: random.Random) -> Problem:
    v, w = rng.choice(PAIRS)
    while True:
        a, b, d, e = (rng.choice([n for n in range(-6, 8) if n]) for _ in range(4))
        if a * e != b * d and a > 0:
            break
    x, y = rng.choice(NOT_ZERO), rng.choice(NOT_ZERO)
    c, f = a * x + b * y, d * x + e * y
    determinant = a * e - b * d
    slots: dict[str, object] = {"v": v, "w": w, "eq1": f"{combination((a, b), (v, w))} = {c}", "eq2": f"{combination((d, e), (v, w))} = {f}"}  # fmt: skip
    steps = [
        f"{combination((a * e, b * e), (v, w))} = {c} * {bracket(e)} = {c * e}",
        f"{combination((d * b, b * e), (v, w))} = {f} * {bracket(b)} = {f * b}",
        f"{term(determinant, 1, v)} = {c * e}{plus(-f * b)} = {c * e - f * b}",
        f"{v} = {c * e - f * b} / {bracket(determinant)} = {x}",
        f"{term(b, 1, w)} = {c} - {a} * {bracket(x)} = {c - a * x}",
        f"{w} = {c - a * x} / {bracket(b)} = {y}",
    ]
    return Problem("system_of_two", slots, tuple(dict.fromkeys(steps)), f"{v} = {x}, {w} = {y}")


def _three(rng: random.Random) -> Problem:
    """Gaussian elimination of x, then of y."""
    names = rng.choice((("x", "y", "z"), ("x", "y", "z"), ("a", "b", "c")))
    solution = [rng.choice([n for n in range(-5, 8) if n]) for _ in range(3)]
    while True:
        first = [1, *(rng.choice([n for n in range(-3, 5) if n]) for _ in range(2))]
        rows = [first, *([rng.choice([n for n in range(-4, 5) if n]) for _ in range(3)] for _ in range(2))]
        reduced = [[row[i] - row[0] * first[i] for i in range(3)] for row in rows[1:]]
        last = [reduced[0][1] * reduced[1][i] - reduced[1][1] * reduced[0][i] for i in range(3)]
        if last[2] and reduced[0][1]:
            break
    return _three_steps(names, solution, rows, reduced, last)


def _three_steps(
    names: tuple[str, str, str], solution: list[int], rows: list[list[int]], reduced: list[list[int]], last: list[int]
) -> Problem:
    x, y, z = solution

    def right(row: list[int]) -> int:
        return sum(a * b for a, b in zip(row, solution, strict=True))

    def line(row: list[int]) -> str:
        return f"{combination(row, names)} = {right(row)}"

    second, first = reduced[0], rows[0]
    steps = [line(row) for row in reduced]
    if reduced[1][1]:
        steps.append(line(last))
        closing = last
    else:
        closing = reduced[1]
    if closing[2] != 1:
        steps.append(f"{names[2]} = {right(closing)} / {bracket(closing[2])} = {z}")
    after = right(second) - second[2] * z
    steps.append(f"{term(second[1], 1, names[1])} = {right(second)}{plus(-second[2])} * {bracket(z)} = {after}" if second[2] else f"{term(second[1], 1, names[1])} = {after}")  # fmt: skip
    if second[1] != 1:
        steps.append(f"{names[1]} = {after} / {bracket(second[1])} = {Fraction(after, second[1])}")
    steps.append(f"{names[0]} = {right(first)}{plus(-first[1])} * {bracket(y)}{plus(-first[2])} * {bracket(z)} = {x}")
    slots: dict[str, object] = {f"eq{i}": line(row) for i, row in enumerate(rows, 1)}
    slots |= dict(zip("vwu", names, strict=True))
    answer = ", ".join(f"{name} = {value}" for name, value in zip(names, solution, strict=True))
    return Problem("system_of_three", slots, tuple(dict.fromkeys(steps)), answer)
