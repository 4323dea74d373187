"""Quorums: majorities (Lamport 1998, The Part-Time Parliament), Byzantine bounds (Lamport, Shostak, Pease 1982), R + W > N (Gifford 1979)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from domains.devops.expressions import whole


def majority(members: Fraction) -> dict[str, Any]:
    """The smallest majority, and how many members may fail."""
    count = whole(members, 1, 10_000)
    quorum = count // 2 + 1
    return {"quorum": Fraction(quorum), "tolerated": Fraction(count - quorum)}


def members_for_failures(failures: Fraction) -> dict[str, Any]:
    """The fewest members that outlive `failures`, when the failed stop and when they lie."""
    count = whole(failures, 0, 10_000)
    return {"crash": Fraction(2 * count + 1), "byzantine": Fraction(3 * count + 1)}


def read_quorum(copies: Fraction, writes: Fraction) -> dict[str, Any]:
    """The fewest replicas a read must ask to meet the last write."""
    count = whole(copies, 1, 10_000)
    return {"least": Fraction(count - whole(writes, 1, count) + 1)}
