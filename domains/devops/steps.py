"""The arithmetic in an answer's lines: every `… = …` that is plain arithmetic is computed, and the first that does not hold is named.

    >>> first_wrong("budget = 43200 * 0.001 = 43.2 min\\n43.2 - 10 = 34.2")
    (2, '43.2 - 10 = 34.2: it is 33.2')

Units and nouns behind numbers are read past (`120 req/s * 0.25 s = 30 requests`); where both sides name units, `2 h = 120 min` holds too. A right side may be rounded to
the digits it shows. What is not arithmetic (names, prose) is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from domains.devops import units
from domains.devops.expressions import FUNCTIONS, ExpressionError, compute, number, parse_once

MAX_LINES = 300
MAX_LINE = 400
MAX_EQUATIONS = 200
MOST_WHOLE = Fraction(1, 50)
"""A whole number on the right may be rounded, but not by more than this share: 100 / 3 = 33 holds, 7 / 2 = 4 does not."""
_EQUALS = re.compile(r"(?<![<>=!:~])=(?![=>])|≈")
_CLAUSES = re.compile(r"[()]|\s?(?:;|→|=>|->|, |\. |: )\s?")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+(?:\.[0-9]+)?)|(?P<operator>\*\*|[-+*/^()×·÷,])|(?P<percent>%)|(?P<money>\$)"
    r"|(?P<word>[A-Za-zµμΩΩ][A-Za-z0-9_²³]*))",
)
_UNIT = re.compile(r"\s?([A-Za-zµμΩΩ][A-Za-z²³]*(?:[/*][A-Za-zµ²³]+|\^-?[1-3])*)")
_PER = re.compile(
    r"\s?/\s?(?:s|ms|min|h|d|day|week|month|year|second|minute|hour|node|pod|core|host|replica|instance)\b(?!\s?\()"
)
_OPERATORS = {"×": "*", "·": "*", "÷": "/", "**": "^"}
_JOINING = frozenset({"of", "and", "or", "to", "per", "by", "in", "is", "with", "from", "if", "then", "plus", "minus"})


def first_wrong(text: str) -> tuple[int, str] | None:
    """Line (from 1) and words of the first equation that does not hold."""
    checked = 0
    for at, line in enumerate(text.split("\n", MAX_LINES)[:MAX_LINES], 1):
        if checked < MAX_EQUATIONS and len(line) <= MAX_LINE and "=" in line.replace("≈", "="):
            checked += 1
            wrong = wrong_equation(line)
            if wrong:
                return at, wrong
    return None


def wrong_equation(line: str) -> str | None:
    """What is wrong with the arithmetic of one line; None where nothing is, or nothing can be said."""
    line = line.replace("−", "-").replace("\u00a0", " ")
    for clause in _clauses(line):
        sides = _EQUALS.split(clause)
        marks = _EQUALS.findall(clause)
        read = [_scan(side.strip(), last=at == len(sides) - 1) for at, side in enumerate(sides)]
        for (left, right), mark, pair in zip(pairwise(read), marks, pairwise(sides), strict=True):
            if left and right:
                value = _off(left, right, mark)
                if value is not None:
                    return f"{pair[0].strip()} {mark} {pair[1].strip()}"[:160] + f": it is {_shown(value)}"
    return None


def holds(text: str) -> bool:
    """Whether a line has an equation that can be computed (where `first_wrong` finds none wrong: that holds)."""
    lines = [line for line in text.split("\n", MAX_LINES)[:MAX_LINES] if len(line) <= MAX_LINE]
    return any(
        is_arithmetic(left) and is_arithmetic(right)
        for line in lines[:MAX_EQUATIONS]
        for clause in _clauses(line.replace("−", "-").replace("\u00a0", " "))
        for left, right in pairwise(_EQUALS.split(clause))
    )


def is_arithmetic(side: str) -> bool:
    """Can one side of an equation be computed?"""
    scanned = _scan(side.strip(), last=False)
    return scanned is not None and next(_readings(scanned), None) is not None


def _clauses(line: str) -> list[str]:
    """A line cut at the signs between statements, never inside parentheses."""
    parts, start, depth = [], 0, 0
    for match in _CLAUSES.finditer(line):
        if match[0] in "()":
            depth = max(0, depth + (1 if match[0] == "(" else -1))
        elif depth == 0:
            parts.append(line[start : match.start()])
            start = match.end()
    return [part for part in [*parts, line[start:]] if _EQUALS.search(part)]


Scales = dict[str, Fraction]
"""Dimension → factor of a unit; `m` is a minute, a metre and a millicore."""
Side = tuple[list[tuple[str, str]], int, list[Scales]]
"""Tokens without units, decimals of the last number, what the unit of each number can be."""


def _readings(side: Side) -> Iterator[tuple[Fraction, Fraction]]:
    """Values that a side can mean, each with half its last digit: percent signs as hundredths or not, units of one dimension not applied or applied."""
    tokens, digits, scales = side
    has_percent = any(kind == "percent" for kind, _ in tokens)
    named = [scale for scale in scales if scale]
    shared = [of for of in (named[0] if named else {}) if all(of in scale for scale in named)]
    for of in (None, *shared):
        factors = [scale.get(of, Fraction(1)) if of else Fraction(1) for scale in scales]
        for percent in ("/100", "") if has_percent else ("",):
            if len(tokens) == 1:
                value = Fraction(tokens[0][1]) * factors[0]
            else:
                try:
                    value = number(compute(parse_once(_written(tokens, factors, percent)), {}))
                except ExpressionError:
                    return
            half = Fraction(1, 2 * 10**digits) * factors[0] / (100 if percent else 1)
            slack = half if len(scales) == 1 else abs(value) / 200
            yield value, slack if digits else min(slack, abs(value) * MOST_WHOLE)


def _written(tokens: list[tuple[str, str]], factors: list[Fraction], percent: str) -> str:
    """The expression of some tokens, each number times the factor of its unit."""
    shown: list[str] = []
    left = iter(factors)
    for kind, word in tokens:
        if kind == "number":
            factor = next(left)
            shown.append(f"({word}*{factor})" if factor != 1 else word)
        elif kind == "percent":
            shown[-1:] = [f"({shown[-1]}{percent})" if shown and shown[-1] != ")" else f"){percent}"]
        else:
            shown.append(word)
    return " ".join(shown)


def _scan(text: str, last: bool) -> Side | None:
    """Tokens of a side without its units, decimals of its last number, and the factor of each number's unit."""
    tokens: list[tuple[str, str]] = []
    scales: list[Scales] = []
    position, digits = 0, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return (tokens, digits, scales) if last and _complete(tokens) else None
        kind, word = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "word":
            after = text[match.end() : match.end() + 2].lstrip()
            if word in FUNCTIONS and after.startswith("("):
                tokens.append(("function", word))
            elif word == "x" and tokens and tokens[-1][0] == "number" and after[:1].isdigit():
                tokens.append(("operator", "*"))
            elif tokens:
                return (tokens, digits, scales) if last and _complete(tokens) else None
            elif after[:1] and after[:1] in "*/^+-×·÷(":
                return None  # a name in a formula
            position = match.end()
            continue
        position = match.end()
        if kind == "number":
            word = word.replace(",", "")
            digits = len(word.partition(".")[2])
            scale, position = _past_unit(text, position)
            scales.append(scale)
        if kind != "money":
            tokens.append((kind, _OPERATORS.get(word, word)))
    return (tokens, digits, scales) if _complete(tokens) else None


