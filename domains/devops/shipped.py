"""The frameworks that ship: one YAML file each in `frameworks/`."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domains.devops.schema import Framework

NAMES = ("devops", "physics", "computer_science", "finance")


@lru_cache
def framework(name: str) -> Framework:
    """A shipped framework."""
    from domains.devops import document, schema

    text = (files("domains.devops") / "frameworks" / f"{name}.yaml").read_text(encoding="utf-8")
    return schema.parse(document.read(text, f"{name}.yaml"))


def frameworks() -> tuple[Framework, ...]:
    """All of them."""
    return tuple(framework(name) for name in NAMES)
