"""The step check: does each line of a solution follow? It names the first that does not.

A line is judged by what it claims (`claims.py`) and by what was there before it: the question, where it can be read, and the lines above.

    numbers         every side of `a = b = c` is one value; a decimal may be rounded or cut off
    expressions     in a question without an equation, `A = B` holds for all values; `A -> B` is a derivative, or an antiderivative
    equations       the solutions of the question, or of the line above, stay: none is lost, none is won. A line may hold one case
                    of several (`x = 2`); then the other cases must follow before the end
    systems         the one solution of the question solves every line
    inequalities    the set of solutions stays

What cannot be read or decided is skipped and never accused. Nothing here reaches SymPy or another process: all is exact arithmetic
with bounded polynomials, and floating point only to tell clearly different values apart.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from fractions import Fraction

from domains.math import univariate
from domains.math.answers import MAX_PREDICTION
from domains.math.calculus import derivative, put_in
from domains.math.claims import Clause, Side, called, claims, exact, is_number
from domains.math.expressions import TooLarge, Tree, Unparsable, parse, variables
from domains.math.polynomials import Polynomial, differ, names, polynomial, same
from domains.math.reading import Task, read
from domains.math.sets import Relation, relation, same_set
from domains.math.solutions import horner, only_solution, value_at

_DECIMALS = re.compile(r"\d*\.(\d+)", re.ASCII)
MAX_LINES = 120
"""Lines that are looked at."""
MAX_WORK = 400
"""Claims that are looked at."""


@dataclass(frozen=True)
class Step:
    """One line of a solution."""

    number: int
    """Counted from 1 among the lines that are not blank."""
    text: str
    status: str
    """`right`, `wrong` or `skipped`."""
    why: str = ""


class Wrong(Exception):
    """A claim that does not hold."""


def first_wrong(solution: str, question: str = "") -> Step | None:
    """The first step that does not follow, or None."""
    return next((step for step in examine(solution, question) if step.status == "wrong"), None)


def examine(solution: str, question: str = "") -> list[Step]:
    """Every line with what became of it. Never raises."""
    if len(solution) > MAX_PREDICTION:
        return []
    lines = [line.strip() for line in solution.replace("\x00", " ").split("\n")]
    lines = [line for line in lines if line][:MAX_LINES]
    judge = _Judge(read(question))
    steps = [judge.line(number, text) for number, text in enumerate(lines, 1)]
    if open_case := judge.lost():
        steps[open_case - 1] = Step(open_case, lines[open_case - 1], "wrong", "a solution is lost")
    return steps


@dataclass
class _Judge:
    task: Task | None
    work: int = 0
    functions: dict[str, tuple[str, Tree]] = field(default_factory=dict)
    unknown: str | None = None
    current: univariate.Line | None = None
    """The equation in one unknown that the lines above came to."""
    stated_at: int = 0
    solved: bool = False
    """Whether the line above gave the unknown's value."""
    cases: list[univariate.Line] = field(default_factory=list)
    other_cases: list[Tree] = field(default_factory=list)
    first_case: int = 0
    system: dict[str, Fraction] | None = None
    inequality: Relation | None = None

    def __post_init__(self) -> None:
        task = self.task
        if task is None:
            return
        if task.what == "equations":
            self._start(task)
        elif task.what == "inequality":
            self.inequality = relation(*task.pairs[0], task.sign)
        elif task.what in ("derivative", "integral") and "K" not in variables(task.tree):
            name = task.variable or next(iter(sorted(variables(task.tree))), "x")
            self.functions = {"f": (name, task.tree)}
            if task.what == "derivative":
                self.functions["f'"] = (name, derivative(task.tree, name))

    def _start(self, task: Task) -> None:
        moved = [polynomial(("-", left, right)) for left, right in task.pairs]
        if any(one is None for one in moved):
            return
        found = [one for one in moved if one is not None]
        unknowns = sorted(set().union(*map(names, found)))
        if len(found) == 1 and len(unknowns) == 1:
            self.unknown, self.current = unknowns[0], univariate.coefficients(found[0], unknowns[0])
        elif len(found) > 1:
            self.system = only_solution(found, unknowns)

    def line(self, number: int, text: str) -> Step:
        marker = "answer" in text.lower()[:16]
        status, why = "skipped", ""
        alternatives: list[Clause] = []
        try:
            for clause in claims(_after_marker(text) if marker else text):
                self.work += 1
                if self.work > MAX_WORK:
                    break
                if clause.alternative:
                    alternatives.append(clause)
                    self._numbers(clause)
                    continue
                if self._claim(clause, number):
                    status = "right"
            if alternatives and self._alternatives(alternatives, number):
                status = "right"
        except Wrong as wrong:
            return Step(number, text, "wrong", str(wrong))
        except (Unparsable, TooLarge, ArithmeticError, ValueError, RecursionError):
            pass
        return Step(number, text, status, why)

    def lost(self) -> int:
        """The number of the line that began with the cases, when at the end some solutions are in none of them."""
        if not self.first_case or self.current is None or self.system is not None:
            return 0
        return 0 if self._covered() >= univariate.count(self.current) else self.first_case

    def _covered(self) -> int:
        product = [Fraction(1)]
        for case in self.cases:
            product = univariate.times(product, univariate.without(case, product))
        return univariate.count(product) + len(self.other_cases)

    # one claim ------------------------------------------------------------------------------------------------------------

    def _claim(self, clause: Clause, number: int) -> bool:
        """True where it was checked and holds, False where there is nothing to check. Raises Wrong."""
        if clause.arrow:
            return self._arrow(clause)
        if set(clause.signs) - {"="}:
            return self._inequality([clause])
        checked = self._numbers(clause)
        if clause.prose:
            return checked
        sides = [self._side(one) for one in clause.sides]
        trees = [tree for tree in sides if tree is not None]
        known = {letter: integrand for letter, (integrand, _) in clause.integrals.items()}
        if known:
            return self._integrals(trees, clause) or checked
        self._define(clause, trees)
        if any(one.percent is not None or one.unit for one in clause.sides):
            return checked
        with_names = [tree for tree in trees if not is_number(tree)]
        if not with_names or len(trees) < 2:
            return checked
        if self.task is not None and self.task.what not in ("equations", "inequality"):
            return self._identities(trees) or checked
        return self._equation(trees, number) or checked

    def _side(self, one: Side) -> Tree | None:
        if one.defines:
            name, prime, argument = one.defines
            known = self.functions.get(name + prime)
            return put_in(known[1], known[0], parse(argument)) if known else None
        return one.tree

    def _define(self, clause: Clause, trees: list[Tree]) -> None:
        first = clause.sides[0]
        if first.defines and len(first.defines[2]) == 1 and first.defines[2].isalpha() and trees:
            name, prime, argument = first.defines
            if name + prime not in self.functions and len(self.functions) < 8:
                self.functions[name + prime] = (argument, trees[-1])
                if not prime:
                    self.functions.setdefault(name + "'", (argument, derivative(trees[-1], argument)))

    def _numbers(self, clause: Clause) -> bool:
        """Whether all plain numbers of a chain are one. Raises Wrong."""
        if set(clause.signs) - {"=", "->"}:
            return False
        found: list[tuple[Side, Tree]] = []
        for one in clause.sides:
            tree = self._side(one) if one.tree is None else one.tree
            if tree is None and "(" in one.text and not one.defines:
                try:
                    tree = called(None, self.functions, one.text)
                except Unparsable:
                    tree = None
            if tree is not None and is_number(tree):
                found.append((one, tree))
        for (a, one), (b, other) in itertools.pairwise(found):
            if a.unit and (b.unit != a.unit or one[0] == "n"):
                continue  # `2 hours = 120 minutes`
            if b.unit and not a.unit and one[0] == "n":
                continue
            if not _equal_numbers(a, one, b, other):
                raise Wrong(f"{a.text} is not {b.text}")
        return len(found) > 1

    def _identities(self, trees: list[Tree]) -> bool:
        """A chain of expressions: each equals the next for all values."""
        checked = False
        for one, other in itertools.pairwise(trees):
            if "v" in (one[0], other[0]):
                continue  # `u = x^2 + 1` gives a name
            held = same(one, other)
            if held is False:
                raise Wrong("the two sides are not equal")
            checked |= bool(held) or not differ(one, other)
        return checked

    def _arrow(self, clause: Clause) -> bool:
        """`A -> B`: B is the derivative of A, or A that of B. In between, numbers."""
        for inner, _ in clause.integrals.values():
            if isinstance(inner, Clause):
                self._numbers(inner)
        one, other = clause.sides[0].tree, clause.sides[-1].tree
        if one is None or other is None or self.task is None or self.task.what not in ("derivative", "integral"):
            return False
        if self.task.what == "integral":
            one, other = other, one
        names_found = variables(one) | variables(other) | variables(self.task.tree)
        name = self.task.variable or next(iter(sorted(names_found - {"C", "e"})), "x")
        held = same(derivative(one, name), other)
        if held is False:
            raise Wrong(
                f"the derivative of {clause.sides[0 if self.task.what == 'derivative' else -1].text} is another"
            )
        return True

    def _integrals(self, trees: list[Tree], clause: Clause) -> bool:
        """A chain with integrals: all sides have one derivative."""
        name = next(iter(clause.integrals.values()))[1]
        if any(variable != name for _, variable in clause.integrals.values()):
            return False
        inner = {letter: integrand for letter, (integrand, _) in clause.integrals.items()}
        slopes = [derivative(tree, name, inner) for tree in trees]
        for one, other in itertools.pairwise(slopes):
            if same(one, other) is False:
                raise Wrong("the derivative of the right side is not that of the left")
        first = clause.sides[0]
        if first.defines and trees and not first.defines[1]:
            self.functions[first.defines[0]] = (first.defines[2], trees[-1])
        return len(slopes) > 1

    # equations ------------------------------------------------------------------------------------------------------------

    def _equation(self, trees: list[Tree], number: int) -> bool:
        first = trees[0]
        last = trees[-1]
        if is_number(first) and is_number(last):
            return False
        moved = polynomial(("-", first, last))
        for middle in trees[1:-1]:
            if not is_number(middle) and (between := polynomial(("-", first, middle))) is not None:
                self._one_equation(between, number, (first, middle))
        if moved is None and self.inequality is None and self.current is None:
            return False
        return self._one_equation(moved, number, (first, last))

    def _one_equation(self, moved: Polynomial | None, number: int, sides: tuple[Tree, Tree]) -> bool:
        if moved is not None and not moved:
            return True
        if self.system is not None:
            return moved is not None and self._in_system(moved)
        if self.inequality is not None:
            return False  # an end or a zero of it: no step from set to set
        if self.task is None and moved is not None:
            return self._on_its_own(moved, number, sides)
        if self.current is None or self.unknown is None:
            return False
        found = None if moved is None else univariate.coefficients(moved, self.unknown)
        if found is None:
            return self._root(sides, number)
        if len(found) < 2:
            return False
        return self._follows(found, number, case=True)

    def _in_system(self, moved: Polynomial) -> bool:
        assert self.system is not None
        used = names(moved)
        if not used or not used <= set(self.system):
            return False
        if value_at(moved, self.system) != 0:
            raise Wrong("the solution of the system does not solve this line")
        return True

    def _root(self, sides: tuple[Tree, Tree], number: int) -> bool:
        """`x = 1 + sqrt(2)`: a number that may have a square root."""
        one, other = sides
        if one != ("v", self.unknown) or not is_number(other) or self.current is None:
            return False
        value = horner(self.current, other)
        held = same(value, ("n", "0"))
        if held is None:
            return False
        if not held:
            raise Wrong(f"{self.unknown} does not solve the equation")
        if not any(same(known, other) for known in self.other_cases):
            self.other_cases.append(other)
        self.first_case = self.first_case or number
        return True

    def _on_its_own(self, moved: Polynomial, number: int, sides: tuple[Tree, Tree]) -> bool:
        """Without a question that could be read: an equation follows the one in the line just above it."""
        used = names(moved)
        found = univariate.coefficients(moved, next(iter(used))) if len(used) == 1 else None
        if found is None or len(found) < 2:
            self.current = None
            return False
        name = next(iter(used))
        solved = ("v", name) in sides and any(map(is_number, sides))
        started = self.solved  # `x = 2`, then another equation: another problem
        self.solved = solved
        if (
            started
            or self.current is None
            or self.unknown != name
            or number > self.stated_at + 1
            or len(self.current) > 2
        ):
            self.unknown, self.current, self.stated_at = name, found, number
            return False
        checked = self._follows(found, number, case=False)
        self.current, self.stated_at = found, number
        return checked

    def _follows(self, found: univariate.Line, number: int, *, case: bool) -> bool:
        """Compare the solutions of a line with those so far. Raises Wrong."""
        assert self.current is not None
        if len(found) == len(self.current) == 2:
            if found[0] * self.current[1] != found[1] * self.current[0]:
                raise Wrong("its solution is another")
            return True
        old, new = univariate.simple(self.current), univariate.simple(found)
        shared = univariate.common(old, new)
        lost = univariate.count(univariate.divided(old, shared)[0])
        won = univariate.count(univariate.divided(new, shared)[0])
        kept = univariate.count(shared)
        if won:
            raise Wrong("it has a solution that the equation has not" if kept else "its solution is another")
        if lost and not kept:
            raise Wrong("it has no solution, the equation has")
        if lost and not case:
            raise Wrong("a solution is lost")
        if lost:
            if len(self.cases) < 16:
                self.cases.append(new)
            self.first_case = self.first_case or number
        elif case:
            self.cases, self.other_cases, self.first_case = [], [], 0
        return True

    def _alternatives(self, clauses: list[Clause], number: int) -> bool:
        """`x = 2 or x = 3`: together they have all solutions."""
        if any(set(clause.signs) - {"="} for clause in clauses):
            return self._inequality(clauses)
        if self.inequality is not None or self.system is not None or self.current is None:
            return False
        checked = True
        for clause in clauses:
            trees = [tree for tree in map(self._side, clause.sides) if tree is not None]
            if len(trees) < 2:
                return False
            checked &= self._equation(trees, number) if self.task else False
        if checked and self.first_case and self._covered() < univariate.count(self.current):
            raise Wrong("a solution is lost")
        return checked

    def _inequality(self, clauses: list[Clause]) -> bool:
        """One inequality, a chain of two, or alternatives: the set of solutions stays."""
        if self.inequality is None or self.task is None:
            return False
        parts: list[Relation] = []
        for clause in clauses:
            trees = [one.tree for one in clause.sides]
            if any(tree is None for tree in trees):
                return False
            chain = [
                relation(a, b, sign) for a, b, sign in zip(trees, trees[1:], clause.signs, strict=False) if sign != "="
            ]
            whole = [one for one in chain if one is not None and (one.top and len(one.top) > 1)]
            if len(whole) != len(chain) or not chain:
                return False
            parts.append(whole[0] if len(whole) == 1 else whole[0].both(whole[1]))
        names_found = set().union(*(variables(one.tree) for clause in clauses for one in clause.sides if one.tree))
        if names_found != {self.task.variable}:
            return False
        if not same_set(self.inequality, parts):
            raise Wrong("the set of solutions is another")
        return True


