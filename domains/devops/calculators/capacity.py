"""Capacity: Little's law (Little 1961) and instances with headroom."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from domains.devops.expressions import ExpressionError, number


def in_flight(rate: Fraction, millis: Fraction) -> dict[str, Any]:
    """L = lambda * W: requests in flight at `rate` a second that take `millis` ms each."""
    seconds = number(millis) / 1000
    return {"seconds": seconds, "concurrency": number(rate) * seconds}


def instances(rate: Fraction, each: Fraction, utilisation: Fraction) -> dict[str, Any]:
    """Instances of capacity `each` that stay below `utilisation` percent."""
    usable = number(each) * utilisation / 100
    if usable <= 0:
        raise ExpressionError("no capacity")
    return {"usable": usable, "raw": number(rate) / usable, "instances": Fraction(math.ceil(rate / usable))}