def _complete(tokens: list[tuple[str, str]]) -> bool:
    return (
        bool(tokens)
        and tokens[-1][1] not in ("+", "-", "*", "/", "^", "(", ",")
        and any(kind == "number" for kind, _ in tokens)
    )


def _past_unit(text: str, position: int) -> tuple[Scales, int]:
    """What the unit behind a number can be, and where it ends; a noun is no unit."""
    if per := _PER.match(text, position):
        return {}, per.end()
    match = _UNIT.match(text, position)
    if match is None:
        return {}, position
    words = match[1]
    for end in [end for end in range(len(words), 0, -1) if end == len(words) or not words[end].isalnum()]:
        scales = _scales(words[:end])
        if scales:
            return scales, match.start(1) + end
    noun = re.match("[A-Za-z]+", words)
    if noun is None or noun[0] in _JOINING or noun[0] in FUNCTIONS or noun[0] == "x" or noun.end() < len(words):
        return {}, position
    return {}, match.start(1) + noun.end()


@lru_cache(maxsize=2048)
def _scales(unit: str) -> Scales:
    return {of: found for of in units.table() if (found := units.factor(unit, of)) is not None}


def _off(left: Side, right: Side, mark: str) -> Fraction | None:
    """The value of the left side, where it is not that of the right one in any reading."""
    slack = 5 if mark == "≈" else 1
    first = None
    for value, _ in _readings(left):
        first = value if first is None else first
        if any(abs(value - other) <= half * slack for other, half in _readings(right)):
            return None
    return first if first is not None and next(_readings(right), None) else None


def _shown(value: Fraction) -> str:
    from domains.devops.values import Rejected, show

    try:
        return show(value)[:40]
    except Rejected:
        return show(value, 4)[:40]
