"""A question → the blueprint and pattern it was asked with → its slots → the computed answer. No model, and no guess: a question that fits no shipped pattern,
or fits two that say different things, has no solution here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from domains.base import Solution
from domains.devops import shipped
from domains.devops.problems import Problem, rounding
from domains.devops.problems import solve as solve_problem
from domains.devops.references import PLACE

MAX_QUESTION = 600


def solve(question: str) -> Solution | None:
    """Steps and answer in the words of the blueprints, None where no shipped pattern fits."""
    problems = [problem for problem in map(_fill, _matches(question)) if problem]
    if not problems or len({problem.answer for problem in problems}) > 1:
        return None
    return Solution(problems[0].text, problems[0].answer, {"claims": problems[0].claims})


def _matches(question: str) -> list[tuple[str, str, dict[str, str]]]:
    """Framework, blueprint and the texts of the slots of every pattern that fits."""
    if len(question) > MAX_QUESTION or not question.isprintable():
        return []
    plain = _comparable(question)
    found = []
    for name, blueprint, pattern, slots in _patterns():
        match = pattern.fullmatch(plain)
        if match is None:
            continue
        texts: dict[str, str] = {}
        if all(texts.setdefault(slot, text) == text for slot, text in zip(slots, match.groups(), strict=True)):
            found.append((name, blueprint, texts))
    return found


def _comparable(text: str) -> str:
    return " ".join(text.split()).rstrip(" .?!")


@lru_cache
def _patterns() -> list[tuple[str, str, re.Pattern[str], tuple[str, ...]]]:
    """All shipped patterns as regular expressions, one group a slot."""
    return [
        (framework.framework, name, *_regex(text, blueprint))
        for framework in shipped.frameworks()
        for name, blueprint in framework.blueprints.items()
        for text in blueprint.patterns
    ]


def _regex(text: str, blueprint: Any) -> tuple[re.Pattern[str], tuple[str, ...]]:
    slots = tuple(match[1] for match in PLACE.finditer(text))
    parts = PLACE.split(_comparable(text))  # literal, name, style, literal, …
    asked = rounding(blueprint).strip()
    built = ""
    for at in range(0, len(parts), 3):
        built += re.escape(parts[at])
        if at + 1 < len(parts):
            built += f"({blueprint.slots[parts[at + 1]].pattern()})"
    suffix = rf"[.?!]?(?: {re.escape(asked)})?" if asked else ""
    return re.compile(built + suffix, re.IGNORECASE | re.ASCII), slots


def _fill(match: tuple[str, str, dict[str, str]]) -> Problem | None:
    """The problem of a match; None where a slot cannot hold its text, or a condition fails. A slot that the pattern does not name must not matter."""
    name, blueprint, texts = match
    framework = shipped.framework(name)
    slots = framework.blueprints[blueprint].slots
    try:
        values = {slot: kind.read(texts[slot]) for slot, kind in slots.items() if slot in texts or kind.type != "word"}
        values |= {slot: kind.of[0] for slot, kind in slots.items() if kind.type == "word" and slot not in texts}
        return solve_problem(framework, blueprint, values)
    except (KeyError, ValueError, StopIteration):
        return None
