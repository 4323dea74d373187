"""Mathematics: sixteen topics in three difficulties and ten basic kinds, solved step by step, checked and solved with SymPy."""

from __future__ import annotations

from domains.base import Card
from domains.base import last_said as question
from domains.math.build import LEVELS, build
from domains.math.check import REASONS, check
from domains.math.inspect import inspect
from domains.math.plot import plot
from domains.math.solve import solve

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
    "inspect",
    "messages",
    "plot",
    "question",
    "solve",
]

NAME = "math"
SYSTEM_PROMPT = "Solve step by step."
SLICES = {
    "numbers": "trained wordings, new numbers",
    "wording": "wordings that were never trained on",
}
METRICS = ("accuracy", "solver_checks", "step_checks", "exact_match", "tokens_per_second")
CARD = Card(
    title="Math",
    description="Equations, derivatives, integrals, percentages, rates, fractions and word problems, step by step. SymPy checks every answer.",
    checker="SymPy",
    examples=(
        "Solve for x: 3x + 7 = 22",
        "What is 30% of 80?",
        "Find the derivative of 3x^4 - 2x^2 + 5.",
        "Solve the system: x + y = 15, x - y = 3",
        "What is 1/2 + 1/3?",
        "Find the roots of x^2 - 5x + 6 = 0.",
        "Ann buys 4 pens at $3 each and pays with $20. How much change is due?",
    ),
)


def messages(question: str) -> list[dict[str, str]]:
    """The messages that put a question to the model; the template brings the system prompt."""
    return [{"role": "user", "content": question}]
