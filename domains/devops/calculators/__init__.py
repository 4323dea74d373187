"""Calculators: what a step of a blueprint can compute beyond the expression language. One file per topic, one row per calculator.

    >>> run("subnet", {"net": "10.0.4.0/22"})["broadcast"]
    '10.0.7.255'

A calculator is a pure function of named values (Fraction, text, list) that returns named values; it raises ValueError (ExpressionError is one) for what it cannot take.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from truemark.errors import UnknownName

_HERE = "domains.devops.calculators"
CALCULATORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "subnet": ("network:subnet", ("network", "netmask", "broadcast", "first", "last", "usable", "total", "bits")),
    "subnet_split": ("network:subnet_split", ("count", "nth", "size")),
    "prefix_for_hosts": ("network:prefix_for_hosts", ("prefix", "bits", "size", "usable", "needed")),
    "contains": ("network:contains", ("inside", "first", "last")),
    "supernet": ("network:supernet", ("joined", "count", "bits")),
    "cron_next": ("cron:next_run", ("run", "weekday", "meaning")),
    "cron_previous": ("cron:previous_run", ("run", "weekday", "meaning")),
    "cron_runs": ("cron:runs", ("runs", "per_day", "days", "meaning")),
    "mode_symbolic": ("permissions:mode_symbolic", ("text", "user", "group", "other")),
    "mode_octal": ("permissions:mode_octal", ("octal", "user", "group", "other")),
    "umask": ("permissions:umask", ("file", "directory")),
    "error_budget": ("slo:error_budget", ("window", "share", "budget")),
    "request_budget": ("slo:request_budget", ("share", "allowed", "left", "consumed")),
    "burn_rate": ("slo:burn_rate", ("share", "burn", "hours")),
    "series": ("slo:series", ("availability", "product")),
    "parallel": ("slo:parallel", ("availability", "down", "all_down")),
    "pod_requests": ("kubernetes:pod_requests", ("cpu", "memory", "pod_cpu", "pod_memory")),
    "pods_per_node": ("kubernetes:pods_per_node", ("by_cpu", "by_memory", "pods", "limit", "millis", "pod_millis", "mebi", "pod_mebi")),
    "desired_replicas": ("kubernetes:desired_replicas", ("ratio", "replicas")),
    "rolling_update": ("rollout:rolling_update", ("surge", "unavailable", "most", "least")),
    "rollout_waves": ("rollout:rollout_waves", ("waves", "time")),
    "majority": ("quorum:majority", ("quorum", "tolerated")),
    "members_for_failures": ("quorum:members_for_failures", ("crash", "byzantine")),
    "read_quorum": ("quorum:read_quorum", ("least",)),
    "in_flight": ("capacity:in_flight", ("seconds", "concurrency")),
    "instances": ("capacity:instances", ("usable", "raw", "instances")),
    "backoff": ("retry:backoff", ("delays", "total", "capped")),
    "worst_latency": ("retry:worst_latency", ("attempts", "waiting", "delays", "total")),
    "amplification": ("retry:amplification", ("attempts", "calls")),
    "raid": ("raid:raid", ("usable", "tolerated", "formula")),
    "percentile": ("percentile:nearest_rank", ("rank", "value", "count", "ordered")),
    "tail_at_scale": ("percentile:tail_at_scale", ("all_fast", "any_slow")),
    "retention": ("logs:retention", ("per_day", "days")),
}  # fmt: skip
"""Name → (`module:function`, the names it gives)."""


@lru_cache
def function(name: str) -> Callable[..., dict[str, Any]]:
    """The function of a calculator. Raises UnknownName."""
    if name not in CALCULATORS:
        raise UnknownName("calculator", name, CALCULATORS)
    module, _, attribute = CALCULATORS[name][0].partition(":")
    found: Callable[..., dict[str, Any]] = getattr(import_module(f"{_HERE}.{module}"), attribute)
    return found


@lru_cache
def needs(name: str) -> tuple[str, ...]:
    """The names a calculator takes."""
    return tuple(inspect.signature(function(name)).parameters)


def gives(name: str) -> tuple[str, ...]:
    """The names a calculator gives."""
    return CALCULATORS[name][1]


def run(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Compute. Raises ValueError."""
    return function(name)(**{key: values[key] for key in needs(name)})
