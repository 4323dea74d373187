"""Share of answers in which the check finds no wrong step (`verdict.detail["first_wrong_step"]` is absent).

Says nothing of the final answer, and an answer without steps has no wrong one: read it beside accuracy. Answers that the check did not read
(`READ_NOT`) have no value.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.metrics.base import Answer, Share

READ_NOT = frozenset({"no_answer", "empty", "unparsable", "too_large", "timeout", "undecided", "reference"})
"""Reasons of verdicts that say nothing of steps."""


class StepChecks(Share):
    title = "step checks"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """1.0 without a wrong step; NaN where steps were not read."""
        return [_steps_hold(answer) for answer in answers]


def _steps_hold(answer: Answer) -> float:
    wrong = answer.verdict.detail.get("first_wrong_step")
    if wrong is None and answer.verdict.reason in READ_NOT:
        return float("nan")
    return float(wrong is None)
