"""A question and the steps of its solution as one graph: variables, numbers and operations, what is an argument of what, what came before.

Nodes: of each expression in the question and in the claims of each line (`domains.math.claims`, bounded and never evaluated by SymPy) one
a number, variable, function, operator or relation; one for the question, and one for each line, where its score is read.

Edges that stay in the question or in one line go both ways (the argument of an operation, with its order; a part of a line). Edges from one
line to another go forward only: question → line, line → next line, a number or variable → the same one where it is met next (in the same
line too: the two sides of `22 - 7 = 15` are one number). So a line's score depends on the question and the lines up to it, and all lines of
a solution are scored in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from domains.math.claims import Clause, claims
from domains.math.expressions import CONSTANTS, TooLarge, Tree, to_fraction
from domains.math.reading import expressions
from domains.math.steps import MAX_LINES

KINDS = (
    "question", "line", "number", "constant", "variable", "neg", "+", "-", "*", "/", "^",
    "sqrt", "sin", "cos", "tan", "ln", "log", "exp", "label", "=", "<", ">", "<=", ">=", "->",
)  # fmt: skip
EDGES = (
    "first", "second", "third", "of first", "of second", "of third", "part", "of part", "asked", "next", "same number", "same variable",
)  # fmt: skip
"""`first` goes from an argument to its operation, `of first` back."""
MODULI = (2, 3, 5, 7, 9, 11, 13)
FEATURES = 5 + 2 * len(MODULI)
MAX_NODES = 1500
"""Of a graph; what would come later is left out."""
MAX_VALUE = 10**15


@dataclass
class Graph:
    """Lists of one length each: `kinds` and `numbers` by node; `sources`, `targets`, `edges` by edge; `lines` by line."""

    kinds: list[int] = field(default_factory=list)
    numbers: list[list[float]] = field(default_factory=list)
    """FEATURES numbers a node, all zero where it has no value."""
    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Node of each line."""


def graph(question: str, lines: Sequence[str], *, values: bool = True) -> Graph:
    """The graph of a solution. With `values` an operation on plain numbers knows its value, as a calculator would; without, numbers alone do."""
    maker = _Maker(values)
    root = maker.node("question")
    for _, _, tree in expressions(question[:8000]):
        maker.tree(tree, root)
    before = root
    for line in lines[:MAX_LINES]:
        place = maker.node("line", always=True)
        maker.graph.lines.append(place)
        maker.edge(root, place, "asked")
        if before != root:
            maker.edge(before, place, "next")
        found = claims(line)
        for clause in found:
            maker.clause(clause, place)
        if not found:
            maker.bare(line, place)
            before = place
    return maker.graph


def features(value: Fraction | None) -> list[float]:
    """A number as the network sees it: that there is one, sign, size, whether it is whole, and where it lies on circles of MODULI steps."""
    if value is None or abs(value) > MAX_VALUE or value.denominator > MAX_VALUE:
        return [0.0] * FEATURES
    size = math.log1p(abs(float(value)))
    found = [1.0, float(value > 0) - float(value < 0), size / 5, math.sin(size), float(value.denominator == 1)]
    for modulus in MODULI:
        if math.gcd(value.denominator, modulus) > 1:
            found += [0.0, 0.0]
        else:
            angle = 2 * math.pi * (value.numerator * pow(value.denominator, -1, modulus) % modulus) / modulus
            found += [math.cos(angle), math.sin(angle)]
    return found


class _Maker:
    def __init__(self, values: bool) -> None:
        self.graph = Graph()
        self.values = values
        self.seen: dict[tuple[str, Any], int] = {}
        """Where a number or variable was last met."""

    def node(self, kind: str, value: Fraction | None = None, *, always: bool = False) -> int:
        if len(self.graph.kinds) >= MAX_NODES and not always:
            raise TooLarge(f"a graph of more than {MAX_NODES} nodes")
        self.graph.kinds.append(KINDS.index(kind))
        self.graph.numbers.append(features(value))
        return len(self.graph.kinds) - 1

    def edge(self, source: int, target: int, kind: str) -> None:
        self.graph.sources.append(source)
        self.graph.targets.append(target)
        self.graph.edges.append(EDGES.index(kind))

    def tree(self, tree: Tree, place: int) -> int | None:
        """Nodes of an expression as parts of a line or the question; its top, or None for one that is too large."""
        try:
            return self._tree(tree, place)
        except (TooLarge, RecursionError):
            return None

    def _tree(self, tree: Tree, place: int) -> int:
        head, *rest = tree
        value = _value(tree) if self.values or head == "n" else None
        if head == "n":
            own, key = self.node("number", value), ("n", value)
        elif head == "v":
            own, key = self.node("constant" if rest[0] in CONSTANTS else "variable"), ("v", rest[0])
        else:
            own, key = self.node(rest[0] if head == "f" else head, value), ("n", value)
            for order, part in enumerate([part for part in rest if isinstance(part, tuple)]):
                self.argument(self._tree(part, place), own, order)
        if key[1] is not None:
            if key in self.seen:
                self.edge(self.seen[key], own, "same number" if key[0] == "n" else "same variable")
            self.seen[key] = own
        self.edge(own, place, "part")
        self.edge(place, own, "of part")
        return own

    def argument(self, source: int, target: int, order: int) -> None:
        name = ("first", "second", "third")[min(order, 2)]
        self.edge(source, target, name)
        self.edge(target, source, f"of {name}")

    def clause(self, clause: Clause, place: int) -> None:
        """A chain `a = b = c`: a relation node between each two neighbours."""
        try:
            tops = [self.tree(side.tree, place) if side.tree is not None else self.node("label") for side in clause.sides]  # fmt: skip
            for one, other, sign in zip(tops, tops[1:], clause.signs, strict=False):
                relation = self.node(sign if sign in KINDS else "=")
                for order, top in enumerate((one, other)):
                    if top is not None:
                        self.argument(top, relation, order)
                self.edge(relation, place, "part")
                self.edge(place, relation, "of part")
        except TooLarge:
            return

    def bare(self, line: str, place: int) -> None:
        """A line that claims nothing (`Answer: 16`): the expressions in it."""
        for _, _, tree in expressions(line[:1000]):
            self.tree(tree, place)


def _value(tree: Tree) -> Fraction | None:
    try:
        return to_fraction(tree)
    except (TooLarge, ZeroDivisionError, RecursionError, ValueError, OverflowError):
        return None


def together(graphs: Sequence[Graph]) -> Iterator[tuple[str, list[Any]]]:
    """Columns of one large graph with all of them in it, disconnected: what a batch is."""
    shift = 0
    kinds: list[int] = []
    numbers: list[list[float]] = []
    lines: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    edges: list[int] = []
    for one in graphs:
        kinds += one.kinds
        numbers += one.numbers
        lines += [index + shift for index in one.lines]
        sources += [index + shift for index in one.sources]
        targets += [index + shift for index in one.targets]
        edges += one.edges
        shift += len(one.kinds)
    yield "kinds", kinds
    yield "numbers", numbers
    yield "sources", sources
    yield "targets", targets
    yield "edges", edges
    yield "lines", lines
