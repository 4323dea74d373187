"""Percentiles by nearest rank (ceil(p/100 * n)-th smallest) and tail latency of fan-out (Dean and Barroso 2013, The Tail at Scale)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from domains.devops.expressions import ExpressionError, number, whole


def nearest_rank(samples: list[Fraction], p: Fraction) -> dict[str, Any]:
    """The smallest sample that at least p percent of them do not exceed."""
    if not 0 < p <= 100:
        raise ExpressionError("a percentile above 0 and up to 100")
    ordered = sorted(number(sample) for sample in samples)
    rank = math.ceil(p * len(ordered) / 100)
    return {
        "rank": Fraction(rank),
        "value": ordered[rank - 1],
        "count": Fraction(len(ordered)),
        "ordered": ordered,
    }


def tail_at_scale(slow: Fraction, servers: Fraction) -> dict[str, Any]:
    """The percentage of requests that meet a slow server when each waits for all of `servers`, of which `slow` percent are slow at random."""
    all_fast = (1 - number(slow) / 100) ** whole(servers, 1, 500)
    return {"all_fast": all_fast, "any_slow": (1 - all_fast) * 100}
