"""What a question asks, where it is put in mathematics: the task, or None where a word or a sign of it is not understood.

Every word and every sign of the question must be understood: what is left when the mathematics is taken out may hold no digit or
operator, no word that is not in VOCABULARY and no variable but the unknowns. So no other question than the one asked is answered, and
none is taken for the beginning of a derivation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from domains.math.expressions import MAX_TEXT, TooLarge, Tree, Unparsable, parse, to_fraction, variables
from domains.math.grids import Grid, read_grid
from domains.math.regions import SIGN, sign_of

_CALLED = r"(?:sqrt|sin|cos|tan|exp|ln|log)(?=\s*\()"
_MATH = rf"[-+*/^().\d\s]|(?<![a-zA-Z]){_CALLED}|(?<=[\d ]){_CALLED}|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])|(?<=\d)[a-zA-Z](?![a-zA-Z])"
_EXPRESSION = re.compile(rf"(?:{_MATH})+", re.ASCII)
_EQUATION = re.compile(rf"((?:{_MATH})+)=((?:{_MATH})+)", re.ASCII)
_COMPARED = re.compile(rf"((?:{_MATH})+)({SIGN.pattern})((?:{_MATH})+)", re.ASCII)
_DERIVATIVE = re.compile(r"\b(?:differentiate|derivative|slope)\b|\bd[a-z]?/d[a-z]\b|[fgh]'\(", re.I)
_INTEGRAL = re.compile(r"\b(?:integrate|integral|antiderivative)\b|∫", re.I)
_LIMIT = re.compile(r"\blim(?:it)?\b", re.I)
_FORM = re.compile(r"\b(?:simplify|simplest|expand|reduce|factors?|factored|factori[sz]e|factori[sz]ation)\b", re.I)
_FUNCTION = re.compile(r"\b(?:[fgh]'?\s*\(\s*[a-z]\s*\)\s*=?|y\s*=)")
_BY = re.compile(r"\bwith respect to ([a-z])\b|\bd[a-z]?/d([a-z])\b|(?<=[\s)\d])d([a-z])(?=[\s.?]*$)")
_AT = re.compile(
    r"(?:\bat (?:the point )?(?P<v>[a-z])\s*=\s*(?P<x>-?\d+(?:/\d+)?)|\b[fgh]'\(\s*(?P<y>-?\d+(?:/\d+)?)\s*\))(?![\d.]*\d|/)"
)
MAX_WORDS = 24
"""Of a stretch, at which its expression may begin."""
_N = r"(-?\d+(?:\.\d+)?(?:/\d+)?)"
_FROM_TO = (
    re.compile(rf"\bfrom (?:([a-z])\s*=\s*)?{_N} to (?:\1\s*=\s*)?{_N}(?![\d/])"),
    re.compile(rf"\bbetween (?:([a-z])\s*=\s*)?{_N} and (?:\1\s*=\s*)?{_N}(?![\d/])"),
    re.compile(rf"\b(?:over|on) (?:the interval )?()\[\s*{_N}\s*,\s*{_N}\s*\]"),
)
_TOWARDS = re.compile(
    rf"\b(?:as|when|for|lim)\s+([a-z])\s*(?:approaches|goes to|tends to|->|→|to)\s*(?:{_N}(?![\d/])|(infinity|∞|oo)(?![a-z]))",
    re.I,
)
VOCABULARY = {
    "any": """a an and answer as by calculate can compute could determine do does every evaluate exact find following for from give get given
        have help how i if in is it its let like me much my need number of out please result show solve step steps such take tell that the
        these this to us value values what when where which with work would you""",
    "equations": """all are be both equal equation equations factor factoring hold holds linear makes pair quadratic real root roots
        satisfies satisfy simultaneous solution solutions system together true unknown unknowns variable variables""",
    "inequality": "all are hold holds inequality real satisfies satisfy set solution solutions true",
    "derivative": "at derivative did differentiate expression function point polynomial respect slope",
    "integral": "antiderivative area between definite expression function indefinite integral integrate over interval polynomial respect",
    "limit": "at expression function limit",
    "form": """completely expand expression factor factored factorisation factorise factorization factorize factors form fully into lowest
        polynomial product rational reduce simplest simplify terms write""",
    "percent": "be equal equals percent percentage",
    "arithmetic": "add are be equal equals expression fraction fractions lowest minus plus reduce simplest simplify single sum terms form times total up",
    "matrix": "det determinant inverse invert matrices matrix multiply product times",
}  # fmt: skip
"""Words that leave the meaning of the mathematics beside them as it is. `second`, `largest`, `negative` or `half` do not."""


@dataclass(frozen=True)
class Task:
    """A question that was understood."""

    what: str
    """`equations`, `inequality`, `derivative`, `integral`, `limit`, `simplify`, `factor`, `arithmetic`, `product`, `determinant`, `inverse`."""
    pairs: tuple[tuple[Tree, Tree], ...] = ()
    """The sides of equations."""
    tree: Tree = None
    """The function or expression."""
    variable: str | None = None
    sign: str = ""
    at: tuple[str | None, ...] = ()
    """The point, or the two ends, as written; None is infinity."""
    grids: tuple[Grid, ...] = ()
    written: str = ""
    """The mathematics as the question has it."""


def read(question: str) -> Task | None:
    """The task, or None."""
    text = question.strip()
    if not text or len(text) > MAX_TEXT or "''" in text:
        return None
    text = re.sub(r"\\[()\[\]]|\$", " ", text.replace("−", "-").replace("²", "^2").replace("³", "^3"))
    try:
        return _read(text)
    except (Unparsable, TooLarge, ZeroDivisionError, RecursionError):
        return None


def _read(text: str) -> Task | None:
    if "[[" in text:
        return _matrices(text)
    if _LIMIT.search(text):
        return _limit(text)
    if _DERIVATIVE.search(text):
        return _derivative(text)
    if _INTEGRAL.search(text):
        return _integral(text.replace("∫", " "))
    if SIGN.search(text):
        return _inequality(text.removesuffix("->")) if "->" not in text else None
    if "=" in text.rstrip("=? "):
        return _equations(text)
    return _form(text) if _FORM.search(text) and re.search(r"(?<![a-zA-Z])[a-z](?![a-zA-Z'’])", _EXPRESSION_OF(text)) else _arithmetic(text)  # fmt: skip


def _EXPRESSION_OF(text: str) -> str:
    """The longest stretch of mathematics."""
    return max((match[0].strip(" .") for match in _EXPRESSION.finditer(text)), key=len, default="")


def _by(text: str) -> set[str]:
    return {name for match in _BY.finditer(text) for name in match.groups() if name}


def _calculus(text: str, what: str, named: set[str]) -> tuple[Tree, str | None, str] | None:
    by = _by(text) | named
    tree, rest = longest_expression(_BY.sub(" ", _FUNCTION.sub(" ", text)))
    if len(by) > 1 or not understood(rest, what, variables(tree) | by):
        return None
    return tree, next(iter(by), None), ""


def _derivative(text: str) -> Task | None:
    at = _AT.search(text)
    if "slope" in text.lower() and not at:
        return None
    if at:
        text = f"{text[: at.start()]} {text[at.end() :]}"
    found = _calculus(text, "derivative", {at["v"]} if at and at["v"] else set())
    if found is None:
        return None
    return Task("derivative", tree=found[0], variable=found[1], at=(at["x"] or at["y"],) if at else ())


def _integral(text: str) -> Task | None:
    for pattern in _FROM_TO:
        if ends := pattern.search(text):
            text = f"{text[: ends.start()]} {text[ends.end() :]}"
            break
    found = _calculus(text, "integral", {ends[1]} if ends and ends[1] else set())
    if found is None:
        return None
    return Task("integral", tree=found[0], variable=found[1], at=(ends[2], ends[3]) if ends else ())


def _limit(text: str) -> Task | None:
    towards = _TOWARDS.search(text)
    if towards is None:
        return None
    rest = f"{text[: towards.start()]} {text[towards.end() :]}"
    tree, rest = longest_expression(_FUNCTION.sub(" ", re.sub(r"\blim\b", " ", rest)))
    if not understood(rest.replace(",", " "), "limit", {towards[1]}):
        return None
    return Task("limit", tree=tree, variable=towards[1], at=(towards[2],))


def _inequality(text: str) -> Task | None:
    match = _COMPARED.search(text)
    if match is None or len(SIGN.findall(text)) != 1 or "=" in re.sub(SIGN.pattern, "", text):
        return None
    left, before = end(match[1])
    right, after = beginning(match[3])
    names = variables(left) | variables(right)
    if len(names) != 1 or sign_of(match[2]) == "!=":
        return None
    if not understood(f"{text[: match.start()]} {before} {after} {text[match.end() :]}", "inequality", names):
        return None
    return Task("inequality", pairs=((left, right),), variable=names.pop(), sign=sign_of(match[2]))


def _equations(text: str) -> Task | None:
    sides: list[tuple[Tree, Tree]] = []
    rest = ""
    position = 0
    for match in _EQUATION.finditer(text):
        left, before = end(match[1])
        right, after = beginning(match[2])
        sides.append((left, right))
        rest += f"{text[position : match.start()]} {before} {after} "
        position = match.end()
    unknowns = set().union(*(variables(side) for pair in sides for side in pair))
    if not sides or not understood(rest + text[position:], "equations", unknowns):
        return None
    return Task("equations", pairs=tuple(sides))


def _form(text: str) -> Task | None:
    tree, rest = longest_expression(text)
    if not variables(tree) or not understood(rest, "form", set()):
        return None
    return Task("factor" if re.search(r"\bfactor", text, re.I) else "simplify", tree=tree, written=_EXPRESSION_OF(text))


def _arithmetic(text: str) -> Task | None:
    plain = text
    if re.search(r"\b(?:add|sum|plus|total)\b", text, re.I):
        plain = re.sub(r"(?<=\d)\s+(?:and|plus)\s+(?=\d)", " + ", plain)
    plain = re.sub(r"(?<=\d)\s+minus\s+(?=\d)", " - ", re.sub(r"(?<=\d)\s+times\s+(?=\d)", " * ", plain))
    tree, rest = longest_expression(plain)
    if variables(tree) or tree[0] == "n" or not understood(without_question(rest), "arithmetic", set()):
        return None
    if to_fraction(tree) is None:
        return None
    written = next(match[0].strip(" .") for match in _EXPRESSION.finditer(plain) if re.search(r"\d", match[0]))
    return Task("arithmetic", tree=tree, written=written)


_GRID = re.compile(r"\[\s*(?:\[[^\[\]]*\][\s,]*)+\]")


def _matrices(text: str) -> Task | None:
    grids = tuple(read_grid(match[0]) for match in _GRID.finditer(text))
    rest = re.sub(r"(?<![a-zA-Z])[A-Z]\s*(?==)|(?<=\*)\s*|\*(?=\s*$)", " ", _GRID.sub(" ", text)).replace("=", " ")
    if re.search(r"\bA\s*\^\s*\(?-1\)?|\binver(?:se|t)\b", rest, re.I) and len(grids) == 1:
        what, rest = "inverse", re.sub(r"\bA?\s*\^\s*\(?-1\)?", " ", rest)
    elif re.search(r"\bdet(?:erminant)?\b", rest, re.I) and len(grids) == 1:
        what = "determinant"
    elif re.search(r"\bproduct\b|\bmultiply\b|\btimes\b|\bAB\b|\*", rest, re.I) and len(grids) == 2:
        what, rest = "product", re.sub(r"\bAB\b|\*", " ", rest)
    else:
        return None
    rest = re.sub(r"(?<![a-zA-Z])[AB](?![a-zA-Z])", " ", rest)
    return Task(what, grids=grids) if understood(rest, "matrix", set()) else None


def longest_expression(text: str) -> tuple[Tree, str]:
    """The longest stretch of the question that reads as mathematics, and the question without it. Raises Unparsable."""
    longest = max(_EXPRESSION.finditer(text), key=lambda match: len(match[0].strip(" .")), default=None)
    if longest is None:
        raise Unparsable("no expression in the question")
    tree, before = end(longest[0])
    return tree, f"{text[: longest.start()]} {before} {text[longest.end() :]}"


def expressions(text: str) -> Iterator[tuple[int, str, Tree]]:
    """Every stretch of a text that reads as mathematics: where it begins, as it is written, its tree. A stretch that is too large is passed over."""
    for match in _EXPRESSION.finditer(text):
        if len(match[0]) > MAX_TEXT:
            continue
        words = list(re.finditer(r"\S+", match[0]))
        for start, word in enumerate(words[:MAX_WORDS]):
            written = match[0][word.start() : words[-1].end()].rstrip(" .")
            try:
                tree = attempt(written)
            except (TooLarge, RecursionError):
                break
            if tree is not None:
                yield match.start() + words[start].start(), written, tree
                break


def end(text: str) -> tuple[Tree, str]:
    """The longest end of a stretch that is an expression, and what stands before it: `is a 3x + 1` → `3x + 1`, `is a`."""
    words = text.strip().rstrip(" .").split()
    for start in range(len(words)):
        if (tree := attempt(" ".join(words[start:]))) is not None:
            return tree, " ".join(words[:start])
    raise Unparsable("no expression")


def beginning(text: str) -> tuple[Tree, str]:
    """The longest beginning of a stretch that is an expression, and what stands behind it."""
    words = text.split()
    for stop in range(len(words), 0, -1):
        if (tree := attempt(" ".join(words[:stop]).rstrip("."))) is not None:
            return tree, " ".join(words[stop:])
    raise Unparsable("no expression")


def attempt(text: str) -> Tree | None:
    """The tree, or None for what is no expression. Raises TooLarge."""
    try:
        return parse(text)
    except Unparsable:
        return None


def without_question(rest: str) -> str:
    """`1/2 + 1/3 = ?` asks for nothing but the value."""
    return re.sub(r"=(?=[\s?.]*$)", " ", rest)


def understood(rest: str, kind: str, unknowns: set[str]) -> bool:
    """Whether what is left of a question says nothing beyond the mathematics taken out of it."""
    if re.search(r"[^\sA-Za-z.,;:?!'’()]", rest):
        return False
    words = re.findall(r"[A-Za-z]+", re.sub(r"['’][a-z]\b", " ", rest))
    named = {word for word in words if len(word) == 1 and (word in unknowns or word not in "aAI")}
    known = {*VOCABULARY["any"].split(), *VOCABULARY[kind].split()}
    return {word.lower() for word in words if len(word) > 1} <= known and (not named or named == unknowns)
