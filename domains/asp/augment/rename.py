"""Local alpha-renaming: the variables of each rule get other names, one to one, from a canonical or an abstract pool.

The places of the variables come from clingo's parser, so the author's layout stays. A test renames the tree with clingo's
Transformer as well, and the text must parse to that tree.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from domains.asp.problems import Problem
from domains.asp.program import statements
from domains.asp.turns import Turn

POOLS: dict[str, tuple[str, ...]] = {
    "canonical": tuple("XYZUVWABCDEFGHIJKLMNPQRST"),
    "abstract": tuple(f"{stem}{number}" for stem in ("V", "T", "Arg") for number in range(1, 25)),
}
ANONYMOUS = "_"


def apply(problem: Problem, turns: list[Turn], rng: random.Random, write: Any = None) -> list[Turn]:
    """Rename in every rule, each with a pool of its own: scopes are local, so names need not agree between rules."""
    return [Turn(turn.say, renamed(turn.rule, rng.choice(sorted(POOLS)), rng)) for turn in turns]


def renamed(rule: str, pool: str, rng: random.Random) -> str:
    """The rule with variables drawn from a pool: any canonical letters, or abstract ones of one stem in order."""
    names = list(dict.fromkeys(name for name, _ in variables(rule)))
    if not names:
        return rule
    if pool == "abstract":
        start = rng.randrange(0, len(POOLS[pool]), 24)
        fresh = list(POOLS[pool][start : start + len(names)])
    else:
        fresh = rng.sample(POOLS[pool], len(names))
    return rename(rule, dict(zip(names, fresh, strict=True)))


@lru_cache(maxsize=4096)
def variables(rule: str) -> tuple[tuple[str, tuple[int, int]], ...]:
    """Name and place (line and column from 1, in bytes of UTF-8) of every variable but `_`, in the order of the text."""
    from clingo.ast import Transformer

    found: dict[tuple[int, int], str] = {}

    class Finder(Transformer):
        def visit_Variable(self, node: Any) -> Any:
            if node.name != ANONYMOUS:
                found[node.location.begin.line, node.location.begin.column] = node.name
            return node

    finder = Finder()
    for statement in statements(rule):
        finder.visit(statement)
    return tuple((found[place], place) for place in sorted(found))


def rename(rule: str, names: Mapping[str, str]) -> str:
    """The rule with variables renamed by a one-to-one table."""
    lines = [line.encode() for line in rule.split("\n")]
    for name, (line, column) in reversed(variables(rule)):
        content = lines[line - 1]
        old = name.encode()
        if content[column - 1 : column - 1 + len(old)] != old:
            raise ValueError(f"no variable {name} at {line}:{column} of {rule!r}")
        lines[line - 1] = content[: column - 1] + names.get(name, name).encode() + content[column - 1 + len(old) :]
    return b"\n".join(lines).decode()
