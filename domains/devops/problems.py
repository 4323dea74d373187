"""A blueprint and random slots → a problem: its question, its computed steps, its claims.

Every problem is computed twice, with intermediate results rounded as they are shown and without; where the claims would differ, or a claim would hang on the
rule for a final 5, the slots are drawn again. So a stated rounding has one right answer, whichever way one calculates.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from domains.devops import calculators
from domains.devops.expressions import ExpressionError, evaluate, rounded
from domains.devops.references import PLACE
from domains.devops.steps import first_wrong
from domains.devops.values import Rejected, decimals, is_tie, show

if TYPE_CHECKING:
    from domains.devops.schema import Blueprint, Claim, Framework, Step

DIGITS = frozenset("0123456")
TRIES = 400
"""Draws until the constraints hold."""
_NO_CLAIMS: dict[str, int] = {}


@dataclass(frozen=True)
class Problem:
    """A blueprint with its slots filled."""

    framework: Framework
    blueprint: str
    values: dict[str, Any]
    """Slots."""
    steps: tuple[str, ...]
    claims: dict[str, dict[str, Any]]

    @property
    def answer(self) -> str:
        """The final answer, as it stands behind `Answer:`."""
        return write_answer(self.claims)

    @property
    def text(self) -> str:
        """Steps and final line, as the model learns to write them."""
        return "\n".join([*self.steps, f"Answer: {self.answer}"])

    @property
    def key(self) -> str:
        """What makes it this problem, whatever its wording and the names in it."""
        slots = self.framework.blueprints[self.blueprint].slots
        shown = [f"{name}={show(value)}" for name, value in self.values.items() if slots[name].type != "word"]
        return f"{self.framework.framework}.{self.blueprint}: {', '.join(shown)}"

    def question(self, pattern: int) -> str:
        """The question in one wording, with the rounding it asks for."""
        blueprint = self.framework.blueprints[self.blueprint]
        return f"{render(blueprint.patterns[pattern], self.values)}{rounding(blueprint)}"


def rounding(blueprint: Blueprint) -> str:
    """` (2 decimals)` where the claims are rounded."""
    digits = next((claim.round for claim in blueprint.claims.values() if claim.round is not None), None)
    if digits is None:
        return ""
    return " (" + {0: "whole number", 1: "1 decimal"}.get(digits, f"{digits} decimals") + ")"


def draw(framework: Framework, name: str, rng: random.Random) -> Problem | None:
    """A problem with random slots; None where no draw fits the constraints. Raises ExpressionError where a formula fails on its slots."""
    blueprint = framework.blueprints[name]
    for _ in range(TRIES):
        slots = {slot: kind.draw(rng) for slot, kind in blueprint.slots.items()}
        try:
            return solve(framework, name, slots)
        except Rejected:
            continue
    return None


def solve(framework: Framework, name: str, slots: dict[str, Any]) -> Problem:
    """The problem with these slots. Raises Rejected where they make no good one, ExpressionError where a formula fails."""
    blueprint = framework.blueprints[name]
    places = {claim.value or key: claim.round for key, claim in blueprint.claims.items() if claim.round is not None}
    constants = {key: Fraction(constant.value) for key, constant in framework.constants.items()}
    _require(blueprint, {**constants, **slots})
    shown, lines = dict(constants) | slots, list[str]()
    exact = dict(shown)
    for step in blueprint.steps:
        results = _run(framework, step, shown, places)
        digits = {key: places[outer] for key in results if (outer := step.as_.get(key, key)) in places}
        lines += _lines(framework, step, shown, results, digits)
        shown |= {step.as_.get(key, key): value for key, value in results.items()}
        exact |= {step.as_.get(key, key): value for key, value in _run(framework, step, exact, None).items()}
    _require(blueprint, exact)
    claims = {key: _claim(key, claim, shown, exact) for key, claim in blueprint.claims.items()}
    if len(claims) > 1:
        for key, claim in blueprint.claims.items():
            claims[key]["label"] = claim.label or key.replace("_", " ")
    problem = Problem(framework, name, slots, tuple(lines), claims)
    wrong = first_wrong(problem.text)
    if wrong:
        raise Rejected(f"a step does not hold as it is shown: {wrong[1]}")
    return problem


def _require(blueprint: Blueprint, values: Mapping[str, Any]) -> None:
    """Check the conditions whose names are all known yet."""
    from domains.devops.expressions import names, parse

    for condition in blueprint.where:
        if all(name in values for name in names(parse(condition))):
            held = evaluate(condition, values)
            if not isinstance(held, bool):
                raise ExpressionError(f"`where: {condition}` is no condition")
            if not held:
                raise Rejected(condition)


def _run(
    framework: Framework, step: Step, values: Mapping[str, Any], places: Mapping[str, int] | None
) -> dict[str, Any]:
    """Results of a step, rounded as they are shown. `places` are the decimals of claims; None: round nothing."""
    logic = framework.logic[framework.blocks[step.block].logic]
    scope = _Scope(values, step.with_)
    digits: dict[str, int] = dict(step.round)
    if logic.calculator:
        results = calculators.run(logic.calculator, scope)
    else:
        digits = {key: give.round for key, give in logic.gives.items() if give.round is not None} | digits
        results = {}
    for name in calculators.gives(logic.calculator) if logic.calculator else logic.gives:
        outer = step.as_.get(name, name)
        if places is not None and outer in places:
            digits[name] = places[outer]
        if not logic.calculator:
            results[name] = evaluate(logic.gives[name].expr, scope | results)
        if places is not None and name in digits and isinstance(results[name], Fraction):
            results[name] = rounded(results[name], digits[name])
    return results


class _Scope(dict[str, Any]):
    """The names of a blueprint as a block calls them."""

    def __init__(self, values: Mapping[str, Any], renamed: Mapping[str, str]) -> None:
        super().__init__(values)
        self.update({inner: values[outer] for inner, outer in renamed.items()})


def _lines(
    framework: Framework, step: Step, values: Mapping[str, Any], results: Mapping[str, Any], digits: Mapping[str, int]
) -> list[str]:
    block = framework.blocks[step.block]
    scope = _Scope(values, step.with_) | dict(results) | {"rule": framework.logic[block.logic].rule}
    return [render(line, scope, digits) for line in block.lines]


def render(template: str, values: Mapping[str, Any], digits: Mapping[str, int] = _NO_CLAIMS) -> str:
    """Fill the places of a template. A claim shows its decimals; a fraction that was not rounded is Rejected."""
    parts, end = [], 0
    for match in PLACE.finditer(template):
        style: int | str | None = match[2]
        if style is None and match[1] in digits and isinstance(values[match[1]], Fraction):
            style = digits[match[1]]
        elif isinstance(style, str) and style in DIGITS:
            style = int(style)
        parts += [template[end : match.start()], show(values[match[1]], style)]
        end = match.end()
    return "".join([*parts, template[end:]])


def _claim(key: str, claim: Claim, shown: Mapping[str, Any], exact: Mapping[str, Any]) -> dict[str, Any]:
    """A claim as `meta` holds it. Raises Rejected where its value hangs on how one rounds."""
    value, wanted = shown[claim.value or key], exact[claim.value or key]
    found: dict[str, Any] = {"kind": claim.kind, "unit": claim.unit}
    if claim.round is not None:
        if is_tie(wanted, claim.round) or rounded(wanted, claim.round) != value:
            raise Rejected("the rounding is ambiguous")
        found["round"] = claim.round
    elif value != wanted:
        raise Rejected("the value hangs on rounded steps")
    elif claim.kind == "integer" and (not isinstance(value, Fraction) or value.denominator != 1):
        raise Rejected("not a whole number")
    elif isinstance(value, Fraction) and decimals(value) is None:
        raise Rejected("an exact claim that needs rounding")
    if claim.options:
        if value not in claim.options:
            raise ExpressionError(f"the claim '{key}' is {value!r}, which is none of its options")
        found["options"] = claim.options
    for name in ("item", "base"):
        if getattr(claim, name):
            found[name] = getattr(claim, name)
    return {"value": show(value, claim.round), **found}


def write_answer(claims: Mapping[str, Mapping[str, Any]]) -> str:
    """The final answer of some claims: `43.2 min`, or `network 10.0.4.0; usable 1022`."""
    if len(claims) == 1:
        return write_value(next(iter(claims.values())))
    return "; ".join(f"{claim['label']} {write_value(claim)}" for claim in claims.values())


def write_value(claim: Mapping[str, Any]) -> str:
    """A value with its unit."""
    unit = claim["unit"]
    return f"{claim['value']}{'' if unit in ('', '%') else ' '}{unit}"
