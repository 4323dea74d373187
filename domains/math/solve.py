"""SymPy's own worked answer to a question in words: the fallback behind the model, and what `ask` and the demo check against.

The question is read with the bounded parser of `expressions`; SymPy solves in the sandbox. A question that cannot be read with
certainty gives None: no answer is better than another question's answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from domains.base import Solution
from domains.math.check import LIMITS
from domains.math.expressions import MAX_TEXT, TooLarge, Tree, Unparsable, parse, to_fraction
from truemark import sandbox

_MATH = r"[-+*/^().\d\s]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])|(?<=\d)[a-zA-Z](?![a-zA-Z])"
_EXPRESSION = re.compile(rf"(?:{_MATH})+")
_EQUATION = re.compile(rf"((?:{_MATH})+)=((?:{_MATH})+)")
_DERIVATIVE = re.compile(r"(?i)\b(?:differentiate|derivative|d/d[a-z])\b|f'\(")
_INTEGRAL = re.compile(r"(?i)\b(?:integrate|integral|antiderivative)\b")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent)\s+of\s+(\d+(?:\.\d+)?)(?![\d/])", re.I)
_FUNCTION = re.compile(r"[fgh]'?\s*\(\s*[a-z]\s*\)\s*=?")


def solve(question: str) -> Solution | None:
    """A worked answer to equations, systems, derivatives, integrals, percentages and arithmetic; None for anything else."""
    text = question.strip().replace("−", "-").replace("²", "^2").replace("³", "^3")
    if not text or len(text) > MAX_TEXT:
        return None
    try:
        if _DERIVATIVE.search(text):
            return _calculus(text, "derivative")
        if _INTEGRAL.search(text):
            return _calculus(text, "integral")
        if percent := _PERCENT.search(text):
            return _percent(percent[1], percent[2])
        equations = _equations(text)
        return _solve_equations(equations) if equations else _arithmetic(text)
    except (Unparsable, TooLarge, ZeroDivisionError, RecursionError, sandbox.SandboxFailed):
        return None


def _equations(text: str) -> list[tuple[Tree, Tree]]:
    found = []
    for match in _EQUATION.finditer(text):
        # prose leaves a stray article or pronoun at the edges: "is a 3x + 1 = 7" → the longest tail that reads as one side
        left, right = _tail(match[1]), _head(match[2])
        if left is None or right is None:
            return []
        found.append((left, right))
    return found


def _tail(text: str) -> Tree | None:
    words = text.strip(" .,;:").split()
    return next((tree for start in range(len(words)) if (tree := _try(" ".join(words[start:]))) is not None), None)


def _head(text: str) -> Tree | None:
    words = text.strip(" .,;:").split()
    return next(
        (tree for end in range(len(words), 0, -1) if (tree := _try(" ".join(words[:end]).rstrip("."))) is not None),
        None,
    )


def _try(text: str) -> Tree | None:
    try:
        return parse(text)
    except Unparsable:
        return None


def _longest_expression(text: str) -> Tree:
    """The longest stretch of the question that reads as mathematics. Raises Unparsable."""
    candidates = sorted((match[0].strip(" .,;:") for match in _EXPRESSION.finditer(text)), key=len, reverse=True)
    for candidate in candidates:
        if any(character.isdigit() or character in "+-*/^" for character in candidate) or len(candidate) == 1:
            tree = _tail(candidate)
            if tree is not None:
                return tree
    raise Unparsable("no expression in the question")


def _calculus(text: str, what: str) -> Solution | None:
    named = re.search(r"with respect to ([a-z])\b|\bd/d([a-z])\b|(?<=[\s)])d([a-z])[\s.?]*$", text)
    plain = re.sub(r"\bd/d[a-z]\b|\bwith respect to [a-z]\b|(?<=[\s)])d[a-z][\s.?]*$", " ", _FUNCTION.sub(" ", text))
    tree = _longest_expression(plain)
    variable = next((name for name in named.groups() if name), None) if named else None
    answer: dict[str, str] | None = sandbox.call("domains.math.solvers:calculus", what, tree, variable, limits=LIMITS)
    return _solution(answer)


def _solve_equations(equations: list[tuple[Tree, Tree]]) -> Solution | None:
    answer: dict[str, str] | None = sandbox.call("domains.math.solvers:equations", equations, limits=LIMITS)
    return _solution(answer)


def _percent(percent: str, whole: str) -> Solution:
    value = Fraction(percent) * Fraction(whole) / 100
    text = _number(value)
    return Solution(f"{percent}% of {whole} = {percent} / 100 * {whole} = {text}\nAnswer: {text}", text)


def _arithmetic(text: str) -> Solution | None:
    plain = (
        re.sub(r"(?<=\d)\s+(?:and|plus)\s+(?=\d)", " + ", text)
        if re.search(r"(?i)\b(?:add|sum|plus|total)\b", text)
        else text
    )
    plain = re.sub(r"(?<=\d)\s+minus\s+(?=\d)", " - ", re.sub(r"(?<=\d)\s+times\s+(?=\d)", " * ", plain))
    if len(re.findall(r"[a-zA-Z]{2,}", plain)) > 8 or not re.search(r"\d\s*[-+*/^]\s*[\d(]", plain):
        return None  # a word problem: its numbers are not its question
    if len(re.findall(r"(?<![\d/])\d+(?:/\d+)?(?:\s*[-+*^]\s*[\d/]+)*", plain)) != 1:
        return None
    value = to_fraction(_longest_expression(plain))
    if value is None:
        return None
    result = _number(value)
    return Solution(f"{_longest_text(plain)} = {result}\nAnswer: {result}", result)


def _longest_text(text: str) -> str:
    return max((match[0].strip(" .,;:=") for match in _EXPRESSION.finditer(text)), key=len)


def _number(value: Fraction) -> str:
    return str(value)


def _solution(answer: dict[str, str] | None) -> Solution | None:
    return Solution(answer["text"], answer["reference"]) if answer else None


def answer(question: str) -> str:
    """The worked answer as a model would write it, empty where there is none: the `rule:sympy` baseline."""
    solution = solve(question)
    return solution.text if solution else ""
