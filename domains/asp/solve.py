"""What the domain knows without a model: the bank's own problems, found by their statement."""

from __future__ import annotations

from domains.asp.problems import by_statement
from domains.base import Solution


def solve(question: str) -> Solution | None:
    """The reference program of the problem with this statement; None for any other question."""
    problem = by_statement(question)
    if problem is None:
        return None
    meta = {"instances": problem.facts, "show": problem.show}
    return Solution(text=problem.program, reference=problem.program, meta=meta)
