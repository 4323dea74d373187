"""The repair loop: generate, ask clingo, feed back what it says, generate again, at most k times.

What is fed back comes from clingo and the one instance that the prompt shows: never from the reference, from a hidden instance or from the
verdict. So a loop that ends may end in a wrong program; verdicts are of each attempt, for the two figures: pass@1 and repair@k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from domains.asp.check import LIMITS, check
from domains.asp.extract import MAX_TEXT, program_of
from domains.asp.program import MAX_CHARACTERS
from domains.base import Example, Verdict, asked
from truemark import sandbox

Complete = Callable[[list[dict[str, str]]], str]
"""Messages in, the answer's text out: `domains.endpoint.Endpoint(…).complete`, or any model."""
FEEDBACK = {
    "syntax": "clingo cannot read it:",
    "unsafe": "clingo cannot ground it:",
    "forbidden": "It may not hold this:",
    "unsatisfiable": "clingo finds no answer set on the example facts: the constraints are too strong.",
    "empty": "clingo derives none of the atoms asked for on the example facts.",
    "endless": "clingo does not come to an end on the example facts:",
    "warning": "clingo runs it with a warning:",
}
"""Finding → what a model is told before clingo's own message. `ok` ends the loop."""


@dataclass(frozen=True)
class Attempt:
    text: str
    """The model's answer."""
    program: str
    finding: str
    """`ok` or a key of FEEDBACK: what clingo found without the reference."""
    message: str
    """clingo's."""
    verdict: Verdict
    """The check's. Not fed back."""


def repair(example: Example, complete: Complete, k: int = 3) -> list[Attempt]:
    """The first attempt and at most k repairs, up to the first of which clingo has nothing to say."""
    [*before, question] = asked(example)
    attempts = [_attempt(complete([*before, question]), example)]
    while attempts[-1].finding != "ok" and len(attempts) <= k:
        last = attempts[-1]
        say = again(question["content"], last.program[:MAX_CHARACTERS], last.finding, last.message)
        attempts.append(_attempt(complete([*before, {"role": "user", "content": say}]), example))
    return attempts


def again(say: str, program: str, finding: str, message: str) -> str:
    """The user's turn that asks once more: the instruction, the program and what is wrong with it.

    It takes the place of the first question, so a prompt does not grow with the attempts.
    """
    said = f"{FEEDBACK.get(finding, '')}\n{message}".strip()
    return f"{say}\n\nThis was written:\n{program}\n\n{said}\n\nMend it."


def finding(found: dict[str, Any]) -> str:
    """What `domains.asp.solving:answers` found, as a key of FEEDBACK or `ok`."""
    stopped = found["stopped"]
    if stopped is not None:
        return stopped if stopped in FEEDBACK else "endless"
    if not found["sets"]:
        return "unsatisfiable"
    return "ok" if any(found["sets"]) else "empty"


def _attempt(text: str, example: Example) -> Attempt:
    program = program_of(text[:MAX_TEXT])
    kind, message = look(program, example["meta"])
    return Attempt(text, program, kind, message, check(text, example))


def look(program: str, meta: Mapping[str, Any]) -> tuple[str, str]:
    """Finding and clingo's message on the first of `meta["instances"]`, the one that the prompt shows."""
    if not program:
        return "empty", "no rule was written"
    if len(program) > MAX_CHARACTERS:
        return "endless", f"a program of more than {MAX_CHARACTERS} characters"
    try:
        found = sandbox.call(
            "domains.asp.solving:answers", program, meta["instances"][0], meta["show"], meta.get("given", ""), limits=LIMITS
        )  # fmt: skip
    except sandbox.SandboxFailed as failure:
        return "endless", str(failure)
    return finding(found), found["message"]


def repair_all(examples: Iterable[Example], complete: Complete, k: int = 3) -> list[list[Attempt]]:
    """The attempts at every example, one after another."""
    return [repair(example, complete, k) for example in examples]


def summary(runs: Sequence[Sequence[Attempt]], k: int) -> dict[str, Any]:
    """pass@1 (the first attempts) and repair@k (the last of each), apart; the findings of the first attempts; attempts used."""
    if not runs:
        return {"examples": 0, "k": k, "pass@1": None, f"repair@{k}": None, "attempts": None, "findings": {}}
    firsts = [run[0].finding for run in runs]
    return {
        "examples": len(runs),
        "k": k,
        "pass@1": mean(run[0].verdict.passed for run in runs),
        f"repair@{k}": mean(run[-1].verdict.passed for run in runs),
        "attempts": mean(len(run) for run in runs),
        "findings": {name: firsts.count(name) for name in ("ok", *FEEDBACK) if name in firsts},
    }
