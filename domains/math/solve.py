"""A worked answer without a model: the `rule:sympy` baseline, the fallback behind the model, and what `ask` and the demo check against.

A question put in mathematics is read by `reading.py` and solved by SymPy in the sandbox; a word problem of the topics' families by `stories.py`.
Where a question is not understood as a whole, the result is None: no answer is better than another question's answer.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from domains.base import Solution
from domains.math import stories
from domains.math.check import LIMITS, read
from domains.math.expressions import MAX_TEXT, TooLarge, Unparsable, to_fraction
from domains.math.reading import Task, understood, without_question
from domains.math.reading import read as read_question
from truemark import sandbox

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent)\s+of\s+(\d+(?:\.\d+)?)(?![\d/])", re.I | re.ASCII)
_SOLVERS = "domains.math.solvers:"


def solve(question: str) -> Solution | None:
    """A worked answer to a question of the domain's families; None for anything else."""
    text = question.strip()
    if not text or len(text) > MAX_TEXT:
        return None
    try:
        if percent := _PERCENT.search(text):
            if (found := _percent(percent)) is not None:
                return found
        elif (task := read_question(text)) is not None:
            return _solution(_solved(task))
        return _story(text)
    except (Unparsable, TooLarge, ArithmeticError, RecursionError, sandbox.SandboxFailed):
        return None


def answer(question: str) -> str:
    """The worked answer as a model would write it, empty where there is none: the `rule:sympy` baseline."""
    solution = solve(question)
    return solution.text if solution else ""


def _solved(task: Task) -> dict[str, str] | None:
    if task.what == "arithmetic":
        value = to_fraction(task.tree)
        return {"text": f"{task.written} = {value}\nAnswer: {value}", "reference": str(value)}
    arguments: tuple[Any, ...] = (task.tree, task.variable, list(task.at))
    if task.what in ("derivative", "integral"):
        target, arguments = "calculus", (task.what, *arguments)
    elif task.what == "equations":
        target, arguments = "equations", (task.pairs,)
    elif task.what == "inequality":
        target, arguments = "inequality", (*task.pairs[0], task.sign, task.variable)
    elif task.what in ("simplify", "factor"):
        target, arguments = task.what, (task.tree, task.written)
    elif task.what == "limit":
        target = "limit"
    else:
        target, arguments = "matrix", (task.what, task.grids)
    solved: dict[str, str] | None = sandbox.call(_SOLVERS + target, *arguments, limits=LIMITS)
    return solved


def _percent(match: re.Match[str]) -> Solution | None:
    rest = f"{match.string[: match.start()]} {match.string[match.end() :]}"
    if not understood(without_question(rest), "percent", set()):
        return None
    percent, whole = match.groups()
    value = str(Fraction(percent) * Fraction(whole) / 100)
    return Solution(f"{percent}% of {whole} = {percent} / 100 * {whole} = {value}\nAnswer: {value}", value)


def _story(text: str) -> Solution | None:
    worked = stories.work(text)
    if worked is None:
        return None
    steps, value = worked
    return Solution("\n".join([*steps, f"Answer: {value}"]), str(value))


def _solution(solved: dict[str, str] | None) -> Solution | None:
    """Raises Unparsable for an answer that the check could not read, e.g. roots without a closed form."""
    if solved is None:
        return None
    read(solved["reference"])
    return Solution(solved["text"], solved["reference"])
