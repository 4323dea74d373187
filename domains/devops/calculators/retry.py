"""Retries: capped exponential backoff without jitter, worst-case latency, amplification through layers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from domains.devops.expressions import number, whole


def _delays(base: Fraction, factor: Fraction, retries: Fraction, cap: Fraction) -> list[Fraction]:
    count, ratio = whole(retries, 1, 30), whole(factor, 1, 10)
    return [min(number(base) * ratio**attempt, number(cap)) for attempt in range(count)]


def backoff(base: Fraction, factor: Fraction, retries: Fraction, cap: Fraction) -> dict[str, Any]:
    """Waits before each retry, their sum, and how many are cut at the cap."""
    delays = _delays(base, factor, retries, cap)
    cut = sum(base * factor**attempt > cap for attempt in range(len(delays)))
    return {"delays": delays, "total": sum(delays, Fraction(0)), "capped": Fraction(cut)}


def worst_latency(timeout: Fraction, base: Fraction, factor: Fraction, retries: Fraction) -> dict[str, Any]:
    """Every attempt runs into the timeout, with uncapped waits between them."""
    delays = _delays(base, factor, retries, Fraction(10) ** 9)
    attempts, waiting = len(delays) + 1, sum(delays, Fraction(0))
    total = attempts * number(timeout) + waiting
    return {"attempts": Fraction(attempts), "waiting": waiting, "delays": delays, "total": total}


def amplification(layers: Fraction, retries: Fraction) -> dict[str, Any]:
    """Calls at the bottom when each of `layers` services tries `retries` times again."""
    attempts = whole(retries, 0, 20) + 1
    return {"attempts": Fraction(attempts), "calls": Fraction(attempts ** whole(layers, 1, 10))}
