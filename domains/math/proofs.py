"""The proofs of the topics' answers, by kind of problem: with SymPy, from the numbers in the question and never from the steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import sympy

from domains.math.answers import read_answer
from domains.math.equivalence import to_sympy
from domains.math.expressions import parse
from domains.math.grids import read_grid
from domains.math.problems import Problem
from domains.math.regions import SIGN, read_region
from domains.math.regions import ends as ends_of

R = sympy.Rational
Proof = Callable[[dict[str, Any], list[sympy.Expr]], bool]


def prove(problem: Problem) -> bool:
    """Whether the problem's answer is right."""
    slots: dict[str, Any] = problem.slots
    if problem.kind == "inequality":
        return _inequality(slots, problem.answer)
    if problem.kind in ("matrix_product", "matrix_inverse"):
        return _matrix(slots, problem.answer)
    return bool(PROOFS[problem.kind](slots, [to_sympy(part.tree) for part in read_answer(problem.answer)]))


def expression(text: object) -> sympy.Expr:
    """SymPy's form of text."""
    return to_sympy(parse(str(text)))


def _equations(slots: dict[str, Any], names: str) -> tuple[list[sympy.Expr], list[sympy.Symbol]]:
    moved = []
    for key in sorted(key for key in slots if key.startswith("eq")):
        left, right = str(slots[key]).split("=")
        moved.append(expression(left) - expression(right))
    return moved, [sympy.Symbol(slots[name]) for name in names]


