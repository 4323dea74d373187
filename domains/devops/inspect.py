"""What can be said of an answer where no shipped pattern fits the question: whether its arithmetic holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domains.base import Verdict
from domains.devops.answers import Refused, clean
from domains.devops.steps import first_wrong, holds


def inspect(messages: Sequence[Mapping[str, str]], answer: str) -> Verdict | None:
    """The verdict on the arithmetic of the lines; None where there is none to compute. The final answer is not judged."""
    try:
        text = clean(answer)
    except Refused as refusal:
        return Verdict(0.0, False, refusal.reason, {"message": str(refusal)})
    if wrong := first_wrong(text):
        line, words = wrong
        detail = {"message": f"line {line} does not hold: {words}", "first_wrong_step": line, "step": words}
        return Verdict(0.0, False, "wrong_value", detail)
    if not holds(text):
        return None
    return Verdict(1.0, True, "ok", {"message": "the arithmetic of its lines holds"})
