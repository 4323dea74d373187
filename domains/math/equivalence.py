"""Runs in a sandbox worker: decide with SymPy whether two trees of `expressions` are one value.

Takes and gives JSON values. Trees are already bounded by the parser; time and memory are bounded by the sandbox.
"""

from __future__ import annotations

from typing import Any

import sympy

from domains.math.expressions import MAX_EXPONENT, TooLarge

_FUNCTIONS = {
    "sqrt": sympy.sqrt,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "ln": sympy.log,
    "log": sympy.log,
    "exp": sympy.exp,
}


def to_sympy(tree: Any) -> sympy.Expr:
    """The SymPy expression of a tree, built node by node. Raises TooLarge for a power beyond the bound."""
    head = tree[0]
    if head == "n":
        return sympy.Rational(tree[1])
    if head == "v":
        return sympy.pi if tree[1] == "pi" else sympy.Symbol(tree[1])
    if head == "f":
        return _FUNCTIONS[tree[1]](to_sympy(tree[2]))
    if head == "neg":
        return -to_sympy(tree[1])
    left, right = to_sympy(tree[1]), to_sympy(tree[2])
    if head == "^":
        if right.is_number and not abs(right) <= MAX_EXPONENT:
            raise TooLarge(f"exponent {right}, at most {MAX_EXPONENT}")
        return sympy.exp(right) if tree[1] in (("v", "e"), ["v", "e"]) else left**right
    if head == "/":
        return left / right
    return {"+": left.__add__, "-": left.__sub__, "*": left.__mul__}[head](right)


def equal(one: Any, other: Any) -> bool:
    """True where the two trees have one value for all values of their variables."""
    return _zero(to_sympy(one) - to_sympy(other))


def equal_up_to_constant(one: Any, other: Any, variable: str) -> bool:
    """True where two antiderivatives in `variable` differ by a constant; the letter C counts as one."""
    difference = to_sympy(one) - to_sympy(other)
    return _zero(sympy.diff(difference, sympy.Symbol(variable)))


def match(pairs: list[list[Any]], constant_in: str | None) -> list[bool]:
    """`equal` (or `equal_up_to_constant`) for many pairs at once: one trip to the worker a verdict."""
    if constant_in:
        return [equal_up_to_constant(one, other, constant_in) for one, other in pairs]
    return [equal(one, other) for one, other in pairs]


def _zero(difference: sympy.Expr) -> bool:
    if difference.has(sympy.zoo, sympy.nan, sympy.oo):
        return False
    if difference == 0 or sympy.expand(difference) == 0:
        return True
    if difference.is_number and abs(difference.evalf(30)) > 1e-12:
        return False
    return bool(sympy.simplify(difference) == 0)