def _roots(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    moved, symbols = _equations(slots, "v")
    polynomial = sympy.Poly(moved[0], symbols[0])
    return len(set(values)) == polynomial.degree() and all(sympy.expand(polynomial.eval(x)) == 0 for x in values)


def _system(names: str) -> Proof:
    def proof(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
        moved, symbols = _equations(slots, names)
        regular = sympy.Matrix(moved).jacobian(symbols).det() != 0
        return bool(regular) and all(one.subs(dict(zip(symbols, values, strict=True))) == 0 for one in moved)

    return proof


def _inequality(slots: dict[str, Any], answer: str) -> bool:
    """At every zero, pole and end, and between any two, the question and the answer agree: neither changes anywhere else."""
    left, right = (expression(side) for side in SIGN.split(slots["ineq"]))
    sign, symbol = SIGN.findall(slots["ineq"])[0], sympy.Symbol(slots["v"])
    top, bottom = sympy.fraction(sympy.together(left - right))
    ends = set(sympy.roots(top, symbol)) | set(sympy.roots(bottom, symbol))
    region = read_region(answer)
    points = sorted({x for x in ends if x.is_real} | {to_sympy(end) for end in ends_of(region)})
    tried = [points[0] - 1, *points, *((a + b) / 2 for a, b in pairwise(points)), points[-1] + 1]
    return all(_holds(left - right, sign, symbol, x) == _inside(region, x) for x in tried)


def _holds(difference: sympy.Expr, sign: str, symbol: sympy.Symbol, x: sympy.Expr) -> bool:
    value = difference.subs(symbol, x)
    if not value.is_finite:
        return False
    return bool({"<": value < 0, ">": value > 0, "<=": value <= 0, ">=": value >= 0}[sign])


def _inside(region: Any, x: sympy.Expr) -> bool:
    for one in region.intervals:
        low = one.low is None or x > to_sympy(one.low) or (one.low_closed and x == to_sympy(one.low))
        high = one.high is None or x < to_sympy(one.high) or (one.high_closed and x == to_sympy(one.high))
        if low and high:
            return True
    return False


def _function(slots: dict[str, Any]) -> tuple[sympy.Expr, sympy.Symbol]:
    return expression(slots["f"]), sympy.Symbol(slots["v"])


def _zero(difference: sympy.Expr) -> bool:
    if sympy.expand(difference) == 0:
        return True
    decided = sympy.cancel if difference.is_rational_function() else sympy.simplify
    return bool(decided(difference) == 0)


def _derivative(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    f, x = _function(slots)
    return _zero(sympy.diff(f, x) - values[0])


def _derivative_at(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    f, x = _function(slots)
    return bool(sympy.diff(f, x).subs(x, slots["a"]) == values[0])


def _integral(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    f, x = _function(slots)
    return _zero(sympy.diff(values[0], x) - f)


def _definite(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    f, x = _function(slots)
    antiderivative = sympy.Poly(f, x).integrate()
    return bool(antiderivative.eval(slots["b"]) - antiderivative.eval(slots["a"]) == values[0])


def _limit(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    f, x = _function(slots)
    at = slots.get("a", sympy.oo)
    if at != sympy.oo and f.is_rational_function():  # continuous where it has a value, once its common factors are gone
        value = sympy.cancel(f).subs(x, at)
        if value.is_finite:
            return bool(value == values[0])
    if (
        at == sympy.oo and f.is_rational_function()
    ):  # of one degree above and below: the quotient of the leading numbers
        top, bottom = (sympy.Poly(part, x) for part in sympy.fraction(sympy.cancel(f)))
        if top.degree() == bottom.degree():
            return bool(top.LC() / bottom.LC() == values[0])
    return bool(sympy.limit(f, x, at) == values[0])


def _same(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    return _zero(_function(slots)[0] - values[0])


def _factored(slots: dict[str, Any], values: list[sympy.Expr]) -> bool:
    _, found = sympy.factor_list(values[0])
    factors = [f for f in sympy.Mul.make_args(values[0]) if f.free_symbols]
    return _same(slots, values) and sum(n for _, n in found) == sum(int(f.as_base_exp()[1]) for f in factors)


def _matrices(slots: dict[str, Any]) -> dict[str, sympy.Matrix]:
    return {name: sympy.Matrix([[to_sympy(x) for x in row] for row in read_grid(slots[name])]) for name in "AB" if name in slots}  # fmt: skip


def _matrix(slots: dict[str, Any], answer: str) -> bool:
    given = _matrices(slots)
    found = sympy.Matrix([[to_sympy(x) for x in row] for row in read_grid(answer)])
    if "B" in given:
        return bool(given["A"] * given["B"] == found)
    return bool(given["A"] * found == sympy.eye(given["A"].rows))


def _listed(slots: dict[str, Any]) -> list[sympy.Expr]:
    return [sympy.Integer(n) for n in re.findall(r"-?\d+", slots["terms"])]


def _arithmetic(terms: list[sympy.Expr], n: int) -> list[sympy.Expr]:
    step = terms[1] - terms[0]
    assert all(b - a == step for a, b in pairwise(terms))
    return [terms[0] + i * step for i in range(n)]


def _geometric(terms: list[sympy.Expr], n: int) -> list[sympy.Expr]:
    ratio = terms[1] / terms[0]
    assert all(b / a == ratio for a, b in pairwise(terms))
    return [terms[0] * ratio**i for i in range(n)]


def _two_terms(s: dict[str, Any], v: list[sympy.Expr]) -> bool:
    first, step = sympy.symbols("first step")
    found = sympy.solve([first + (s["i"] - 1) * step - s["p"], first + (s["j"] - 1) * step - s["q"]], (first, step))
    return bool(found[first] + (s["n"] - 1) * found[step] == v[0])


def _grown(start: Any, percents: list[Any]) -> sympy.Expr:
    value = R(str(start))
    for percent in percents:
        value += value * R(percent, 100)
    return value


def _dice(s: dict[str, Any], v: list[sympy.Expr]) -> bool:
    rolls = list(product(range(1, s["m"] + 1), range(1, s["n"] + 1)))
    return bool(v[0] == R(sum(1 for roll in rolls if sum(roll) == s["s"]), len(rolls)))


def _pairs(s: dict[str, Any], wanted: Callable[[str, str], bool]) -> sympy.Expr:
    """Two draws without replacement, counted one by one."""
    balls = list(enumerate("a" * s["a"] + "b" * s["b"]))
    draws = [(x, y) for i, x in balls for j, y in balls if i != j]
    return R(sum(1 for x, y in draws if wanted(x, y)), len(draws))


def _story(s: dict[str, Any], v: list[sympy.Expr]) -> bool:
    return bool(v[0] == s["n"] * (1 - R(s["a"], s["b"])) * (1 - R(s["c"], s["d"])))


PROOFS: dict[str, Proof] = {
    "linear_equation": _roots,
    "quadratic_equation": _roots,
    "system_of_two": _system("vw"),
    "system_of_three": _system("vwu"),
    "derivative_of": _derivative,
    "derivative_at": _derivative_at,
    "integral_of": _integral,
    "definite_integral": _definite,
    "limit": _limit,
    "limit_at_infinity": _limit,
    "simplify": _same,
    "factor": _factored,
    "fraction_expression": lambda s, v: v == [expression(s["e"])],
    "fraction_story": _story,
    "percent_of": lambda s, v: v == [R(s["p"], 100) * s["n"]],
    "percent_share": lambda s, v: v[0] * s["n"] == 100 * s["a"],
    "percent_discount": lambda s, v: v == [_grown(s["n"], [-s["p"]])],
    "percent_rise": lambda s, v: v == [_grown(s["n"], [s["p"]])],
    "percent_change": lambda s, v: s["b"] == _grown(s["a"], [v[0] if s["b"] > s["a"] else -v[0]]),
    "percent_before": lambda s, v: _grown(v[0], [-s["p"]]) == R(str(s["paid"])),
    "percent_twice": lambda s, v: v == [_grown(s["n"], [s["p"], -s["q"]])],
    "compound_interest": lambda s, v: v == [_grown(s["n"], [s["p"]] * s["t"])],
    "time_needed": lambda s, v: v[0] * s["r"] == s["s"],
    "average_rate": lambda s, v: v[0] * s["t"] == s["s"],
    "scaling": lambda s, v: v[0] * s["a"] == s["p"] * s["b"],
    "average_speed": lambda s, v: v[0] * (s["a"] + s["b"]) == s["a"] * s["r"] + s["b"] * s["q"],
    "meeting": lambda s, v: v[0] * s["r"] + v[0] * s["q"] == s["s"],
    "catching_up": lambda s, v: (v[0] + s["h"]) * s["r"] == v[0] * s["q"],
    "working_together": lambda s, v: v[0] / s["a"] + v[0] / s["b"] == 1,
    "dissolved": lambda s, v: v == [R(s["p"], 100) * s["n"]],
    "mixed_strength": lambda s, v: v[0] * (s["a"] + s["b"]) == s["a"] * s["p"] + s["b"] * s["q"],
    "blend_price": lambda s, v: v[0] * (s["a"] + s["b"]) == s["a"] * s["p"] + s["b"] * s["q"],
    "to_add": lambda s, v: s["a"] * s["p"] + v[0] * s["q"] == (s["a"] + v[0]) * s["r"],
    "thinned": lambda s, v: s["a"] * s["p"] == (s["a"] + v[0]) * s["r"],
    "arithmetic_term": lambda s, v: v[0] == _arithmetic(_listed(s), s["n"])[-1],
    "arithmetic_term_given": lambda s, v: v[0] == s["a"] + (s["n"] - 1) * s["d"],
    "arithmetic_sum": lambda s, v: v[0] == sum(_arithmetic(_listed(s), s["n"])),
    "geometric_term": lambda s, v: v[0] == _geometric(_listed(s), s["n"])[-1],
    "geometric_sum": lambda s, v: v[0] == sum(_geometric(_listed(s), s["n"])),
    "geometric_infinite": lambda s, v: abs(R(s["r"])) < 1 and v[0] * (1 - R(s["r"])) == s["a"],
    "arithmetic_two_terms": _two_terms,
    "one_draw": lambda s, v: v[0] * (s["a"] + s["b"] + s["c"]) == s["a"],
    "not_drawn": lambda s, v: v[0] * (s["a"] + s["b"] + s["c"]) == s["b"] + s["c"],
    "dice_sum": _dice,
    "two_replaced": lambda s, v: v[0] * (s["a"] + s["b"] + s["c"]) ** 2 == s["a"] * s["b"],
    "two_kept": lambda s, v: v[0] == _pairs(s, lambda x, y: x == y == "a"),
    "at_least_one": lambda s, v: v[0] == _pairs(s, lambda x, y: "a" in (x, y)),
    "coins": lambda s, v: v[0] * 2 ** s["n"] == sympy.binomial(s["n"], s["k"]),
    "determinant": lambda s, v: v[0] == _matrices(s)["A"].det(),
}
