"""Whether an answer has the form that was asked for. Equality alone would take the question itself for an answer."""

from __future__ import annotations

from math import gcd

from domains.math.expressions import Tree
from domains.math.polynomials import names, polynomial

FORMS = {"simplified": "not_simplified", "factored": "not_factored"}
"""`meta["form"]` of an example → the reason where the answer lacks it."""
SLACK = 2
"""Nodes by which a simplified answer may be larger than the reference: another order of signs, a factor taken out."""


def has_form(form: str, answer: Tree, wanted: Tree) -> bool:
    """Simplified: hardly larger than the reference. Factored: as many factors, none of which still has a number in common."""
    if form == "simplified":
        return size(answer) <= size(wanted) + SLACK
    return len(factors(answer)) >= len(factors(wanted)) and not any(map(_has_content, factors(answer)))


def size(tree: Tree) -> int:
    """Nodes of the tree."""
    return 1 + sum(size(part) for part in tree[1:] if isinstance(part, tuple))


def factors(tree: Tree) -> list[Tree]:
    """The factors that are no numbers, as often as they occur."""
    head = tree[0]
    if head == "neg":
        return factors(tree[1])
    if head == "*":
        return [*factors(tree[1]), *factors(tree[2])]
    if head == "/" and not factors(tree[2]):
        return factors(tree[1])
    if head == "^" and tree[2][0] == "n" and tree[2][1].isdigit():
        return factors(tree[1]) * int(tree[2][1])
    return [] if head == "n" or not _has_variable(tree) else [tree]


def _has_variable(tree: Tree) -> bool:
    return tree[0] == "v" or any(_has_variable(part) for part in tree[1:] if isinstance(part, tuple))


def _has_content(tree: Tree) -> bool:
    terms = polynomial(tree)
    if not terms or not names(terms) or any(value.denominator > 1 for value in terms.values()):
        return False
    return gcd(*(value.numerator for value in terms.values())) > 1
