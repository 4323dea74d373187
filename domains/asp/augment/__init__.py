"""Augmentations of training conversations: one file each, one table, applied in the order of the table.

Each is `apply(problem, turns, rng, write) -> turns`: deterministic by the generator it is given, and never changing what a program means.
`write` is None, or a `complete(messages) -> str` of a model (only paraphrases use it; without one they follow rules).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from domains.asp.problems import Problem
from domains.asp.turns import Turn
from truemark.errors import UnknownName

Write = Callable[[list[dict[str, str]]], str]
AUGMENTATIONS = {
    "rename": "domains.asp.augment.rename:apply",
    "paraphrase": "domains.asp.augment.paraphrase:apply",
    "noise": "domains.asp.augment.noise:apply",
    "repair": "domains.asp.augment.repair:apply",
}
"""Name → `module:function`. An order: a repair quotes the instruction and the rule that came out of the others."""
ODDS = {"rename": 0.8, "paraphrase": 0.6, "noise": 0.3, "repair": 0.25}
"""How often each is applied to an example, where it is switched on."""


def known(names: Iterable[str] | None) -> list[str]:
    """The names in the order of the table; all for None. Raises UnknownName."""
    if names is None:
        return list(AUGMENTATIONS)
    wanted = list(names)
    for name in wanted:
        if name not in AUGMENTATIONS:
            raise UnknownName("augmentation", name, AUGMENTATIONS)
    return [name for name in AUGMENTATIONS if name in wanted]


def apply(name: str, problem: Problem, turns: list[Turn], rng: random.Random, write: Write | None = None) -> list[Turn]:
    """The turns after one augmentation; the same turns where it finds nothing to do."""
    module, _, attribute = AUGMENTATIONS[name].partition(":")
    function: Any = getattr(import_module(module), attribute)
    changed: list[Turn] = function(problem, turns, rng, write)
    return changed
