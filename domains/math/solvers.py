"""Runs in a sandbox worker: SymPy solves what `solve` has read. Takes and gives JSON values; None where there is no plain answer."""

from __future__ import annotations

import itertools
import re
from typing import Any

import sympy

from domains.math.equivalence import to_sympy


def calculus(what: str, tree: Any, variable: str | None, at: list[str | None]) -> dict[str, str] | None:
    """Derivative or antiderivative of one expression, term by term; with `at`, the derivative's value there, or the integral between."""
    expression = to_sympy(tree)
    names = sorted(str(symbol) for symbol in expression.free_symbols)
    if names and variable not in names and (variable or len(names) > 1):
        return None
    symbol = sympy.Symbol(variable or (names[0] if names else "x"))
    operation = sympy.diff if what == "derivative" else sympy.integrate
    result = _tidy(operation(expression, symbol))
    if result.has(sympy.Integral, sympy.Derivative, sympy.Piecewise):
        return None
    steps = [f"{write(term)} -> {write(operation(term, symbol))}" for term in _terms(expression)]
    if at:
        return _value(what, result, symbol, [sympy.Rational(text) for text in at])
    reference = write(result) + (" + C" if what == "integral" else "")
    return {"text": "\n".join([*steps, f"Answer: {reference}"]), "reference": reference}


def _value(what: str, result: sympy.Expr, symbol: sympy.Symbol, at: list[sympy.Rational]) -> dict[str, str] | None:
    values = [result.subs(symbol, x) for x in at]
    if not all(value.is_finite for value in values):
        return None
    if what == "derivative":
        reference = write(values[0])
        return {"text": f"f'({symbol}) = {write(result)}\nf'({at[0]}) = {reference}\nAnswer: {reference}", "reference": reference}  # fmt: skip
    low, high = values
    reference = write(sympy.nsimplify(high - low))
    steps = [f"F({symbol}) = {write(result)}", f"F({at[1]}) = {write(high)}", f"F({at[0]}) = {write(low)}"]
    return {"text": "\n".join([*steps, f"Answer: {reference}"]), "reference": reference}


def _tidy(result: sympy.Expr) -> sympy.Expr:
    """Multiplied out, unless that makes it longer."""
    return min(
        (sympy.expand(result, power_exp=False), sympy.factor(result)),
        key=lambda one: (one.count_ops() > 12, one.count_ops()),
    )


def limit(tree: Any, variable: str, at: list[str | None]) -> dict[str, str] | None:
    """The limit at a number or, for None, at infinity, where both sides agree."""
    expression, symbol = to_sympy(tree), sympy.Symbol(variable)
    if expression.free_symbols - {symbol}:
        return None
    point = sympy.oo if at[0] is None else sympy.Rational(at[0])
    sides = {sympy.limit(expression, symbol, point, side) for side in (("+-") if point.is_finite else "-")}
    if len(sides) != 1 or not (value := sides.pop()).is_finite:
        return None
    steps = []
    if point.is_finite and (short := sympy.cancel(expression)) != expression and expression.is_rational_function():
        steps.append(f"{write(expression)} = {write(short)}")
    return {"text": "\n".join([*steps, f"Answer: {write(value)}"]), "reference": write(value)}


def inequality(left: Any, right: Any, sign: str, variable: str) -> dict[str, str] | None:
    """The numbers for which an inequality of rational functions holds, by signs between and at its zeros and poles."""
    symbol = sympy.Symbol(variable)
    difference = sympy.together(to_sympy(left) - to_sympy(right))
    top, bottom = sympy.fraction(difference)
    if not (top.is_polynomial(symbol) and bottom.is_polynomial(symbol)) or not top.has(symbol):
        return None
    points = sorted({x for part in (top, bottom) for x in sympy.roots(part, symbol) if x.is_real}, key=sympy.N)
    if len(points) > 4 or sum(sympy.Poly(part, symbol).count_roots() for part in (top, bottom) if part.has(symbol)) < len(points):  # fmt: skip
        return None

    def holds(x: sympy.Expr) -> bool:
        if bottom.subs(symbol, x).equals(0):
            return False
        value = sympy.simplify(difference.subs(symbol, x))
        return bool({"<": value < 0, ">": value > 0, "<=": value <= 0, ">=": value >= 0}[sign])

    if not points:
        return None
    between = [points[0] - 1, *((a + b) / 2 for a, b in itertools.pairwise(points)), points[-1] + 1]
    reference = _regions([holds(x) for x in between], [holds(x) for x in points], [write(x) for x in points], variable)
    if reference is None:
        return None
    moved = f"{write(sympy.factor(difference))} {sign} 0"
    return {"text": f"{moved}\nAnswer: {reference}", "reference": reference}


def _regions(between: list[bool], at: list[bool], ends: list[str], v: str) -> str | None:
    """`x < 1 or x >= 4` from what holds between the ends and at them; None for nothing, everything and single points."""
    parts, index = [], 0
    while index < len(between):
        if not between[index]:
            index += 1
            continue
        start = index
        while index < len(ends) and at[index] and between[index + 1]:
            index += 1
        low = None if start == 0 else (ends[start - 1], at[start - 1])
        high = None if index == len(ends) else (ends[index], at[index])
        parts.append(_between(low, high, v))
        index += 1
    alone = [n for n, held in enumerate(at) if held and not between[n] and not between[n + 1]]
    return None if not parts or alone or parts == [""] else " or ".join(parts)


def _between(low: tuple[str, bool] | None, high: tuple[str, bool] | None, v: str) -> str:
    if low and high:
        return f"{low[0]} <{'=' if low[1] else ''} {v} <{'=' if high[1] else ''} {high[0]}"
    if low:
        return f"{v} >{'=' if low[1] else ''} {low[0]}"
    return f"{v} <{'=' if high[1] else ''} {high[0]}" if high else ""


def simplify(tree: Any, written: str) -> dict[str, str] | None:
    """The shortest of the multiplied out, the reduced and the factored form."""
    expression = to_sympy(tree)
    if not expression.is_rational_function():
        return None
    reduced = sympy.cancel(expression)
    top, bottom = sympy.fraction(reduced)
    if bottom.is_number:
        result = sympy.expand(reduced)
    else:
        result = sympy.factor(top) / sympy.factor(bottom)
    reference = write(result)
    return {"text": f"{written} = {reference}\nAnswer: {reference}", "reference": reference}


def factor(tree: Any, written: str) -> dict[str, str] | None:
    """Factors over the rationals."""
    expression = to_sympy(tree)
    if not expression.is_polynomial():
        return None
    reference = write(sympy.factor(expression))
    return {"text": f"{written} = {reference}\nAnswer: {reference}", "reference": reference}


def matrix(what: str, grids: list[Any]) -> dict[str, str] | None:
    """Product, determinant or inverse."""
    matrices = [sympy.Matrix([[to_sympy(entry) for entry in row] for row in grid]) for grid in grids]
    one = matrices[0]
    if what == "product":
        if one.cols != matrices[1].rows:
            return None
        reference = _written(one * matrices[1])
    elif one.rows != one.cols or (what == "inverse" and one.det() == 0):
        return None
    else:
        reference = write(one.det()) if what == "determinant" else _written(one.inv())
    return {"text": f"Answer: {reference}", "reference": reference}


def _written(matrix: sympy.Matrix) -> str:
    return "[" + ", ".join("[" + ", ".join(write(x) for x in matrix.row(n)) + "]" for n in range(matrix.rows)) + "]"


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
