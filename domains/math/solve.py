"""SymPy's own worked answer to a question in words: the fallback behind the model, and what `ask` and the demo check against.

The question is read with the bounded parser of `expressions`; SymPy solves in the sandbox. Every word and every sign of the question must be
understood: what is left when the mathematics is taken out may hold no digit or operator, no word that is not in VOCABULARY and no
variable but the unknowns. Otherwise the result is None: no answer is better than another question's answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from domains.base import Solution
from domains.math.answers import read_answer
from domains.math.check import LIMITS
from domains.math.expressions import MAX_TEXT, TooLarge, Tree, Unparsable, parse, to_fraction, variables
from truemark import sandbox

_MATH = r"[-+*/^().\d\s]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])|(?<=\d)[a-zA-Z](?![a-zA-Z])"
_EXPRESSION = re.compile(rf"(?:{_MATH})+", re.ASCII)
_EQUATION = re.compile(rf"((?:{_MATH})+)=((?:{_MATH})+)", re.ASCII)
_DERIVATIVE = re.compile(r"\b(?:differentiate|derivative)\b|\bd[a-z]?/d[a-z]\b|f'\(", re.I)
_INTEGRAL = re.compile(r"\b(?:integrate|integral|antiderivative)\b|∫", re.I)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent)\s+of\s+(\d+(?:\.\d+)?)(?![\d/])", re.I | re.ASCII)
_FUNCTION = re.compile(r"\b(?:[fgh]'?\s*\(\s*[a-z]\s*\)\s*=?|y\s*=)")
_BY = re.compile(r"\bwith respect to ([a-z])\b|\bd[a-z]?/d([a-z])\b|(?<=[\s)\d])d([a-z])(?=[\s.?]*$)")
VOCABULARY = {
    "any": """a an and answer as by calculate can compute could determine do does every evaluate exact find following for from give get given
        have help how i if in is it its let like me much my need number of out please result show solve step steps such take tell that the
        these this to us value values what when where which with work would you""",
    "equations": """all are be both equal equation equations factor factoring hold holds linear makes pair quadratic real root roots
        satisfies satisfy simultaneous solution solutions system together true unknown unknowns variable variables""",
    "derivative": "derivative did differentiate expression function polynomial respect",
    "integral": "antiderivative expression function indefinite integral integrate polynomial respect",
    "percent": "be equal equals percent percentage",
    "arithmetic": "add are equal equals expression fraction fractions minus plus simplest form simplify sum times total up",
}
"""Words that leave the meaning of the mathematics beside them as it is. `second`, `largest`, `negative` or `half` do not."""


def solve(question: str) -> Solution | None:
    """A worked answer to equations, systems, derivatives, integrals, percentages and arithmetic; None for anything else."""
    text = question.strip()
    if not text or len(text) > MAX_TEXT or "''" in text:
        return None
    text = re.sub(r"\\[()\[\]]|\$", " ", text.replace("−", "-").replace("²", "^2").replace("³", "^3"))
    try:
        if _DERIVATIVE.search(text):
            return _calculus(text, "derivative")
        if _INTEGRAL.search(text):
            return _calculus(text.replace("∫", " "), "integral")
        if percent := _PERCENT.search(text):
            return _percent(percent)
        return _solve_equations(text) if "=" in text.rstrip("=? ") else _arithmetic(text)
    except (Unparsable, TooLarge, ZeroDivisionError, RecursionError, sandbox.SandboxFailed):
        return None


def answer(question: str) -> str:
    """The worked answer as a model would write it, empty where there is none: the `rule:sympy` baseline."""
    solution = solve(question)
    return solution.text if solution else ""


def _calculus(text: str, what: str) -> Solution | None:
    by = {name for match in _BY.finditer(text) for name in match.groups() if name}
    tree, rest = _longest_expression(_BY.sub(" ", _FUNCTION.sub(" ", text)))
    if len(by) > 1 or not _understood(rest, what, variables(tree)):
        return None
    solved = sandbox.call("domains.math.solvers:calculus", what, tree, next(iter(by), None), limits=LIMITS)
    return _solution(solved)


def _solve_equations(text: str) -> Solution | None:
    sides: list[tuple[Tree, Tree]] = []
    rest = ""
    end = 0
    for match in _EQUATION.finditer(text):
        left, before = _end(match[1])
        right, after = _beginning(match[2])
        sides.append((left, right))
        rest += f"{text[end : match.start()]} {before} {after} "
        end = match.end()
    unknowns = set().union(*(variables(side) for pair in sides for side in pair))
    if not sides or not _understood(rest + text[end:], "equations", unknowns):
        return None
    return _solution(sandbox.call("domains.math.solvers:equations", sides, limits=LIMITS))


def _percent(match: re.Match[str]) -> Solution | None:
    rest = f"{match.string[: match.start()]} {match.string[match.end() :]}"
    if not _understood(_without_question(rest), "percent", set()):
        return None
    percent, whole = match.groups()
    value = str(Fraction(percent) * Fraction(whole) / 100)
    return Solution(f"{percent}% of {whole} = {percent} / 100 * {whole} = {value}\nAnswer: {value}", value)


def _arithmetic(text: str) -> Solution | None:
    plain = text
    if re.search(r"\b(?:add|sum|plus|total)\b", text, re.I):
        plain = re.sub(r"(?<=\d)\s+(?:and|plus)\s+(?=\d)", " + ", plain)
    plain = re.sub(r"(?<=\d)\s+minus\s+(?=\d)", " - ", re.sub(r"(?<=\d)\s+times\s+(?=\d)", " * ", plain))
    tree, rest = _longest_expression(plain)
    if variables(tree) or tree[0] == "n" or not _understood(_without_question(rest), "arithmetic", set()):
        return None
    value = to_fraction(tree)
    if value is None:
        return None
    written = next(match[0].strip(" .") for match in _EXPRESSION.finditer(plain) if re.search(r"\d", match[0]))
    return Solution(f"{written} = {value}\nAnswer: {value}", str(value))


def _longest_expression(text: str) -> tuple[Tree, str]:
    """The longest stretch of the question that reads as mathematics, and the question without it. Raises Unparsable."""
    longest = max(_EXPRESSION.finditer(text), key=lambda match: len(match[0].strip(" .")), default=None)
    if longest is None:
        raise Unparsable("no expression in the question")
    tree, before = _end(longest[0])
    return tree, f"{text[: longest.start()]} {before} {text[longest.end() :]}"


def _end(text: str) -> tuple[Tree, str]:
    """The longest end of a stretch that is an expression, and what stands before it: `is a 3x + 1` → `3x + 1`, `is a`."""
    words = text.strip().rstrip(" .").split()
    for start in range(len(words)):
        if (tree := _try(" ".join(words[start:]))) is not None:
            return tree, " ".join(words[:start])
    raise Unparsable("no expression")


def _beginning(text: str) -> tuple[Tree, str]:
    """The longest beginning of a stretch that is an expression, and what stands behind it."""
    words = text.split()
    for end in range(len(words), 0, -1):
        if (tree := _try(" ".join(words[:end]).rstrip("."))) is not None:
            return tree, " ".join(words[end:])
    raise Unparsable("no expression")


def _try(text: str) -> Tree | None:
    try:
        return parse(text)
    except Unparsable:
        return None


def _without_question(rest: str) -> str:
    """`1/2 + 1/3 = ?` asks for nothing but the value."""
    return re.sub(r"=(?=[\s?.]*$)", " ", rest)


def _understood(rest: str, kind: str, unknowns: set[str]) -> bool:
    """Whether what is left of a question says nothing beyond the mathematics taken out of it."""
    if re.search(r"[^\sA-Za-z.,;:?!'’()]", rest):
        return False
    words = re.findall(r"[A-Za-z]+", re.sub(r"['’][a-z]\b", " ", rest))
    named = {word for word in words if len(word) == 1 and (word in unknowns or word not in "aAI")}
    known = {*VOCABULARY["any"].split(), *VOCABULARY[kind].split()}
    return {word.lower() for word in words if len(word) > 1} <= known and (not named or named == unknowns)


def _solution(solved: dict[str, str] | None) -> Solution | None:
    """Raises Unparsable for an answer that the check could not read, e.g. roots without a closed form."""
    if solved is None:
        return None
    read_answer(solved["reference"])
    return Solution(solved["text"], solved["reference"])
