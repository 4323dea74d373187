"""What can be said of a solution where the question cannot be solved here: whether a step is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domains.base import Verdict, last_said
from domains.math.steps import examine


def inspect(messages: Sequence[Mapping[str, str]], answer: str) -> Verdict | None:
    """The step check's verdict; None where it can follow no line. The final answer is not judged."""
    steps = examine(answer, last_said(messages))
    wrong = next((step for step in steps if step.status == "wrong"), None)
    if wrong is not None:
        message = f"line {wrong.number} is wrong, {wrong.why}: {wrong.text}"[:300]
        detail = {
            "message": message,
            "first_wrong_step": wrong.number,
            "step": wrong.text[:200],
            "why": wrong.why[:200],
        }
        return Verdict(0.0, False, "wrong_step", detail)
    right = sum(step.status == "right" for step in steps)
    if not right:
        return None
    return Verdict(1.0, True, "ok", {"message": f"{right} of {len(steps)} lines hold, and none was found wrong"})
