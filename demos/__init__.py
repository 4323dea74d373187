"""Demos: a Gradio page per domain, talking to `serve` over HTTP like anyone else.

    truemark demo math

One more page is one file in `demos/pages/` (copy `math.py`) and one row here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from truemark.errors import UnknownName

if TYPE_CHECKING:
    from demos.client import Server

PAGES = {
    "math": "demos.pages.math:page",
}
"""Domain -> the function that lays out its page inside the Blocks being built."""


def get(domain: str) -> Callable[[Server], None]:
    """The page of `domain`. Raises UnknownName with the nearest name."""
    if domain not in PAGES:
        raise UnknownName("demo", domain, PAGES)
    module, _, attribute = PAGES[domain].partition(":")
    found: Callable[[Server], None] = getattr(import_module(module), attribute)
    return found
