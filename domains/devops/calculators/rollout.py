"""Rolling updates (Kubernetes documentation, Deployments: maxSurge is rounded up, maxUnavailable down)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from domains.devops.expressions import ExpressionError, whole


def rolling_update(replicas: Fraction, surge_percent: Fraction, unavailable_percent: Fraction) -> dict[str, Any]:
    """The most pods and the fewest available ones during an update."""
    count = whole(replicas, 1, 100_000)
    surge = math.ceil(count * surge_percent / 100)
    unavailable = math.floor(count * unavailable_percent / 100)
    if surge == unavailable == 0:
        raise ExpressionError("maxSurge and maxUnavailable cannot both be 0")
    found = {"surge": surge, "unavailable": unavailable, "most": count + surge, "least": count - unavailable}
    return {key: Fraction(value) for key, value in found.items()}


def rollout_waves(hosts: Fraction, batch: Fraction, minutes: Fraction) -> dict[str, Any]:
    """Batches of a fleet, one after the other."""
    waves = math.ceil(Fraction(whole(hosts, 1), whole(batch, 1)))
    return {"waves": Fraction(waves), "time": waves * minutes}
