"""From a line of a solution to what it claims: chains of equal numbers or expressions, equations, inequalities, derivatives.

A line is cut into clauses; a clause that reads as mathematics as a whole is a chain, of any other the computations in it are taken
(`Natalia sold 48/2 = 24 clips` claims 48/2 = 24). What cannot be read is no claim.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

from domains.math.calculus import derivative, put_in
from domains.math.expressions import CONSTANTS, TooLarge, Tree, Unparsable, degree, terms, to_fraction, variables
from domains.math.expressions import parse as parse_any
from domains.math.regions import SIGN, sign_of

MAX_LINE = 600
"""Characters; a longer line is not read."""
MAX_CLAUSES = 24
MAX_DEGREE = 20
MAX_TERMS = 60
"""Of a polynomial in a step."""
_ANNOTATION = re.compile(r"<<([^<>]{1,200})>>")
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\(?\d{1,2}[.)]\s+|#+\s+|>\s+|(?:step|case)\s+\d{1,2}\s*[:.)]\s*)+", re.I)
_CLAUSE = re.compile(
    r",\s+|;\s*|\.\s+(?=[A-Z(\-\d])|\.\s*$|:\s+|\s(?:and|so|then|thus|hence|therefore|which gives|giving)\s(?:that\s)?",
    re.I,
)
_OR = re.compile(r"\s(?:or)\s", re.I)
_LEAD = re.compile(r"^(?:so|then|thus|hence|therefore|and|we get|we have|get|gives?|this gives|now|since|because|let|solve|with|where|if|for|set|divide both sides|that is|i\.e\.|it follows that|roots?|check)\s+(?=[-\d(a-zA-Z\\])", re.I)  # fmt: skip
_BROKEN = re.compile(r"\d\s+and\s+[($]*(?:a\s+)?(?:\d|half|quarter)|[a-z]\s\d{1,3},\s\d{3}(?!\d)|[-+*/]\s?\.\s+\d")
"""Numbers in pieces: `1 and 1/4`, `14, 400`, `. 84`."""
_IMPLIES = re.compile(r"\s*(?:=>|⇒|⟹|\\Rightarrow|\\implies|⇔|\\iff|<=>)\s*")
_ARROW = re.compile(r"\s*(?:->|→)\s*")
_LABEL = re.compile(r"^\s*(?:[A-Za-z]_\{?\w{1,4}\}?|[A-Z]|P\([^()]{0,40}\)|[A-Za-z][a-z]+(?:\s[A-Za-z]+){0,4}|det\s?(?:\(?[A-Z]\)?)?|[A-Z]\^\(?-1\)?)\s*$")  # fmt: skip
_DIFFERENTIAL = re.compile(r"^(?:d[a-z]?/d([a-z])|\\[dt]?frac\{d[a-z]?\}\{d([a-z])\})\s*(.*)$")
_INTEGRAL = re.compile(r"(?:\bint|\\int|∫)(?![a-z_^])\s*(.+?)\s*\\?,?\s*d([a-z])(?![a-z])")
_CALL = re.compile(r"(?<![a-zA-Z])([fghFGH])('?)\(\s*([^()]{1,40})\s*\)")
_PERCENT_OF = re.compile(
    r"(?<![\d.])(\d{1,12}(?:\.\d{1,12})?)\s*(?:%|percent)\s+of\s+\$?(\d{1,12}(?:\.\d{1,12})?)\s*(?:is|=)\s*\$?"
)
INTEGRALS = "JKQW"
"""Letters that stand for integrals while a line is read."""


def parse(text: str) -> Tree:
    """As `expressions.parse`, of what a step can be expected to hold. Raises Unparsable or TooLarge."""
    tree = parse_any(text)
    if degree(tree) > MAX_DEGREE or terms(tree) > MAX_TERMS:
        raise TooLarge(f"a step with a polynomial of degree {degree(tree)}")
    return tree


@dataclass(frozen=True)
class Side:
    """One side of a chain."""

    tree: Tree | None
    """None for a label: it names what the others are."""
    text: str
    percent: Tree | None = None
    """The same with each percent sign as a hundredth, where it has one."""
    unit: str = ""
    defines: tuple[str, str, str] | None = None
    """`F(x)`, `f'(2)`: name, prime, argument."""


@dataclass(frozen=True)
class Clause:
    """One claim: the sides of a chain and the signs between them."""

    sides: tuple[Side, ...]
    signs: tuple[str, ...]
    alternative: bool = False
    """One of several joined by `or`."""
    integrals: dict[str, tuple[Tree, str]] = field(default_factory=dict)
    """What the letters J, K … stand for: integrand and variable."""
    arrow: bool = False
    prose: bool = False
    """Taken out of a sentence: only its numbers are looked at."""


def claims(line: str) -> list[Clause]:
    """What a line claims; never raises."""
    if len(line) > MAX_LINE or not any(
        sign in line for sign in ("=", "<", ">", "≤", "≥", "->", "→", "is", "\\le", "\\ge")
    ):
        return []
    found: list[Clause] = []
    for annotation in _ANNOTATION.findall(line):
        found += _clause(annotation.replace("%", " / 100 ") if "%" in annotation else annotation, prose=True)
    line = _ANNOTATION.sub("", line)
    line = re.sub(
        r"\\boxed\{([^{}]*)\}", r"\1", re.sub(r"\\[()\[\]]|\$(?!\d)|\*\*|\\left|\\right|\\,|\\;|\\quad|[&`]", " ", line)
    )
    line = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", line)
    line = _BULLET.sub("", line.replace("−", "-").replace("–", "-")).strip()
    if _BROKEN.search(line):
        return found
    if re.search(r"\b(?:hundred|thousand|million|billion|remainder)s?\b", line, re.I):
        return found
    if "?" in line or re.search(
        r"(?<![\w≈])(?:approximately|approx|about|roughly|not|isn't|doesn't|wrong|instead of|suppose|assume|unless)(?!\w)|≈|\\approx|\\neq|≠|!=|~",
        line,
        re.I,
    ):
        return found
    pieces = [piece for clause in _IMPLIES.split(line) for piece in _CLAUSE.split(clause) if piece and piece.strip()]
    for piece in pieces[:MAX_CLAUSES]:
        alternatives = _OR.split(piece)
        for alternative in alternatives:
            found += _clause(alternative, alternative=len(alternatives) > 1)
    return found


def _clause(text: str, *, alternative: bool = False, prose: bool = False) -> list[Clause]:
    if percent := _PERCENT_OF.search(text):
        text = text[: percent.start()] + f"{percent[1]} / 100 * {percent[2]} = " + text[percent.end() :]
    if not re.search(r"[=<>≤≥→]|->|\\[lg]e", text):
        return []
    bare = text.strip().rstrip(".")
    while lead := _LEAD.match(bare):
        bare = bare[lead.end() :]
    try:
        whole = None if prose else _whole(bare, alternative)
    except TooLarge:
        return []
    if whole is not None:
        return [whole]
    return _computations(text)


def _whole(text: str, alternative: bool) -> Clause | None:
    """The clause as one chain, or None."""
    if "lim" in text:
        return None
    integrals: dict[str, tuple[Tree, str]] = {}

    def stand_in(match: re.Match[str]) -> str:
        letter = INTEGRALS[len(integrals)] if len(integrals) < len(INTEGRALS) else "?"
        integrals[letter] = parse(match[1]), match[2]
        return f" {letter} "

    try:
        text = _INTEGRAL.sub(stand_in, text)
        arrow = bool(_ARROW.search(text)) and "=" not in _ARROW.split(text)[0]
        pieces = _ARROW.split(text)
        if arrow:
            sides = [side(part) for piece in (pieces[0], pieces[-1]) for part in (piece,)]
            middle = [_clause(piece) for piece in pieces[1:-1]]
            inner = [clause for found in middle for clause in found]
            first = Clause(tuple(sides), ("->",), arrow=True)
            return first if not inner else Clause(tuple(sides), ("->",), arrow=True, integrals={"": (inner[0], "")})
        signs = [sign_of(sign) for sign in re.findall(rf"{SIGN.pattern}|=", text)]
        sides = [side(piece) for piece in re.split(rf"{SIGN.pattern}|=", text)]
    except Unparsable:
        return None
    if not signs or all(one.tree is None for one in sides):
        return None
    return Clause(tuple(sides), tuple(signs), alternative, integrals)


def side(text: str) -> Side:
    """One side. Raises Unparsable or TooLarge."""
    text = text.strip()
    if match := _DIFFERENTIAL.match(text):
        return Side(derivative(parse(match[3]), match[1] or match[2]), text)
    if call := _CALL.fullmatch(text):
        return Side(None, text, defines=(call[1], call[2], call[3]))
    if _CALL.search(text):
        return Side(None, text)
    if _LOOSE.search(text):
        raise Unparsable("a fraction of fractions without brackets, or a time of day")
    plain = re.sub(r"(?<![\w)])[$€£](?=\s?[\d.(])", "", text)
    percent = attempt(_HUNDREDTHS.sub(r"(\1/100)", plain)) if "%" in text else None
    plain = re.sub(r"\s*\\?%", "", plain)
    try:
        return Side(parse(plain), text, percent)
    except Unparsable:
        bare = _UNITS.sub("", plain).strip()
        if bare != plain and bare and re.search(r"\d", bare):
            percent = (
                attempt(_HUNDREDTHS.sub(r"(\1/100)", _UNITS.sub("", text).replace("$", " "))) if "%" in text else None
            )
            return Side(parse(bare), text, percent, plain[len(bare) :].strip(" .").lower())
        if _LABEL.match(text) and not re.search(r"\b(?:of|times|plus|minus|half|twice|double|per)\b", text):
            return Side(None, text)
        raise


_HUNDREDTHS = re.compile(r"(\d{1,20}(?:\.\d{1,20})?|\.\d{1,20})\s*\\?%")
_LOOSE = re.compile(r"/\s*\d{1,20}\s*/|(?<![\d.])0\d")
_UNITS = re.compile(r"(?<=[\d)])\s?(?:[A-Za-z]{2,}(?:[/ ][A-Za-z]+){0,3})\.?\s*$")
_NUMBERS = r"[-+*/^().,\d\s$x×·÷%]"
_OPERATION = re.compile(r"[\d)%]\s*[-+*/^×·÷x]\s*\$?[\d(]")


def _computations(text: str) -> list[Clause]:
    """The computations with numbers in a sentence, `48/2 = 24` in `Natalia sold 48/2 = 24 clips`; none where words take part in them."""
    found: list[Clause] = []
    start = 0
    for equals in re.finditer("=", text):
        if equals.start() < start:
            continue
        chain = _stretch(text, equals.start())
        if chain is None:
            continue
        (low, high) = chain
        start = high
        clause = _numbers(text[low:high])
        if clause is not None and _free(text[:low], text[high:]):
            found.append(clause)
    return found


def _stretch(text: str, equals: int) -> tuple[int, int] | None:
    low, high = equals, equals + 1
    while low > 0 and re.match(_NUMBERS, text[low - 1], re.ASCII):
        low -= 1
    while high < len(text) and (text[high] == "=" or re.match(_NUMBERS, text[high], re.ASCII)):
        high += 1
    return (low, high) if re.search(r"\d", text[low:equals]) and re.search(r"\d", text[equals:high]) else None


def _numbers(text: str) -> Clause | None:
    """A chain of numbers whose first side is computed, or None."""
    text = re.sub(r"(?<=[\d)\s])\s*[x×]\s*(?=[\d($])", " * ", text).replace("$", " ").strip(" ,").rstrip(".")
    if re.match(r"[+*/^]", text):
        return None  # words stand before it
    sides: list[Side] = []
    for piece in text.split("="):
        plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", piece).strip(" ,").rstrip(".")
        if _LOOSE.search(plain):
            return None
        try:
            percent = parse(_HUNDREDTHS.sub(r"(\1/100)", plain)) if "%" in plain else None
            sides.append(Side(parse(plain.replace("%", " ")), piece.strip(), percent))
        except (Unparsable, TooLarge):
            return None
    if len(sides) < 2 or not _OPERATION.search(text.split("=")[0]):
        return None
    return Clause(tuple(sides), ("=",) * (len(sides) - 1), prose=True)


_TAKES_PART = re.compile(
    r"(?:\b(?:of|by|than|plus|minus|times|over|from|to|divided|multiplied|hundred|thousand|million|billion|dozen|half|third|quarter)|[-+*/^(x×÷·=]|\d\s?[A-Za-z%]{1,12}|\d[:.,]|[-+*/(]\s*\.|\b(?:day|week|month|year|number|no\.|grade|level|page|chapter|room|weeks|days|pages)s?)\s*$",
    re.I,
)
_GOES_ON = re.compile(
    r"^\s*(?:[-+*/^)×÷·]|(?:[A-Za-z%]+\s?){0,3}[-+*/^×÷·=]|(?:hundred|thousand|million|billion|dozens?|halves|thirds|quarters|fourths|full|whole|and\s*[($]?\s*\d|k|m|am|pm|more than|times|x|of|plus|minus|divided|multiplied|and a half|half|cents?|%|percent|/)(?![a-z]))",
    re.I,
)


def _free(before: str, after: str) -> bool:
    """Whether the words around a computation leave it as it is."""
    return not _TAKES_PART.search(before[-40:]) and not _GOES_ON.match(after[:60])


def numbers_of(clause: Clause) -> list[Side]:
    """The sides that are plain numbers."""
    return [one for one in clause.sides if one.tree is not None and not variables(one.tree)]


def called(tree: Tree, functions: dict[str, tuple[str, Tree]], text: str) -> Tree | None:
    """`F(2) - F(1)` with the functions that the solution has defined, or None."""
    pieces: list[Tree] = []

    def stand_in(match: re.Match[str]) -> str:
        name, known = match[1], functions.get(match[1] + match[2])
        if known is None or len(pieces) == 4:
            raise Unparsable(f"unknown function {name}")
        pieces.append(put_in(known[1], known[0], parse(match[3])))
        return f" ({INTEGRALS[len(pieces) - 1]}) "

    if not _CALL.search(text):
        return tree
    try:
        found = parse(_CALL.sub(stand_in, text))
    except (Unparsable, TooLarge):
        return None
    for letter, piece in zip(INTEGRALS, pieces, strict=False):
        found = put_in(found, letter, piece)
    return found


def attempt(text: str) -> Tree | None:
    """The tree, or None for what is no expression."""
    try:
        return parse(text)
    except (Unparsable, TooLarge):
        return None


def is_number(tree: Tree) -> bool:
    """Whether a tree has no variable."""
    return not (variables(tree) - CONSTANTS)


def exact(tree: Tree) -> Fraction | None:
    """The exact value of plain numbers, or None."""
    try:
        return to_fraction(tree)
    except (TooLarge, ZeroDivisionError):
        return None
