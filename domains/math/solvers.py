"""Runs in a sandbox worker: SymPy solves what `solve` has read. Takes and gives JSON values; None where there is no plain answer."""

from __future__ import annotations

import re
from typing import Any

import sympy

from domains.math.equivalence import to_sympy


def calculus(what: str, tree: Any, variable: str | None) -> dict[str, str] | None:
    """Derivative or antiderivative of one expression, term by term."""
    expression = to_sympy(tree)
    names = sorted(str(symbol) for symbol in expression.free_symbols)
    if names and variable not in names and (variable or len(names) > 1):
        return None
    symbol = sympy.Symbol(variable or (names[0] if names else "x"))
    operation = sympy.diff if what == "derivative" else sympy.integrate
    result = sympy.expand(operation(expression, symbol))
    if result.has(sympy.Integral, sympy.Derivative):
        return None
    steps = [f"{write(term)} -> {write(operation(term, symbol))}" for term in _terms(expression)]
    reference = write(result) + (" + C" if what == "integral" else "")
    return {"text": "\n".join([*steps, f"Answer: {reference}"]), "reference": reference}


def equations(pairs: list[list[Any]]) -> dict[str, str] | None:
    """All real solutions of one polynomial equation, or the one solution of a system of them."""
    system = [(to_sympy(left), to_sympy(right)) for left, right in pairs]
    moved = [sympy.expand(left - right) for left, right in system]
    symbols = sorted(set().union(*(expression.free_symbols for expression in moved)), key=str)
    if not symbols or len(symbols) > len(system) or not all(one.is_polynomial(*symbols) for one in moved):
        return None
    steps = [f"{write(left)} = {write(right)}" for left, right in system]
    if len(system) == 1:
        return _one_unknown(moved[0], symbols[0], steps)
    solutions = sympy.solve(moved, symbols, dict=True)
    if len(solutions) != 1 or set(solutions[0]) != set(symbols):
        return None
    reference = ", ".join(f"{symbol} = {write(solutions[0][symbol])}" for symbol in symbols)
    return {"text": "\n".join([*steps, f"Answer: {reference}"]), "reference": reference}


def _one_unknown(moved: sympy.Expr, symbol: sympy.Symbol, steps: list[str]) -> dict[str, str] | None:
    roots = sorted((root for root in sympy.solve(moved, symbol) if root.is_real), key=sympy.N)
    if not 1 <= len(roots) <= 4 or len(roots) != sympy.Poly(moved, symbol).count_roots():
        return None  # none, too many for a line, or SymPy cannot say of all whether they are real
    reference = " or ".join(f"{symbol} = {write(root)}" for root in roots)
    steps = [*steps, f"{write(moved)} = 0"]
    factored = sympy.factor(moved)
    if len(roots) > 1 and factored != moved:
        steps.append(f"{write(factored)} = 0")
    return {"text": "\n".join([*dict.fromkeys(steps), f"Answer: {reference}"]), "reference": reference}


def write(expression: sympy.Expr) -> str:
    """As the generators write: `3*x**2` → `3x^2`."""
    text = sympy.sstr(expression, order="lex").replace("**", "^")
    return re.sub(r"(?<=\d)\*(?=[a-z(])|\*(?=\()", "", text)


def _terms(expression: sympy.Expr) -> list[sympy.Expr]:
    return list(sympy.expand(expression).as_ordered_terms())
