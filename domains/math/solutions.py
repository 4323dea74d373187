"""What solves an equation: polynomials at a point, and the one solution of a linear system (Gauss), in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

from domains.math.expressions import Tree
from domains.math.polynomials import Polynomial
from domains.math.univariate import Line


def horner(line: Line, x: Tree) -> Tree:
    """The polynomial as a tree, at a number that may have square roots."""
    result: Tree = ("n", "0")
    for value in reversed(line):
        number: Tree = ("/", ("n", str(abs(value.numerator))), ("n", str(value.denominator)))
        result = ("+", ("*", result, x), ("neg", number) if value < 0 else number)
    return result


def value_at(terms: Polynomial, values: dict[str, Fraction]) -> Fraction:
    """The polynomial's value."""
    total = Fraction(0)
    for monomial, c in terms.items():
        part = c
        for name, power in monomial:
            part *= values[name] ** power
        total += part
    return total


def only_solution(equations: list[Polynomial], unknowns: list[str]) -> dict[str, Fraction] | None:
    """The one solution of a linear system (Gauss); None where it is none or not one."""
    rows = []
    for terms in equations:
        if any(sum(power for _, power in monomial) > 1 for monomial in terms):
            return None
        rows.append([terms.get(((name, 1),), Fraction(0)) for name in unknowns] + [-terms.get((), Fraction(0))])
    for column in range(len(unknowns)):
        pivot = next((row for row in rows[column:] if row[column]), None)
        if pivot is None:
            return None
        rows.remove(pivot)
        rows.insert(column, [value / pivot[column] for value in pivot])
        for index, row in enumerate(rows):
            if index != column and row[column]:
                rows[index] = [a - row[column] * b for a, b in zip(row, rows[column], strict=True)]
    if any(row[-1] for row in rows[len(unknowns) :]):
        return None
    return {name: rows[index][-1] for index, name in enumerate(unknowns)}
