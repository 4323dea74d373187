"""What runs in a sandbox worker: parse, ground and solve. The only file that lets clingo ground or search.

Limits that do not depend on the machine come first, so a verdict is the same everywhere: ground rules (an observer
that ends the grounding), conflicts of the search, models. Time and memory, from outside, end what escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import clingo
from clingo.ast import ProgramBuilder, parse_string

from domains.asp.program import Refused, TooDeep, Unreadable, heads, statements

MAX_GROUND_RULES = 60_000
MAX_CONFLICTS = 60_000
MAX_MODELS = 1_000
MAX_MESSAGE = 1_500
_UNKNOWN_SHOW = "no atoms over signature occur"


class Stopped(Exception):
    """A program that cannot be solved: `reason` is one of the domain's, the argument says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Ground(clingo.Observer):
    """Counts ground rules and ends the grounding at the limit."""

    def __init__(self) -> None:
        self.count = 0

    def rule(self, choice: bool, head: Any, body: Any) -> None:
        self._add()

    def weight_rule(self, choice: bool, head: Any, lower_bound: int, body: Any) -> None:
        self._add()

    def minimize(self, priority: int, literals: Any) -> None:
        self._add()

    def _add(self) -> None:
        self.count += 1
        if self.count > MAX_GROUND_RULES:
            raise OverflowError


class Answers:
    """The answer sets of one program on one instance, projected; the optimal ones where it optimises."""

    def __init__(self) -> None:
        self.sets: dict[tuple[str, ...], None] = {}
        self.cost: list[int] | None = None
        self.complete = True
        self.messages = ""

    def to_json(self) -> dict[str, Any]:
        return {"sets": [list(atoms) for atoms in self.sets], "cost": self.cost, "messages": self.messages}


def solve(nodes: list[Any], show: tuple[str, ...], most: int = MAX_MODELS) -> Answers:
    """The answer sets of a program in syntax trees, at most `most` of them. Raises Stopped."""
    answers = Answers()
    said: list[str] = []
    control = clingo.Control(
        ["--project=show", "--opt-mode=optN", f"--models={most}"],
        logger=lambda _, message: said.append(message),
        message_limit=20,
    )
    control.configuration.solve.solve_limit = f"{MAX_CONFLICTS}"  # type: ignore[union-attr]
    ground = Ground()
    control.register_observer(ground)
    try:
        with ProgramBuilder(control) as builder:
            for node in nodes:
                builder.add(node)
            for node in _shown(show):
                builder.add(node)
        control.ground([("base", [])])
    except OverflowError:
        raise Stopped("too_large", f"more than {MAX_GROUND_RULES} ground rules") from None
    except MemoryError:
        raise Stopped("too_large", "out of memory while grounding") from None
    except RuntimeError as error:
        if "bad_alloc" in str(error):
            raise Stopped("too_large", "out of memory while grounding") from None
        raise Stopped("unsafe", _joined(said) or str(error)) from None
    answers.messages = _joined(said)
    optimises = any(node.ast_type.name == "Minimize" for node in nodes)
    _search(control, answers, optimises, most)
    return answers


def _search(control: clingo.Control, answers: Answers, optimises: bool, most: int) -> None:
    def on_model(model: clingo.Model) -> None:
        if model.cost and not model.optimality_proven:  # a step on the way to the optimum
            return
        answers.cost = [int(cost) for cost in model.cost] if optimises else None
        answers.sets[tuple(sorted(str(symbol) for symbol in model.symbols(shown=True)))] = None

    try:
        result = control.solve(on_model=on_model)
    except (MemoryError, RuntimeError) as error:
        raise Stopped("too_large", f"the search ended: {error}") from None
    if result.interrupted or (not result.exhausted and not answers.sets):
        raise Stopped("timeout", f"the search was not over after {MAX_CONFLICTS} conflicts")
    answers.complete = bool(result.exhausted)
    if not answers.complete and len(answers.sets) < most:
        raise Stopped("timeout", f"the search was not over after {MAX_CONFLICTS} conflicts")


def _parsed(text: str) -> list[Any]:
    try:
        return statements(text)
    except Unreadable as error:
        raise Stopped("syntax", str(error)) from None
    except TooDeep as error:
        raise Stopped("too_large", str(error)) from None
    except Refused as error:
        raise Stopped("forbidden", str(error)) from None
    except RecursionError:
        raise Stopped("too_large", "nested too deeply") from None


@lru_cache(maxsize=512)
def _known(text: str) -> tuple[Any, ...]:
    """The trees of a text that comes again: an instance, a reference, the rules around an answer."""
    return tuple(_parsed(text))


