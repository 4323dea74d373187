"""Units by dimension, from `units.yaml`: `43.2 min`, `43m12s` and `2592 s` are one duration, `500 m` is no CPU.

>>> factor("min", "time"), dimension("min")
(Fraction(60, 1), 'time')
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from importlib.resources import files

BY_KIND = {"duration": "time", "bytes": "bytes", "cpu": "cpu", "memory": "memory", "percentage": "percent"}
"""Kinds whose claims have units of one dimension."""


@lru_cache
def table() -> dict[str, dict[str, Fraction]]:
    """Dimension → every name of a unit → factor."""
    import yaml

    loaded = yaml.safe_load((files("domains.devops") / "units.yaml").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Fraction]] = {}
    for name, units in loaded.items():
        names = found.setdefault(name, {})
        for unit, (scale, *others) in units.items():
            top, _, bottom = str(scale).partition("/")
            value = Fraction(top) / Fraction(bottom or "1")
            for word in (unit, *others):
                names[" ".join(word.split())] = value
    return found


@lru_cache
def dimension(unit: str, kind: str = "") -> str | None:
    """The dimension of a claim's unit: the kind's own, else the first in the table that has the name."""
    if kind in BY_KIND:
        return BY_KIND[kind]
    return next((name for name in table() if factor(unit, name) is not None), None)


@lru_cache(maxsize=4096)
def factor(unit: str, of: str) -> Fraction | None:
    """What one `unit` is in the first unit of dimension `of`; None where it is no unit of that dimension."""
    names = table()[of]
    if unit in names:
        return names[unit]
    folded = unit.casefold()
    close = {value for name, value in names.items() if name.casefold() == folded}
    return close.pop() if len(close) == 1 and len(unit) > 2 else None


def known(unit: str) -> bool:
    """Is `unit` a unit of any dimension?"""
    return any(factor(unit, name) is not None for name in table())
