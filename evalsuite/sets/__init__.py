"""Sets of examples beyond the test set, for metrics that need answers to them: one file each, one row each in SETS.

    truemark eval math --model runs/math-smollm2 --also stability,drift

A set names its metric and makes its examples from the test set or from what ships, the same at every run; `truemark eval --also` has the models answer
them, and from then on scores come from predictions alone.
"""

from __future__ import annotations

from importlib import import_module

from evalsuite.sets.base import ExampleSet
from truemark.errors import UnknownName

__all__ = ["SETS", "ExampleSet", "get", "names"]

SETS = {
    "stability": "evalsuite.sets.stability:Wordings",
    "drift": "evalsuite.sets.drift:Outside",
}


def get(name: str, domain: str) -> ExampleSet:
    """A set, for a domain's models. Raises UnknownName with the nearest name."""
    if name not in SETS:
        raise UnknownName("set of examples", name, SETS)
    module, _, attribute = SETS[name].partition(":")
    found: ExampleSet = getattr(import_module(module), attribute)(domain)
    return found


def names(wanted: str) -> list[str]:
    """`stability,drift` as names, each once. Raises UnknownName before anything is asked."""
    found = list(dict.fromkeys(word.strip() for word in wanted.split(",") if word.strip()))
    for name in found:
        if name not in SETS:
            raise UnknownName("set of examples", name, SETS)
    return found