@lru_cache(maxsize=512)
def _shown(show: tuple[str, ...]) -> tuple[Any, ...]:
    """The only `#show` statements that are ever grounded."""
    nodes: list[Any] = []
    parse_string("#show. " + " ".join(f"#show {signature}." for signature in show), nodes.append)
    return tuple(nodes)


def _joined(said: list[str]) -> str:
    return "".join(message for message in said if _UNKNOWN_SHOW not in message).strip()[:MAX_MESSAGE]


@dataclass(frozen=True)
class Rules:
    """A program as its statements, whatever their order: the conversations of one problem share their reference's answer sets."""

    key: tuple[str, ...]
    nodes: tuple[Any, ...] = field(compare=False)


@lru_cache(maxsize=512)
def _rules(*texts: str) -> Rules:
    nodes = tuple(node for text in texts for node in _known(text))
    return Rules(tuple(sorted(map(str, nodes))), nodes)


@lru_cache(maxsize=2048)
def _reference(program: Rules, facts: str, show: tuple[str, ...]) -> Answers:
    return solve([*program.nodes, *_known(facts)], show)


def judge(prediction: str, given: str, reference: str, instances: list[str], show: list[str]) -> dict[str, Any]:
    """Compare `given` + `prediction` with `given` + `reference` on every instance.

    Gives the stage that was reached and, per instance, what was found: `domains/asp/check.py` makes the verdict of it.
    """
    signatures = tuple(show)
    report: dict[str, Any] = {"syntax": False, "safe": None, "clingo": "", "instances": []}
    try:
        nodes = _parsed(prediction)
        if not nodes:
            return {**report, "syntax": True, "stopped": "empty", "clingo": "no rule in the program"}
        report["syntax"] = True
        stated = _stated(nodes, reference, instances)
        if stated:
            return {**report, "stopped": "facts", "clingo": f"facts of {', '.join(stated)}"}
        for facts in instances:
            wanted = _wanted(given, reference, facts, signatures)
            found = solve([*_known(given), *nodes, *_known(facts)], signatures, len(wanted.sets) + 1)
            report["safe"] = True
            report["clingo"] = report["clingo"] or found.messages
            report["instances"].append(_compare(found, wanted))
    except Stopped as stopped:
        if stopped.reason == "unsafe":
            report["safe"] = False
        return {**report, "stopped": stopped.reason, "clingo": str(stopped)[:MAX_MESSAGE]}
    return report


def _stated(nodes: list[Any], reference: str, instances: list[str]) -> list[str]:
    """Predicates of the instances of which an answer states facts, and the reference none."""
    stated = heads(nodes, facts=True)
    if not stated:
        return []
    try:
        own = heads(_known(reference), facts=True)
        return sorted(stated & set().union(*(heads(_known(facts)) for facts in instances)) - own)
    except Stopped as stopped:
        raise Stopped("reference", f"the reference or an instance: {stopped}") from None


def _wanted(given: str, reference: str, facts: str, show: tuple[str, ...]) -> Answers:
    try:
        wanted = _reference(_rules(given, reference), facts, show)
    except Stopped as stopped:
        raise Stopped("reference", f"the reference itself: {stopped.reason}: {stopped}") from None
    if not wanted.complete:
        raise Stopped("reference", f"the reference has more than {MAX_MODELS} answer sets")
    return wanted


def _compare(found: Answers, wanted: Answers) -> dict[str, Any]:
    return {
        "satisfiable": bool(found.sets),
        "wanted_satisfiable": bool(wanted.sets),
        "optimises": [found.cost is not None, wanted.cost is not None],
        "same_optimum": not (found.sets and wanted.sets) or _padded(found, wanted) == _padded(wanted, found),
        "same_sets": found.sets.keys() == wanted.sets.keys(),
        "missing": sum(one not in found.sets for one in wanted.sets),
        "extra": sum(one not in wanted.sets for one in found.sets),
    }


def _padded(answers: Answers, other: Answers) -> list[int]:
    """The cost; zeros where every weight fell away in grounding, and clingo gives none."""
    return answers.cost or [0] * len(other.cost or ())


def answers(program: str, facts: str, show: list[str], given: str = "") -> dict[str, Any]:
    """The answer sets of `given` + `program` on one instance, or why there are none: for tools, the repair loop and tests."""
    try:
        nodes = _parsed(program)
        if not nodes:
            return {"stopped": "empty", "message": "no rule in the program"}
        found = solve([*_known(given), *nodes, *_known(facts)], tuple(show))
    except Stopped as stopped:
        return {"stopped": stopped.reason, "message": str(stopped)[:MAX_MESSAGE]}
    return {"stopped": None, "message": found.messages, **found.to_json()}
