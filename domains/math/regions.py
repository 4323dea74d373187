"""Sets of numbers that inequalities describe: read from `x < 1 or x >= 4`, `1 < x <= 3`, `(-\\infty, 1) \\cup [4, \\infty)`, and compared.

A region is a list of intervals from left to right that neither touch nor overlap. Ends are trees of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domains.math.expressions import TooLarge, Tree, Unparsable, parse, variables
from domains.math.polynomials import value

SIGN = re.compile(
    r"<=|>=|=<|=>|≤|≥|⩽|⩾|\\leq?(?:slant)?(?![a-z])|\\geq?(?:slant)?(?![a-z])|\\lt(?![a-z])|\\gt(?![a-z])|<|>|≠|!=|\\neq?(?![a-z])"
)
_PLAIN = {"=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">=", "≠": "!=", "\\lt": "<", "\\gt": ">"}
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
_INTERVAL = re.compile(r"^([\[(])([^,;\[\]]+)[,;]([^,;\[\]]+)([\])])$")
_INFINITY = re.compile(r"\\infty|∞|(?<![a-z])(?:infinity|inf|oo)(?![a-z])", re.I)
_ALL = re.compile(r"^(?:all real numbers|all reals|\\mathbb\{?R\}?|ℝ|R)$", re.I)
_NONE = re.compile(r"^(?:no (?:real )?solutions?|the empty set|\\emptyset|\\varnothing|∅|\{\s*\})$", re.I)
MAX_INTERVALS = 12


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`; None is without end."""

    low: Tree | None
    low_closed: bool
    high: Tree | None
    high_closed: bool


@dataclass(frozen=True)
class Region:
    """A union of intervals, and the variable that it is said of."""

    variable: str | None
    intervals: tuple[Interval, ...]


def sign_of(text: str) -> str:
    """`\\leq` → `<=`."""
    if text.startswith("\\"):
        return {"l": "<=", "g": ">=", "n": "!="}[text[1]] if text not in _PLAIN else _PLAIN[text]
    return _PLAIN.get(text, text)


def looks_like_region(text: str) -> bool:
    """Whether an answer is meant as a set of numbers: it compares, joins intervals or has one that is half open or without end."""
    if SIGN.search(text) or "∪" in text or "\\cup" in text or _ALL.match(text.strip()) or _NONE.match(text.strip()):
        return True
    pieces = _INTERVAL.match(_bare(text))
    if pieces is None:
        return False
    return pieces[1] + pieces[4] in ("[)", "(]", "[]") or bool(_INFINITY.search(text))


def _bare(text: str) -> str:
    text = re.sub(r"\\left|\\right|\\[,;!\s]|\$", "", text).strip(" .*_`")
    if described := re.match(r"^\\?\{\s*[a-z]\s*(?:[|:]|\\mid)\s*(.*?)\s*\\?\}$", text):
        return described[1]
    return re.sub(r"^[a-zA-Z]\s*(?:∈|\\in(?![a-z])|in\s)\s*", "", text).strip()


def read_region(text: str) -> Region:
    """Raises Unparsable or TooLarge for what is no solved inequality and no union of intervals."""
    name = re.match(r"^\s*\$?([a-zA-Z])\s*(?:∈|\\in(?![a-z])|in\s)", text)
    text = text.strip(" *_`").rstrip(".;, ")
    text = _bare(re.sub(r"\\text\{\s*(or|and)\s*\}", r" \1 ", text))
    if _ALL.match(text):
        return Region(None, (Interval(None, False, None, False),))
    if _NONE.match(text):
        return Region(None, ())
    if not SIGN.search(text):
        pieces = re.split(r"\s*(?:∪|\\cup|\sor\s|\sU\s)\s*", text)
        _few(pieces)
        return Region(name[1] if name else None, union([_interval(piece) for piece in pieces]))
    variables_found: set[str] = set()
    alternatives = re.split(r"\s(?:or)\s|\\lor|∨|∪|;|(?<=[\w})])\s*,\s*(?!\s*and)", text)
    _few(alternatives)
    found: list[Interval] = []
    for alternative in alternatives:
        parts: list[Interval] = [Interval(None, False, None, False)]
        for piece in re.split(r"\s(?:and)\s|\\land|∧|&", alternative):
            variable, described = _comparison(piece)
            variables_found.add(variable)
            parts = [both for one in parts for other in described if (both := _intersection(one, other))]
        found += parts
    if len(variables_found) != 1:
        raise Unparsable("inequalities in several variables")
    return Region(variables_found.pop(), union(found))


def _few(pieces: Sequence[str]) -> None:
    if len(pieces) > MAX_INTERVALS:
        raise TooLarge(f"{len(pieces)} intervals in one answer, at most {MAX_INTERVALS}")


