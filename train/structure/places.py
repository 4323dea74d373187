"""Where a token stands in the expression that it belongs to: its role, its depth, which operand it is, which side of an equation.

A question's tokens have the place that the parse gives them. The parse is the domain's own bounded reader (`domains.math.reading`), whose
tree is what SymPy is built from node by node; SymPy's own tree would not do, for it reorders terms and has no places in the text. A
question that does not parse has no places; nothing is evaluated.

An answer's tokens have the place that is known when they are written: `Scanner` reads them from left to right and never looks ahead, so the
same places are there while the model writes. Its depth is the number of operators and brackets that are still open (Dijkstra's
shunting-yard), kept apart from the depth in a finished tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from domains.math.expressions import FUNCTIONS, Tree
from domains.math.reading import expressions

ROLES = (
    "text", "number", "coefficient", "exponent", "variable", "function", "plus", "minus", "times", "divide", "power", "negative",
    "bracket", "relation",
)  # fmt: skip
MAX_DEPTH = 8
"""Deeper ones count as this deep."""
DEPTHS = 1 + 2 * MAX_DEPTH
"""0 is none, then depths in a tree, then numbers of open operators."""
OPERANDS = 3
"""None, first or only one, second."""
SIDES = 4
"""None, left, right, further ones of a chain."""
MAX_QUESTION = 4000
"""Characters; a longer question has no places."""
MAX_OPEN = 64
"""Open operators that a scanner remembers."""
_OPERATORS = {"+": "plus", "-": "minus", "*": "times", "/": "divide", "^": "power"}
_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "^": 4, "f": 5}
_RELATIONS = ("=", "<", ">", "<=", ">=", "->", "≤", "≥")
_SYMBOL = re.compile(r"\d+(?:\.\d+)?|\.\d+|[a-zA-Z]+|\*\*|\S")


class Place(NamedTuple):
    """Four small numbers, each an index into an embedding table: of ROLES, DEPTHS, OPERANDS and SIDES entries."""

    role: int = 0
    depth: int = 0
    operand: int = 0
    side: int = 0


NOWHERE = Place()


def in_question(question: str) -> dict[int, Place]:
    """Place of each character that belongs to an expression, by its position in the question."""
    if len(question) > MAX_QUESTION:
        return {}
    found: dict[int, Place] = {}
    side = 0
    after = -1
    for start, written, tree in expressions(question):
        sign = question[after:start].strip() if after >= 0 else ""
        if related := sign in _RELATIONS:
            for position in range(after, start):
                found[position] = Place(ROLES.index("relation"), 1, 0, side)
        side = min(side + 1, SIDES - 1) if related else 0
        after = start + len(written)
        if not side and question[after : after + 4].lstrip().startswith(_RELATIONS):
            side = 1
        for position, place in _aligned(written, tree):
            found[start + position] = place._replace(side=side)
    return found


def _aligned(written: str, tree: Tree) -> list[tuple[int, Place]]:
    """The tree's nodes laid over the text that it was parsed from, in the order of writing; nothing where the reader rewrote the text."""
    symbols: list[tuple[int, str]] = []
    for match in _SYMBOL.finditer(written):
        word = match[0]
        if word.isalpha() and word not in FUNCTIONS and word not in ("pi", "oo"):
            symbols += [(match.start() + offset, letter) for offset, letter in enumerate(word)]
        else:
            symbols.append((match.start(), "^" if word == "**" else word))
    walk = _Walk(symbols)
    try:
        walk.node(tree, 1, 1, "number")
    except _Differs:
        return []
    return [(position + offset, place) for position, length, place in walk.placed for offset in range(length)]


class _Differs(Exception):
    """The text has another symbol than the tree."""


