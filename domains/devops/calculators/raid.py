"""Usable space of disk arrays (SNIA Common RAID Disk Data Format, 2009: levels 0, 1, 5, 6, 10)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from domains.devops.expressions import ExpressionError, whole
from domains.devops.values import show


def raid(level: str | Fraction, disks: Fraction, size: Fraction) -> dict[str, Any]:
    """Usable space, and how many disks may fail whichever they are."""
    name, count = show(level), whole(disks, 2, 200)
    fewest = {"0": 2, "1": 2, "5": 3, "6": 4, "10": 4}
    if name not in fewest or count < fewest[name] or (name == "10" and count % 2):
        raise ExpressionError(f"no RAID {name} of {count} disks")
    data, formula, tolerated = {
        "0": (count, f"{count} disks", 0),
        "1": (1, "1 disk", count - 1),
        "5": (count - 1, f"{count} - 1", 1),
        "6": (count - 2, f"{count} - 2", 2),
        "10": (count // 2, f"{count} / 2", 1),
    }[name]
    return {"usable": data * size, "tolerated": Fraction(tolerated), "formula": f"{formula} = {data}"}
