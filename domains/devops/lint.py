"""Findings about a framework file that its schema cannot see, found by drawing problems from it.

    physics.yaml:219: blueprints.cart: the constraints hold in none of 100 draws (most often: m < 2)

Every finding has the line it is about. A file without findings can be built: each blueprint gives enough problems, whose claims compute, whose answers pass the domain's own
check, whose questions do not hold the answer, and whose wordings can be split so that no template leaks.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.contamination import WINDOW
from domains.devops import document
from domains.devops.build import example_of, normalised, windows
from domains.devops.check import check
from domains.devops.expressions import ExpressionError
from domains.devops.problems import render, solve
from domains.devops.references import PLACE
from domains.devops.values import Rejected
from truemark.errors import InvalidConfig

if TYPE_CHECKING:
    from domains.devops.problems import Problem
    from domains.devops.schema import Blueprint, Framework

DRAWS = 100
SAMPLE = 30
"""Problems whose questions and answers are read."""
LEAST = 100
"""Distinct expansions of a framework, by default; each blueprint must give at least LEAST_EACH."""
LEAST_EACH = 20
MOST_REJECTED = 0.97
HELD_OUT = 4
MOST_SHARED = 0.75
Where = tuple[str | int, ...]


def lint(path: Path, least: int = LEAST) -> list[str]:
    """Findings of a file, each with its line; empty where it is fit to build."""
    try:
        source = document.load(path)
    except InvalidConfig as error:
        return [error.message]
    return findings(source, least)


def findings(source: document.Document, least: int = LEAST) -> list[str]:
    """Findings of a document: the errors of its schema, or else those that show when problems are drawn."""
    from domains.devops.schema import parse

    try:
        framework = parse(source)
    except InvalidConfig as error:
        return error.message.splitlines()[1:] or [error.message]
    found = [(source.line(path), f"{source.where(path)}: {message}") for path, message in _findings(framework, least)]
    return [text for _, text in sorted(dict.fromkeys(found))]


def _findings(framework: Framework, least: int) -> Iterator[tuple[Where, str]]:
    used = {blueprint.level for blueprint in framework.blueprints.values()}
    for level in framework.levels:
        if level not in used:
            yield ("levels", level), "no blueprint is at this level"
    yield from _unused(framework)
    total = 0
    for name, blueprint in framework.blueprints.items():
        yield from _wordings(name, blueprint)
        problems, trouble = _drawn(framework, name)
        if trouble:
            yield trouble
        if not problems:
            continue
        distinct = len({one.key for one in problems})
        total += distinct * len(blueprint.patterns)
        if distinct < LEAST_EACH:
            yield (
                ("blueprints", name, "slots"),
                f"{distinct} different problems in {DRAWS} draws, at least {LEAST_EACH} are needed",
            )
        sample = problems[:SAMPLE]
        yield from _leaks(name, blueprint, sample)
        yield from _overlaps(name, blueprint, sample)
        yield from _unchecked(name, sample)
    if total < least:
        yield ("blueprints",), f"{total} distinct expansions, at least {least} are needed"


def _unused(framework: Framework) -> Iterator[tuple[Where, str]]:
    """Parts that lead to no blueprint: they would never be trained on."""
    blocks = {step.block for blueprint in framework.blueprints.values() for step in blueprint.steps}
    logic = {framework.blocks[name].logic for name in blocks}
    explanations = {framework.logic[name].of for name in logic}
    principles = {framework.explanations[name].of for name in explanations}
    for title, section, reached in (
        ("blocks", framework.blocks, blocks),
        ("logic", framework.logic, logic),
        ("explanations", framework.explanations, explanations),
        ("principles", framework.principles, principles),
    ):
        for name in section:
            if name not in reached:
                yield (title, name), "no blueprint leads here"


def _wordings(name: str, blueprint: Blueprint) -> Iterator[tuple[Where, str]]:
    """Patterns that cannot be told apart, that share too many words whatever the slots, or that leave a value out."""
    seen: dict[str, int] = {}
    wanted = {slot for slot, kind in blueprint.slots.items() if kind.type != "word"}
    for number, pattern in enumerate(blueprint.patterns):
        path: Where = ("blueprints", name, "patterns", number)
        bare = normalised(PLACE.sub("", pattern))
        if bare in seen:
            yield path, f"the wording of pattern {seen[bare]} again: it would be in two splits"
        seen.setdefault(bare, number)
        named = {match[1] for match in PLACE.finditer(pattern)}
        for slot in sorted(wanted - named):
            yield path, f"the question does not state '{slot}'"


def _drawn(framework: Framework, name: str) -> tuple[list[Problem], tuple[Where, str] | None]:
    """The problems of some draws, and what is wrong where there are too few."""
    rng = random.Random(f"lint.{name}")
    problems: list[Problem] = []
    refused: Counter[str] = Counter()
    slots = framework.blueprints[name].slots
    path: Where = ("blueprints", name)
    for _ in range(DRAWS):
        drawn = {slot: kind.draw(rng) for slot, kind in slots.items()}
        try:
            problems.append(solve(framework, name, drawn))
        except Rejected as reason:
            refused[str(reason)] += 1
        except ExpressionError as error:
            shown = ", ".join(f"{slot} = {value}" for slot, value in drawn.items())
            return problems, ((*path, "steps"), f"a claim fails: {error} (with {shown[:160]})")
    if not problems:
        most, _ = refused.most_common(1)[0]
        at = _condition(framework, name, most)
        return problems, ((*path, *at), f"none of {DRAWS} draws makes a problem, most often because of: {most}")
    if len(problems) < DRAWS * (1 - MOST_REJECTED):
        most, count = refused.most_common(1)[0]
        return problems, (path, f"{DRAWS - len(problems)} of {DRAWS} draws are refused, {count} because of: {most}")
    return problems, None


def _condition(framework: Framework, name: str, reason: str) -> Where:
    where = framework.blueprints[name].where
    return ("where", where.index(reason)) if reason in where else ("claims",)


def _leaks(name: str, blueprint: Blueprint, problems: list[Problem]) -> Iterator[tuple[Where, str]]:
    """Patterns in which the answer nearly always stands already."""
    for key, claim in blueprint.claims.items():
        if (claim.value or key) in blueprint.slots:
            yield ("blueprints", name, "claims", key), "the claim is a slot: the question states its answer"
    for number in range(len(blueprint.patterns)):
        held = sum(_holds(_asked(one, number), one.claims) for one in problems)
        if held > len(problems) * 0.9:
            yield (
                ("blueprints", name, "patterns", number),
                f"the question holds the answer in {held} of {len(problems)} draws",
            )


def _overlaps(name: str, blueprint: Blueprint, problems: list[Problem]) -> Iterator[tuple[Where, str]]:
    """Patterns whose questions share 13 words in a row: if some are tested, nearly none of the others may be trained."""
    for number in range(len(blueprint.patterns)):
        spans = [windows(problem.question(number)) for problem in problems]
        tested = set().union(*spans[:HELD_OUT])
        shared = sum(bool(span & tested) for span in spans[HELD_OUT:])
        if shared > len(spans[HELD_OUT:]) * MOST_SHARED:
            told = f"{shared} of {len(spans[HELD_OUT:])} questions share {WINDOW} words in a row with {HELD_OUT} others"
            yield ("blueprints", name, "patterns", number), f"{told}: shorten it, or put the slots closer together"


def _asked(problem: Problem, pattern: int) -> str:
    """The question without its lists: the answer may be one of their items (a percentile, a maximum)."""
    values = {name: [] if isinstance(value, list) else value for name, value in problem.values.items()}
    return render(problem.framework.blueprints[problem.blueprint].patterns[pattern], values)


def _holds(question: str, claims: dict[str, dict[str, Any]]) -> bool:
    values = [str(claim["value"]) for claim in claims.values() if claim["kind"] != "word"]
    return bool(values) and all(re.search(rf"(?<![\w.]){re.escape(value)}(?![\w]|\.\d)", question) for value in values)


def _unchecked(name: str, problems: list[Problem]) -> Iterator[tuple[Where, str]]:
    """Answers that do not pass the check."""
    for problem in problems:
        verdict = check(problem.text, example_of(problem, 0, "lint", "numbers"))
        if verdict.score < 1:
            yield ("blueprints", name, "claims"), f"its own answer does not pass the check: {verdict.detail['message']}"
            return
