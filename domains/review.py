"""What a domain says of an answer to a question that nobody prepared: compared with its own solution, else looked at by itself.

    >>> from domains import get
    >>> review(get("math"), [{"role": "user", "content": "Solve for x: 3x + 7 = 22"}], "Answer: x = 5").outcome
    'verified'

`truemark ask`, the gateway's verified answers and their benchmark all ask here. A server runs it in the sandbox (`TARGET`): reading a question,
following steps, SymPy and clingo then share one limit of processor time, away from the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from domains.base import Domain, Solution, Verdict, judge
from truemark import sandbox

TARGET = "domains.review:of"
"""For `sandbox.call`, with a domain's name, the messages, the answer, and whether to look for a solution."""
LIMITS = sandbox.Limits(cpu_seconds=12, wall_seconds=60, memory_mib=1024)
"""Of one review: the limits of a solver's call for the solution and for the comparison, and the imports of a fresh worker."""
Messages = Sequence[Mapping[str, str]]
Outcome = Literal["verified", "unrefuted", "wrong", "unchecked"]
OUTCOMES: dict[Outcome, str] = {
    "verified": "it was compared with the domain's own solution and is right",
    "unrefuted": "the domain has no solution of its own; what can be checked of the answer alone was, and nothing is wrong: no proof that it is right",
    "wrong": "it differs from the domain's own solution, or a part of it that can be checked alone is wrong",
    "unchecked": "without a gold answer nothing of it can be checked",
}


@dataclass(frozen=True)
class Review:
    """A verdict, and what it stands on."""

    verdict: Verdict | None
    """None where nothing can be checked."""
    solution: Solution | None = None
    """The domain's own, that the answer was compared with; None where it has none."""
    hint: str = ""
    """What is wrong, for the model that is asked once more. Never holds the solution: else a second attempt would only copy it."""

    @property
    def outcome(self) -> Outcome:
        """One of OUTCOMES."""
        if self.verdict is None:
            return "unchecked"
        if not self.verdict.passed:
            return "wrong"
        return "verified" if self.solution else "unrefuted"

    @property
    def accepted(self) -> bool:
        """Passed, and by no wrong step: a reader follows the steps."""
        return self.verdict is not None and self.verdict.passed and "first_wrong_step" not in self.verdict.detail

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Review:
        """From `to_json`."""
        verdict, solution = data["verdict"], data["solution"]
        return cls(Verdict(**verdict) if verdict else None, Solution(**solution) if solution else None, data["hint"])


def review(domain: Domain, messages: Messages, answer: str, *, solve: bool = True) -> Review:
    """Judge an answer to the question in a conversation, without a gold answer. Without `solve` by what it shows of itself alone."""
    question = domain.question(messages)
    solution = domain.solve(question) if solve else None
    if solution is None:
        verdict = domain.inspect(messages, answer)
        return Review(verdict, None, _said(verdict) if verdict else "")
    verdict = judge(domain, question, answer, solution)
    return Review(verdict, solution, _told(domain, verdict))


def again(domain: Domain, messages: Messages, answer: str, found: Review) -> list[dict[str, str]]:
    """The messages that ask once more and say what is wrong: in the way of a domain's optional `again(messages, answer, verdict, hint)`."""
    own = getattr(domain, "again", None)
    if own is not None and found.verdict is not None:
        asked: list[dict[str, str]] = own(messages, answer, found.verdict, found.hint)
        return asked
    say = f"That is not right: {found.hint}. Answer the question once more."
    return [*map(dict, messages), {"role": "assistant", "content": answer}, {"role": "user", "content": say}]


def takes_hints(domain: Domain) -> bool:
    """Whether its models are trained to be told what is wrong: then it has an `again` of its own."""
    return hasattr(domain, "again")


def of(name: str, messages: list[dict[str, str]], answer: str, solve: bool = True) -> dict[str, Any]:
    """`review` as JSON, for a worker of the sandbox."""
    from domains import get

    return review(get(name), messages, answer, solve=solve).to_json()


def _said(verdict: Verdict) -> str:
    return str(verdict.detail.get("message") or verdict.reason)


def _told(domain: Domain, verdict: Verdict) -> str:
    """The reason alone: a verdict's message may name the value that was expected."""
    step = verdict.detail.get("first_wrong_step")
    return domain.REASONS.get(verdict.reason, verdict.reason) + (f"; line {step} is wrong" if step else "")