def _interval(text: str) -> Interval:
    match = _INTERVAL.match(text.strip())
    if match is None:
        raise Unparsable("not an interval")
    return Interval(_end(match[2], "-"), match[1] == "[", _end(match[3], "+"), match[4] == "]")


def _end(text: str, side: str) -> Tree | None:
    if _INFINITY.search(text):
        rest = _INFINITY.sub("", text).strip()
        if rest not in ({"-": ("-", "−"), "+": ("", "+")}[side]):
            raise Unparsable("infinity on the wrong side")
        return None
    tree = parse(text)
    if variables(tree):
        raise Unparsable("an end that is no number")
    return tree


def _comparison(text: str) -> tuple[str, list[Interval]]:
    """`1 < x <= 3`, `x > 2`, `2 < x`, `x != 3` → the variable and what it may be."""
    sides, signs = SIGN.split(text), [sign_of(sign) for sign in SIGN.findall(text)]
    trees = [None if _INFINITY.search(side) else parse(side) for side in sides]
    where = [index for index, tree in enumerate(trees) if tree is not None and variables(tree)]
    if len(where) != 1 or trees[where[0]][0] != "v" or len(trees) > 3:  # type: ignore[index]
        raise Unparsable("an inequality that is not solved")
    index = where[0]
    name: str = trees[index][1]  # type: ignore[index]
    result = [Interval(None, False, None, False)]
    for position, sign in enumerate(signs):
        if position == index:
            bound, direction = trees[position + 1], sign
        elif position == index - 1:
            bound, direction = trees[position], _TURNED[sign]
        else:
            raise Unparsable("a chain that does not go through the variable")
        result = [both for one in result for other in _half_lines(bound, direction) if (both := _intersection(one, other))]  # fmt: skip
    return name, result


def _half_lines(bound: Tree | None, sign: str) -> list[Interval]:
    if sign == "!=":
        return [Interval(None, False, bound, False), Interval(bound, False, None, False)]
    closed = sign.endswith("=") and bound is not None
    return [Interval(None, False, bound, closed) if sign[0] == "<" else Interval(bound, closed, None, False)]


def number(tree: Tree | None, side: float) -> float:
    """The end's value; `side` (an infinity) for no end. Raises Unparsable for what is no real number."""
    if tree is None:
        return side
    try:
        found = value(tree, {"pi": 3.141592653589793})
    except (ArithmeticError, ValueError, KeyError):
        raise Unparsable("an end without a value") from None
    if abs(found.imag) > 1e-9:
        raise Unparsable("an end that is no real number")
    return found.real


def _intersection(one: Interval, other: Interval) -> Interval | None:
    a, b = number(one.low, -float("inf")), number(other.low, -float("inf"))
    low, low_closed = (one.low, one.low_closed) if a > b else (other.low, other.low_closed)
    if a == b:
        low_closed = one.low_closed and other.low_closed
    c, d = number(one.high, float("inf")), number(other.high, float("inf"))
    high, high_closed = (one.high, one.high_closed) if c < d else (other.high, other.high_closed)
    if c == d:
        high_closed = one.high_closed and other.high_closed
    left, right = max(a, b), min(c, d)
    if left > right or (left == right and not (low_closed and high_closed)):
        return None
    return Interval(low, low_closed, high, high_closed)


def union(intervals: list[Interval]) -> tuple[Interval, ...]:
    """From left to right, with those that touch made one. Empty ones are dropped; Unparsable for one that runs backwards."""
    kept: list[Interval] = []
    ordered = sorted(intervals, key=lambda one: (number(one.low, -float("inf")), not one.low_closed))
    for one in ordered:
        low, high = number(one.low, -float("inf")), number(one.high, float("inf"))
        if low > high:
            raise Unparsable("an interval that runs backwards")
        if low == high and not (one.low_closed and one.high_closed):
            continue
        if kept:
            end = number(kept[-1].high, float("inf"))
            if low < end or (low == end and (one.low_closed or kept[-1].high_closed)):
                if high > end or (high == end and one.high_closed):
                    kept[-1] = Interval(kept[-1].low, kept[-1].low_closed, one.high, one.high_closed)
                continue
        kept.append(one)
    return tuple(kept)


def shape(region: Region) -> list[tuple[bool, bool, bool, bool]]:
    """What is left of a region without the numbers: which ends there are and which belong to it."""
    return [(i.low is None, i.low_closed, i.high is None, i.high_closed) for i in region.intervals]


def ends(region: Region) -> list[Tree]:
    """The numbers of a region, from left to right."""
    return [end for i in region.intervals for end in (i.low, i.high) if end is not None]
