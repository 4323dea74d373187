"""Objectives, error budgets (Beyer et al., Site Reliability Engineering, 2016, ch. 3) and availability of parts in series and in parallel.

Objectives and availabilities are percentages: 99.9 is 99.9 %.
"""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

from domains.devops.expressions import ExpressionError, number
from domains.devops.values import show


def _share(slo: Fraction) -> Fraction:
    """What an objective leaves to fail, as a share of one."""
    if not 0 <= number(slo) < 100:
        raise ExpressionError(f"an objective from 0 to below 100 %, found {slo}")
    return 1 - slo / 100


def error_budget(slo: Fraction, days: Fraction) -> dict[str, Any]:
    """Minutes that may fail in a window of days."""
    window = number(days) * 1440
    return {"window": window, "share": _share(slo), "budget": window * _share(slo)}


def request_budget(slo: Fraction, requests: Fraction, failed: Fraction) -> dict[str, Any]:
    """Requests that may fail, how many are left, and the percentage of the budget consumed."""
    allowed = number(requests) * _share(slo)
    if allowed == 0:
        raise ExpressionError("no request may fail")
    return {"share": _share(slo), "allowed": allowed, "left": allowed - failed, "consumed": failed / allowed * 100}


def burn_rate(slo: Fraction, errors: Fraction, days: Fraction) -> dict[str, Any]:
    """How many times faster than allowed `errors` % consume the budget, and the hours until a full one is gone."""
    burn = number(errors) / 100 / _share(slo)
    if burn <= 0:
        raise ExpressionError("nothing burns")
    return {"share": _share(slo), "burn": burn, "hours": number(days) * 24 / burn}


def series(parts: list[Fraction]) -> dict[str, Any]:
    """All parts are needed: the product of their availabilities."""
    return {
        "availability": prod(parts) / Fraction(100) ** (len(parts) - 1),
        "product": " * ".join(show(part / 100) for part in parts),
    }


def parallel(part: Fraction, copies: Fraction) -> dict[str, Any]:
    """One of `copies` independent parts is enough: all must be down at once."""
    down = 1 - number(part) / 100
    all_down = down ** int(copies)
    return {"down": down, "all_down": all_down, "availability": (1 - all_down) * 100}
