"""Inequalities in one unknown as sets of numbers, compared exactly by signs between and at the zeros and poles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from domains.math import univariate
from domains.math.expressions import Tree
from domains.math.polynomials import names, normal
from domains.math.univariate import Line


@dataclass(frozen=True)
class Relation:
    """`top / bottom` compared with 0 by `sign`; with `other`, both must hold."""

    top: Line
    bottom: Line
    sign: str
    other: Relation | None = None

    def both(self, other: Relation) -> Relation:
        """The numbers for which both hold."""
        return Relation(self.top, self.bottom, self.sign, other)

    def lines(self) -> list[Line]:
        """All polynomials whose zeros matter."""
        return [self.top, self.bottom, *(self.other.lines() if self.other else [])]

    def holds(self, below: Fraction, above: Fraction | None) -> bool:
        """At `below`, which is no zero; or, with `above`, at the one zero that lies between the two."""
        return _holds(self, below, above) and (self.other is None or self.other.holds(below, above))


def relation(left: Tree, right: Tree, sign: str) -> Relation | None:
    """`left sign right` moved to one side; None where it is no quotient of polynomials in one unknown."""
    form = normal(("-", left, right))
    if form is None or not form.exact:
        return None
    found = names(form.top) | names(form.bottom)
    if len(found) > 1:
        return None
    name = next(iter(found), "x")
    top, bottom = univariate.coefficients(form.top, name), univariate.coefficients(form.bottom, name)
    return Relation(top, bottom, sign) if top is not None and bottom else None


def same_set(one: Relation, parts: Sequence[Relation]) -> bool:
    """Whether a relation holds for the same numbers as at least one of several."""
    product = [Fraction(1)]
    for line in (line for each in (one, *parts) for line in each.lines()):
        if len(line) > 1:
            rest = univariate.without(univariate.simple(line), product)
            product = univariate.times(product, rest)
    points = univariate.between(product)
    gaps: list[tuple[Fraction, Fraction | None]] = [(point, None) for point in points]
    gaps += list(itertools.pairwise(points))
    return all(one.holds(*gap) == any(part.holds(*gap) for part in parts) for gap in gaps)


def _holds(one: Relation, below: Fraction, above: Fraction | None) -> bool:
    if above is not None:
        if _has_zero(one.bottom, below, above):
            return False
        if _has_zero(one.top, below, above):
            return one.sign in ("<=", ">=")
    value = univariate.at(one.top, below) * univariate.at(one.bottom, below)
    if value == 0:  # 0 < 0
        return one.sign in ("<=", ">=")
    return (value < 0) == (one.sign[0] == "<")


def _has_zero(line: Line, below: Fraction, above: Fraction) -> bool:
    if len(line) < 2:
        return not line
    line = univariate.simple(line)
    return univariate.between_count(line, below, above) > 0
