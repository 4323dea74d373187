"""Reasoning blueprints: terse technical questions whose every claim is computed. Operations, physics, computer science and finance ship; a new domain is a YAML file."""

from __future__ import annotations

from domains.base import Card
from domains.base import last_said as question
from domains.devops.build import LEVELS, build, expand
from domains.devops.check import REASONS, check
from domains.devops.inspect import inspect
from domains.devops.solve import solve

__all__ = [
    "CARD",
    "LEVELS",
    "METRICS",
    "NAME",
    "REASONS",
    "SLICES",
    "SYSTEM_PROMPT",
    "build",
    "check",
    "expand",
    "inspect",
    "messages",
    "question",
    "solve",
]

NAME = "devops"
SYSTEM_PROMPT = "Reason in short computed lines. End with `Answer:`."
SLICES = {
    "numbers": "trained patterns, new slot values",
    "patterns": "patterns that were never trained on",
}
METRICS = ("accuracy", "solver_checks", "step_checks", "exact_match", "tokens_per_second")
CARD = Card(
    title="DevOps",
    description="Subnets, schedules, permissions, error budgets, capacity, quorums, and the formulas of physics, computer science and finance. Every claim is computed and checked exactly.",
    examples=(
        "Network address, broadcast and netmask of 10.20.37.5/21?",
        "SLO 99.9% over 30 days. Error budget in minutes?",
        "Cron `*/15 9-17 * * 1-5`, now 2026-03-06 17:50 UTC. Next run?",
        "Mode 0640 in rwx letters?",
        "3 replicas; app 500m/512Mi, sidecar 100m/128Mi. Total CPU and memory requests?",
        "etcd cluster of 5 members: quorum size, members that may fail?",
        "A force of 100 N acts on a 8 kg cart. Acceleration in m/s^2?",
        "90% parallel, 16 cores. Speed-up, and its limit for endless cores?",
        "Loan 20000 USD, 6% nominal, 5 years, equal monthly payments. Payment in USD?",
    ),
)


def messages(question: str) -> list[dict[str, str]]:
    """The messages that put a question to the model; the template brings the system prompt."""
    return [{"role": "user", "content": question}]
