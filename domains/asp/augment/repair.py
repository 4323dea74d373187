"""Synthetic repair: one rule broken in one known way, clingo's own message for it, and the mended rule as the answer.

The broken rule stands in the user's turn, as the repair loop (`domains/asp/repair.py`) puts it: a model is trained on every turn of
the assistant, and must not learn to write broken rules. What is broken is found in clingo's tree of the rule and changed at the place that
the tree gives, so that the rest stays as its author wrote it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from domains.asp.problems import Problem
from domains.asp.program import rule_texts, statements
from domains.asp.repair import again
from domains.asp.turns import Turn


def apply(problem: Problem, turns: list[Turn], rng: random.Random, write: Any = None) -> list[Turn]:
    """The conversation up to a rule, which is asked for with a broken form of it and what clingo says."""
    places = [(turn, rule) for turn in range(len(turns)) for rule in range(len(rule_texts(turns[turn].rule)))]
    rng.shuffle(places)
    for place, which in places:
        rules = rule_texts(turns[place].rule)
        others = "\n".join(turn.rule for number, turn in enumerate(turns) if number != place)
        for name in rng.sample(list(BREAKS), len(BREAKS)):
            broken_rule = BREAKS[name](rules[which], rng)
            if broken_rule is None:
                continue
            broken = "\n".join([*rules[:which], broken_rule, *rules[which + 1 :]])
            finding, message = _complaint(others, turns[place].rule, broken, problem.facts[0], tuple(problem.show))
            if finding is not None:
                return [*turns[:place], Turn(again(turns[place].say, broken, finding, message), turns[place].rule)]
    return turns


@lru_cache(maxsize=4096)
def _complaint(given: str, rule: str, broken: str, facts: str, show: tuple[str, ...]) -> tuple[str | None, str]:
    """What clingo says of the broken rule and not of the right one; None when it says nothing."""
    from domains.asp.repair import finding
    from domains.asp.solving import answers

    bad = answers(broken, facts, list(show), given)
    kind = finding(bad)
    message = "\n".join(line for line in bad["message"].split("\n") if line)
    if kind == "ok":
        before = answers(rule, facts, list(show), given)["message"]
        return ("warning", message) if message and message != before else (None, "")
    return kind, message


def missing_period(rule: str, rng: random.Random) -> str | None:
    """The rule without its last sign."""
    return rule[:-1] if rule.endswith(".") else None


def broken_operator(rule: str, rng: random.Random) -> str | None:
    """`:-` or an operator of comparison misspelt."""
    pairs = [pair for pair in ((":-", ":="), (":-", "=:"), ("!=", "=!"), ("<=", "=<"), (">=", "=>")) if pair[0] in rule]
    if not pairs:
        return None
    old, new = rng.choice(pairs)
    return rule.replace(old, new, 1)


def unsafe_variable(rule: str, rng: random.Random) -> str | None:
    """A positive atom of the body left out, so that a variable may be bound by nothing."""
    body, _ = _body(rule)
    plain = [place for place, literal in enumerate(body) if _is_plain_atom(literal)]
    if len(body) < 2 or not plain:
        return None
    place = rng.choice(plain)
    spans = [_span(rule, literal) for literal in body]
    begin, end = (
        (spans[place][0], spans[place + 1][0]) if place + 1 < len(body) else (spans[place - 1][1], spans[place][1])
    )
    return rule[:begin] + rule[end:]


def wrong_arity(rule: str, rng: random.Random) -> str | None:
    """A predicate of the body without its last argument."""

    def change(atom: Any) -> str | None:
        if len(atom.arguments) < 2:
            return None
        begin, end = _span(rule, atom)
        cut, last = _span(rule, atom.arguments[-2])[1], _span(rule, atom.arguments[-1])[1]
        return rule[begin:cut] + rule[last:end]

    return _with_atom(rule, rng, change)


def misspelt_predicate(rule: str, rng: random.Random) -> str | None:
    """A predicate of the body with a letter doubled or left out."""

    def change(atom: Any) -> str | None:
        begin, end = _span(rule, atom)
        if len(atom.name) < 3:
            return None
        place = begin + rng.randrange(1, len(atom.name))
        return rule[begin:place] + rng.choice(("", rule[place] * 2)) + rule[place + 1 : end]

    return _with_atom(rule, rng, change)


BREAKS: dict[str, Callable[[str, random.Random], str | None]] = {
    "missing_period": missing_period,
    "unsafe_variable": unsafe_variable,
    "broken_operator": broken_operator,
    "wrong_arity": wrong_arity,
    "misspelt_predicate": misspelt_predicate,
}
"""Name → function that gives the broken rule, or None where the rule has nothing to break in that way."""


def _with_atom(rule: str, rng: random.Random, change: Callable[[Any], str | None]) -> str | None:
    """The rule with one atom of its body in another form."""
    _, atoms = _body(rule)
    for atom in rng.sample(atoms, len(atoms)):
        new = change(atom)
        if new is not None:
            begin, end = _span(rule, atom)
            return rule[:begin] + new + rule[end:]
    return None


def _body(rule: str) -> tuple[list[Any], list[Any]]:
    """The literals of the body of a single rule on one line, and the functions in its plain atoms."""
    found = statements(rule)
    if len(found) != 1 or found[0].ast_type.name != "Rule" or not rule.isascii() or "\n" in rule:
        return [], []
    body = list(found[0].body)
    return body, [literal.atom.symbol for literal in body if _is_plain_atom(literal)]


def _span(rule: str, node: Any) -> tuple[int, int]:
    """Where a node stands in a rule on one line."""
    return node.location.begin.column - 1, node.location.end.column - 1


def _is_plain_atom(literal: Any) -> bool:
    """A body literal `p(…)`, neither negated nor an aggregate or a comparison."""
    return bool(
        literal.ast_type.name == "Literal"
        and literal.sign == 0
        and literal.atom.ast_type.name == "SymbolicAtom"
        and literal.atom.symbol.ast_type.name == "Function"
    )
