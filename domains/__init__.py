"""Domains: one room each, with its prompt, data, check and card. Nothing else knows them.

    >>> from domains import get
    >>> math = get("math")
    >>> math.check("3x = 15\\nAnswer: x = 5", {"id": "1", "messages": [], "reference": "x = 5", "meta": {}}).passed
    True

A sixth domain is a copied folder and one row here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from truemark.errors import UnknownName

if TYPE_CHECKING:
    from domains.base import Domain

DOMAINS = {
    "math": "domains.math",
    "asp": "domains.asp",
    "rewording": "domains.rewording",
    "devops": "domains.devops",
    "constitution": "domains.constitution",
}


def get(name: str) -> Domain:
    """The domain's module, which has what `domains.base.Domain` lists. Raises UnknownName with the nearest name."""
    if name not in DOMAINS:
        raise UnknownName("domain", name, DOMAINS)
    return cast("Domain", import_module(DOMAINS[name]))
