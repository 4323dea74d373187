"""Retention of logs, in decimal units (1 GB = 10^9 bytes)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from domains.devops.expressions import ExpressionError, number


def retention(disk: Fraction, rate: Fraction, size: Fraction) -> dict[str, Any]:
    """Whole days of logs that `disk` GB hold."""
    per_day = number(rate) * size * 86400 / 10**9
    if per_day <= 0:
        raise ExpressionError("no logs")
    return {"per_day": per_day, "days": Fraction(math.floor(number(disk) / per_day))}