def _after_marker(text: str) -> str:
    """`Answer: x = 2 or x = 3` without its marker."""
    head, _, tail = text.partition(":")
    return tail if len(head) < 20 else text


def _equal_numbers(a: Side, one: Tree, b: Side, other: Tree) -> bool:
    """Whether two numbers are one; written decimals may be rounded, and a percent sign may stand for a hundredth or for nothing."""
    if exact(one) is None or exact(other) is None:
        return same(one, other) is not False
    readings = [(x, y) for x in _readings(a, one) for y in _readings(b, other)]
    return any(x == y or _rounded(x, y, _unit(b.text, y)) or _rounded(y, x, _unit(a.text, x)) for x, y in readings)


def _rounded(exact_value: Fraction, written: Fraction, unit: Fraction) -> bool:
    """Whether a decimal is another number rounded, or cut off."""
    off = abs(exact_value - written)
    return 2 * off <= unit or (off < unit and abs(written) < abs(exact_value))


def _readings(side: Side, tree: Tree) -> list[Fraction]:
    """What a number may mean: a percent sign is a hundredth, or only says that percents are meant."""
    found = [exact(tree)]
    if side.percent is not None:
        found += [exact(side.percent), None if found[0] is None else found[0] / 100]
    return [value for value in found if value is not None]


def _unit(text: str, value: Fraction) -> Fraction:
    """One unit of the last digit of a decimal; nothing for whole numbers and for fractions."""
    digits = [len(part) for part in _DECIMALS.findall(text)]
    if not digits or min(digits) > 30:
        return Fraction(0)
    return Fraction(1, 10 ** min(digits)) / (100 if "%" in text and abs(value) <= 1 else 1)
