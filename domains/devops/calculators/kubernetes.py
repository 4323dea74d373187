"""Kubernetes resource quantities, packing of pods on a node and the autoscaler's formula (Kubernetes documentation: Resource Management for Pods and
Containers; Horizontal Pod Autoscaling)."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from domains.devops.expressions import ExpressionError, number, whole

_CPU = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(m?)")
_MEMORY = re.compile(r"([0-9]{1,12})(Ki|Mi|Gi|Ti|k|M|G|T)?")
_SCALE = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, None: 1}


def cpu(text: str) -> Fraction:
    """Cores in `250m` or `1.5`."""
    match = _CPU.fullmatch(text)
    if match is None:
        raise ExpressionError(f"{text[:20]!r} is no quantity of CPU")
    return Fraction(match[1]) / (1000 if match[2] else 1)


def memory(text: str) -> Fraction:
    """Bytes in `512Mi`."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise ExpressionError(f"{text[:20]!r} is no quantity of memory")
    return Fraction(match[1]) * _SCALE[match[2]]


def show_cpu(cores: Fraction) -> str:
    """`3/4` → `750m`, `2` → `2`."""
    return str(cores) if cores.denominator == 1 else f"{whole(cores * 1000)}m"


def show_memory(size: Fraction) -> str:
    """Bytes in the largest binary unit that leaves a whole number."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if size and (size / _SCALE[unit]).denominator == 1:
            return f"{size / _SCALE[unit]}{unit}"
    return str(size)


def pod_requests(cpu1: str, cpu2: str, memory1: str, memory2: str, replicas: Fraction) -> dict[str, Any]:
    """What a deployment of pods of two containers requests."""
    pod_cpu, pod_memory = cpu(cpu1) + cpu(cpu2), memory(memory1) + memory(memory2)
    count = whole(replicas, 1, 10_000)
    return {
        "pod_cpu": f"{whole(pod_cpu * 1000)}m",
        "pod_memory": f"{whole(pod_memory / 2**20)}Mi",
        "cpu": show_cpu(pod_cpu * count),
        "memory": show_memory(pod_memory * count),
    }


def pods_per_node(node_cpu: str, node_memory: str, pod_cpu: str, pod_memory: str) -> dict[str, Any]:
    """How many pods fit by their requests, and what runs out first."""
    by_cpu = math.floor(cpu(node_cpu) / cpu(pod_cpu))
    by_memory = math.floor(memory(node_memory) / memory(pod_memory))
    return {
        "by_cpu": Fraction(by_cpu),
        "by_memory": Fraction(by_memory),
        "pods": Fraction(min(by_cpu, by_memory)),
        "limit": "CPU" if by_cpu < by_memory else "memory" if by_memory < by_cpu else "both",
        "millis": cpu(node_cpu) * 1000,
        "pod_millis": cpu(pod_cpu) * 1000,
        "mebi": memory(node_memory) / 2**20,
        "pod_mebi": memory(pod_memory) / 2**20,
    }


def desired_replicas(replicas_now: Fraction, metric: Fraction, target: Fraction) -> dict[str, Any]:
    """ceil(replicas * metric / target), the autoscaler's rule without its tolerance."""
    ratio = number(metric) / number(target)
    return {"ratio": ratio, "replicas": Fraction(math.ceil(replicas_now * ratio))}