@dataclass
class _Walk:
    symbols: list[tuple[int, str]]
    position: int = 0
    placed: list[tuple[int, int, Place]] = field(default_factory=list)

    def node(self, tree: Tree, depth: int, operand: int, number: str) -> None:
        head = tree[0]
        if head in ("n", "v"):
            self.take(tree[1], number if head == "n" else "variable", depth, operand)
        elif head == "f":
            self.take(tree[1], "function", depth, operand)
            self.node(tree[2], depth + 1, 1, "number")
        elif head == "neg":
            self.take("-", "negative", depth, operand)
            self.node(tree[1], depth + 1, 1, "number")
        else:
            implicit = head == "*" and tree[1][0] == "n" and tree[2][0] in ("v", "^", "(", "f")
            self.node(tree[1], depth + 1, 1, "coefficient" if implicit else "number")
            if self.peek(depth) == head:
                self.take(head, _OPERATORS[head], depth, operand)
            elif head != "*":
                raise _Differs
            self.node(tree[2], depth + 1, 2, "exponent" if head == "^" else "number")

    def peek(self, depth: int) -> str:
        """The next symbol behind brackets that close; those belong to what is around."""
        while self.position < len(self.symbols) and self.symbols[self.position][1] in (")", "}"):
            self.put("bracket", depth, 0)
        return self.symbols[self.position][1] if self.position < len(self.symbols) else ""

    def take(self, wanted: str, role: str, depth: int, operand: int) -> None:
        while self.position < len(self.symbols) and self.symbols[self.position][1] in ("(", ")", "{", "}"):
            self.put("bracket", depth, 0)
        if self.position >= len(self.symbols) or self.symbols[self.position][1] != wanted:
            raise _Differs
        self.put(role, depth, operand)

    def put(self, role: str, depth: int, operand: int) -> None:
        start, symbol = self.symbols[self.position]
        self.placed.append((start, len(symbol), Place(ROLES.index(role), min(depth, MAX_DEPTH), operand)))
        self.position += 1


@dataclass
class Scanner:
    """Places of an answer's pieces, one at a time: what it gives for a piece depends on that piece and those before it alone."""

    open: list[str] = field(default_factory=list)
    """Operators and brackets that wait for what follows."""
    ready: bool = False
    """Whether an operand has just ended."""
    side: int = 1
    last: Place = NOWHERE
    in_number: bool = False

    def feed(self, piece: str) -> Place:
        """The place of the next piece: a digit, a letter, a word, a sign or a space, perhaps with a space before it."""
        text = piece.strip(" ")
        if self.in_number and piece[:1] in "0123456789." and (piece[:1] != "." or len(piece) == 1):
            return self.last
        self.in_number = False
        self.last = self._place(text)
        return self.last

    def _place(self, text: str) -> Place:
        if not text or text in ("\n", ",", ";", ":"):
            if text:
                self._reset()
            return NOWHERE
        if text[0].isdigit():
            self.in_number = True
            role = "exponent" if self.open and self.open[-1] == "^" and not self.ready else "number"
            return self._operand(role)
        if text in FUNCTIONS:
            place = self._operand("function")
            self._push("f")
            return place
        if len(text) == 1 and text.isalpha():
            return self._operand("variable")
        if text in _OPERATORS:
            return self._operator(text)
        if text == "(":
            place = self._operand("bracket")
            self._push("(")
            return place
        if text == ")":
            self._reduce(0)
            if self.open:
                self.open.pop()
            self.ready = True
            return self._here("bracket", 0)
        if text in _RELATIONS:
            self.open.clear()
            self.ready = False
            place = self._here("relation", 0)
            self.side = min(self.side + 1, SIDES - 1)
            return place
        self._reset()
        return NOWHERE

    def _operand(self, role: str) -> Place:
        if self.ready:  # `3x`: a product without a sign
            self._reduce(_STRENGTH["*"])
            self._push("*")
        place = self._here(role, 2 if self.open and self.open[-1] in _OPERATORS else 1)
        self.ready = True
        return place

    def _operator(self, sign: str) -> Place:
        if not self.ready:
            place = self._here("negative" if sign == "-" else "plus", 1)
            self._push("neg")
            return place
        if sign != "^":  # a power binds to the right
            self._reduce(_STRENGTH[sign])
        place = self._here(_OPERATORS[sign], 0)
        self._push(sign)
        return place

    def _reduce(self, strength: int) -> None:
        while self.open and self.open[-1] != "(" and _STRENGTH[self.open[-1]] >= strength:
            self.open.pop()

    def _push(self, sign: str) -> None:
        if len(self.open) >= MAX_OPEN:
            del self.open[0]
        self.open.append(sign)
        self.ready = False

    def _here(self, role: str, operand: int) -> Place:
        depth = MAX_DEPTH + 1 + min(len(self.open), MAX_DEPTH - 1)
        return Place(ROLES.index(role), depth, operand, self.side)

    def _reset(self) -> None:
        self.open.clear()
        self.ready, self.side = False, 1


def of_question(question: str, spans: list[tuple[int, str]]) -> Iterator[Place]:
    """Place of each piece of a question, given as (start, piece)."""
    places = in_question(question)
    for start, piece in spans:
        yield places.get(start + len(piece) - len(piece.lstrip(" ")), NOWHERE)


def of_answer(pieces: list[str]) -> Iterator[Place]:
    """Place of each piece of an answer."""
    scanner = Scanner()
    yield from map(scanner.feed, pieces)
