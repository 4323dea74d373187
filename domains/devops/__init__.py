"""Reasoning blueprints: terse technical questions whose every claim is computed. Operations, physics, computer science and finance ship; a new domain is a YAML file."""

from __future__ import annotations

from domains.base import Card
from domains.devops.build import LEVELS, build, expand
from domains.devops.check import REASONS, check
from domains.devops.solve import solve

__all__ = ["CARD", "LEVELS", "NAME", "REASONS", "SLICES", "SYSTEM_PROMPT", "build", "check", "expand", "messages", "solve"]

NAME = "devops"
SYSTEM_PROMPT = "Reason in short computed lines. End with `Answer:`."
SLICES = {
    "numbers": "trained patterns, new slot values",
    "patterns": "patterns that were never trained on",
}
CARD = Card(
    title="DevOps",
    description="Subnets, schedules, permissions, error budgets, capacity, quorums, and the formulas of physics, computer science and finance. Every claim is computed and checked exactly.",
    examples=(),
)


def messages(question: str) -> list[dict[str, str]]:
    """The messages that put a question to the model; the template brings the system prompt."""
    return [{"role": "user", "content": question}]
