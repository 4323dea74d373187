"""Matrices: product, determinant and inverse of two rows, product and determinant of three."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from domains.math.problems import Problem
from domains.math.topics.common import bracket

Rows = Sequence[Sequence[int | Fraction]]


def matrices(level: str, rng: random.Random) -> Problem:
    """easy: 2x2 determinants and products with a column; medium: 2x2 products and whole inverses; hard: 3x3, inverses with fractions."""
    forms = {"easy": (_determinant, _column), "medium": (_product, _inverse_whole), "hard": (_determinant_three, _product_three, _inverse)}  # fmt: skip
    return rng.choice(forms[level])(rng)


def written(rows: Rows) -> str:
    """`[[1, 2], [3, 4]]`."""
    return "[" + ", ".join("[" + ", ".join(map(str, row)) + "]" for row in rows) + "]"


def _random(rng: random.Random, rows: int, columns: int, size: int = 9) -> list[list[int]]:
    return [[rng.randint(-size, size) for _ in range(columns)] for _ in range(rows)]


def _dot(row: Sequence[int], column: Sequence[int]) -> str:
    return " + ".join(f"{bracket(a)} * {bracket(b)}" for a, b in zip(row, column, strict=True))


def _multiplied(kind: str, one: list[list[int]], other: list[list[int]]) -> Problem:
    columns = list(zip(*other, strict=True))
    result = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in one]
    steps = tuple(
        ", ".join(f"{_dot(row, column)} = {value}" for column, value in zip(columns, values, strict=True))
        for row, values in zip(one, result, strict=True)
    )
    return Problem(kind, {"A": written(one), "B": written(other)}, steps, written(result))


def _column(rng: random.Random) -> Problem:
    return _multiplied("matrix_product", _random(rng, 2, 2), _random(rng, 2, 1))


def _product(rng: random.Random) -> Problem:
    return _multiplied("matrix_product", _random(rng, 2, 2), _random(rng, 2, 2))


def _product_three(rng: random.Random) -> Problem:
    return _multiplied("matrix_product", _random(rng, 3, 3, 4), _random(rng, 3, rng.choice((1, 2)), 4))


def _determinant(rng: random.Random) -> Problem:
    (a, b), (c, d) = rows = _random(rng, 2, 2)
    result = a * d - b * c
    steps = (f"{a} * {bracket(d)} - {bracket(b)} * {bracket(c)} = {a * d} - {bracket(b * c)} = {result}",)
    return Problem("determinant", {"A": written(rows)}, steps, str(result))


def _determinant_three(rng: random.Random) -> Problem:
    """By the first row."""
    rows = _random(rng, 3, 3, 5)
    (a, b, c), (d, e, f), (g, h, i) = rows
    minors = [e * i - f * h, d * i - f * g, d * h - e * g]
    result = a * minors[0] - b * minors[1] + c * minors[2]
    steps = tuple(
        f"{bracket(p)} * {bracket(q)} - {bracket(r)} * {bracket(s)} = {value}"
        for (p, q, r, s), value in zip(((e, i, f, h), (d, i, f, g), (d, h, e, g)), minors, strict=True)
    )
    last = f"{a} * {bracket(minors[0])} - {bracket(b)} * {bracket(minors[1])} + {bracket(c)} * {bracket(minors[2])} = {result}"  # fmt: skip
    return Problem("determinant", {"A": written(rows)}, (*steps, last), str(result))


def _inverse_whole(rng: random.Random) -> Problem:
    """With determinant 1 or -1."""
    while True:
        rows = _random(rng, 2, 2)
        if rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0] in (1, -1):
            return _inverted(rows)


def _inverse(rng: random.Random) -> Problem:
    while True:
        rows = _random(rng, 2, 2, 7)
        if abs(rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0]) > 1:
            return _inverted(rows)


def _inverted(rows: list[list[int]]) -> Problem:
    (a, b), (c, d) = rows
    determinant = a * d - b * c
    entries = (d, -b, -c, a)
    inverse = [Fraction(n, determinant) for n in entries]
    steps = (
        f"{a} * {bracket(d)} - {bracket(b)} * {bracket(c)} = {a * d} - {bracket(b * c)} = {determinant}",
        ", ".join(f"{n} / {bracket(determinant)} = {value}" for n, value in zip(entries, inverse, strict=True)),
    )
    return Problem("matrix_inverse", {"A": written(rows)}, steps, written([inverse[:2], inverse[2:]]))
