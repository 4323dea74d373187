"""Names in a framework that lead nowhere: a block without its logic, a slot that no one defines, a calculator that is not there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from domains.devops import calculators
from domains.devops.expressions import ExpressionError, names, parse

if TYPE_CHECKING:
    from domains.devops.schema import Blueprint, Framework, Logic

PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)(?::([^{}\n]{1,3}))?\}")
"""`{name}`, `{name:2}` with two decimals, `{list:+}` joined by plus signs."""
Problem = tuple[tuple[str | int, ...], str]


def dangling(framework: Framework) -> Iterator[Problem]:
    """Path and message of every name that leads nowhere."""
    for section, key, table in (
        (framework.explanations, "of", framework.principles),
        (framework.logic, "of", framework.explanations),
        (framework.blocks, "logic", framework.logic),
    ):
        title = {id(framework.explanations): "explanations", id(framework.logic): "logic"}.get(id(section), "blocks")
        what = {"explanations": "principle", "logic": "explanation", "blocks": "logic"}[title]
        for name, part in section.items():
            if getattr(part, key) not in table:
                yield (title, name, key), unknown(what, getattr(part, key), table)
    for name, logic in framework.logic.items():
        yield from _of_logic(name, logic)
    for name, block in framework.blocks.items():
        if block.logic in framework.logic and framework.logic[block.logic].calculator in (
            None,
            *calculators.CALCULATORS,
        ):
            known = {*needs(framework, block.logic), *gives(framework, block.logic), *framework.constants, "rule"}
            for number, line in enumerate(block.lines):
                yield from _template(("blocks", name, "lines", number), line, known)
    for name, blueprint in framework.blueprints.items():
        yield from _of_blueprint(framework, name, blueprint)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`unknown slot 'mas': did you mean 'mass'?`"""
    listed = sorted(known)
    close = difflib.get_close_matches(name, listed, n=1, cutoff=0.5)
    return f"unknown {what} '{name}'" + (
        f": did you mean '{close[0]}'?" if close else f": known are {', '.join(listed[:20])}"
    )


def gives(framework: Framework, logic: str) -> tuple[str, ...]:
    """The results of a logic."""
    part = framework.logic[logic]
    return calculators.gives(part.calculator) if part.calculator else tuple(part.gives)


def needs(framework: Framework, logic: str) -> tuple[str, ...]:
    """The names a logic takes, constants and its own earlier results left out."""
    part = framework.logic[logic]
    if part.calculator:
        return calculators.needs(part.calculator)
    wanted: dict[str, None] = {}
    own: set[str] = set()
    for name, give in part.gives.items():
        try:
            found = names(parse(give.expr))
        except ExpressionError:
            found = []
        wanted.update(dict.fromkeys(one for one in found if one not in own and one not in framework.constants))
        own.add(name)
    return tuple(wanted)


def _of_logic(name: str, logic: Logic) -> Iterator[Problem]:
    if logic.calculator and logic.calculator not in calculators.CALCULATORS:
        yield (
            ("logic", name, "calculator"),
            unknown("calculator", logic.calculator, calculators.CALCULATORS),
        )
    for result, give in logic.gives.items():
        try:
            parse(give.expr)
        except ExpressionError as error:
            yield ("logic", name, "gives", result), f"not an expression: {error}"


def _template(path: tuple[str | int, ...], text: str, known: Iterable[str]) -> Iterator[Problem]:
    listed = set(known)
    for match in PLACE.finditer(text):
        if match[1] not in listed:
            yield path, unknown("slot", match[1], listed)
    if re.search("[{}]", PLACE.sub("", text)):
        yield path, "a brace that is no {slot}"


def _of_blueprint(framework: Framework, name: str, blueprint: Blueprint) -> Iterator[Problem]:
    here: tuple[str | int, ...] = ("blueprints", name)
    if blueprint.level not in framework.levels:
        yield (*here, "level"), unknown("level", blueprint.level, framework.levels)
    known = {*blueprint.slots, *framework.constants}
    for slot in blueprint.slots:
        if slot in framework.constants or slot == "rule":
            yield (*here, "slots", slot), f"'{slot}' is the name of a constant" if slot != "rule" else "'rule' is taken"
    for number, step in enumerate(blueprint.steps):
        path = (*here, "steps", number)
        if step.block not in framework.blocks:
            yield path, unknown("block", step.block, framework.blocks)
            return
        logic = framework.blocks[step.block].logic
        if logic not in framework.logic or framework.logic[logic].calculator not in (None, *calculators.CALCULATORS):
            return
        wanted, results = needs(framework, logic), gives(framework, logic)
        for inner in (*step.with_, *step.as_, *step.round):
            table = wanted if inner in step.with_ else results
            if inner not in table:
                yield path, unknown(f"name of block '{step.block}'", inner, table)
        for inner in wanted:
            if step.with_.get(inner, inner) not in known:
                yield path, unknown("slot", step.with_.get(inner, inner), known)
        for result in results:
            outer = step.as_.get(result, result)
            if outer in blueprint.slots:
                yield path, f"the result '{outer}' has the name of a slot: use `as`"
            known.add(outer)
    for number, condition in enumerate(blueprint.where):
        try:
            missing = [one for one in names(parse(condition)) if one not in known]
        except ExpressionError as error:
            yield (*here, "where", number), f"not an expression: {error}"
        else:
            yield from (((*here, "where", number), unknown("slot", one, known)) for one in missing)
    for key, claim in blueprint.claims.items():
        if (claim.value or key) not in known:
            yield (*here, "claims", key), unknown("slot or result", claim.value or key, known)
    for number, pattern in enumerate(blueprint.patterns):
        yield from _template((*here, "patterns", number), pattern, blueprint.slots)
