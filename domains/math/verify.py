"""Every generated answer is proved with SymPy, from the numbers in the question and not from the steps."""

from __future__ import annotations

from typing import Any

import sympy

from domains.math.answers import read_answer
from domains.math.equivalence import to_sympy
from domains.math.expressions import parse
from domains.math.problems import KINDS, Problem
from domains.math.proofs import prove


def verify(problem: Problem) -> None:
    """Raise ValueError unless the problem's answer is right."""
    if not (_basics(problem) if problem.kind in KINDS else prove(problem)):
        raise ValueError(f"generated a wrong answer: {problem}")


def _basics(problem: Problem) -> bool:
    return bool(_PROOFS[problem.kind](problem.slots, [to_sympy(part.tree) for part in read_answer(problem.answer)]))


def _sides(equation: Any) -> sympy.Expr:
    left, right = str(equation).split("=")
    return to_sympy(parse(left)) - to_sympy(parse(right))


def _roots(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    """As many different roots as the degree, each of which solves the equation: there are no others."""
    polynomial = sympy.Poly(_sides(slots["eq"]), sympy.Symbol(slots["v"]))
    return len(set(values)) == polynomial.degree() and all(polynomial.eval(value) == 0 for value in values)


def _system(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    unknowns = sympy.Symbol(slots["v"]), sympy.Symbol(slots["w"])
    equations = [_sides(slots["eq1"]), _sides(slots["eq2"])]
    regular = (
        sympy.Matrix([[sympy.diff(equation, unknown) for unknown in unknowns] for equation in equations]).det() != 0
    )
    return bool(regular) and all(equation.subs(dict(zip(unknowns, values, strict=True))) == 0 for equation in equations)


def _function(slots: dict[str, Any]) -> tuple[sympy.Expr, sympy.Symbol]:
    return to_sympy(parse(slots["f"])), sympy.Symbol(slots["v"])


def _derivative(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    function, variable = _function(slots)
    return bool(sympy.expand(sympy.diff(function, variable) - values[0]) == 0)


def _integral(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    function, variable = _function(slots)
    return bool(sympy.expand(sympy.diff(values[0], variable) - function) == 0)


_PROOFS = {
    "linear": _roots,
    "quadratic": _roots,
    "system": _system,
    "derivative": _derivative,
    "integral": _integral,
    "percent": lambda s, v: v == [sympy.Rational(s["p"], 100) * s["n"]],
    "rate": lambda s, v: v == [sympy.Integer(s["r"]) * s["t"]],
    "fraction": lambda s, v: v == [sympy.Rational(s["a"], s["b"]) + sympy.Rational(s["c"], s["d"])],
    "shopping": lambda s, v: v == [sympy.Integer(s["m"]) - s["n"] * s["p"]],
    "sharing": lambda s, v: v == [sympy.Rational(s["n"] - s["g"], s["k"])],
}
