"""The `truemark` field of chat: what a request may ask of a verified answer, and what the answer says of itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST = 8
"""Attempts of one request."""
USUAL = 3
"""Attempts where none are named."""
Outcome = Literal["verified", "solver", "unrefuted", "wrong", "unchecked"]
OUTCOMES: dict[Outcome, str] = {
    "verified": "the model's answer was compared with the domain's own solution and is right",
    "solver": "no attempt passed: the text is the domain's own solution (of math SymPy's), not the model's",
    "unrefuted": "there is no solution to compare with; what can be checked of the answer alone was, and nothing is wrong: no proof",
    "wrong": "no attempt passed, and there is no other answer: the text is the best attempt",
    "unchecked": "without a gold answer nothing could be checked: the text is the first attempt",
}


class Options(BaseModel):
    """`"truemark": {"verify": true, "attempts": 3}` in a request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verify: bool | None = None
    """The same as the model name `NAME:verified`."""
    attempts: int | None = Field(default=None, ge=1, le=MOST)
    """At most so many answers are generated."""
    feedback: bool | None = None
    """Whether a further attempt is told what is wrong, or the question is asked again as it was; default: as the domain's models are trained."""


class Judged(BaseModel):
    """A verdict of the domain's check."""

    score: float
    passed: bool
    reason: str
    """One of the domain's."""
    message: str
    first_wrong_step: int | None = None
    """Line of the answer, counted from 1."""

    @classmethod
    def of(cls, verdict: Any) -> Judged:
        """From a `domains.base.Verdict`."""
        return cls(
            score=verdict.score,
            passed=verdict.passed,
            reason=verdict.reason,
            message=str(verdict.detail.get("message") or verdict.reason)[:500],
            first_wrong_step=verdict.detail.get("first_wrong_step"),
        )


class Tried(BaseModel):
    """One attempt."""

    verdict: Judged | None
    """None where nothing could be checked, or it was cut off."""
    completion_tokens: int
    finish_reason: str | None


class Report(BaseModel):
    """The `truemark` field of an answer; in a stream it comes with the chunk that has the finish reason."""

    outcome: Outcome
    """One of OUTCOMES."""
    answered_by: Literal["model", "solver"]
    reason: str
    """The outcome in words."""
    checker: str
    """Who checked: `SymPy`."""
    attempts: int
    """Answers that were generated; `usage` counts the tokens of all."""
    verdict: Judged | None
    """Of the text that is returned; None where nothing could be checked, and of the solver's own."""
    tried: list[Tried]
