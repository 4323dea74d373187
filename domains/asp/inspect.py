"""What clingo says of a program without a reference, on the facts that the problem shows; and how a model is asked once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domains.asp.check import LIMITS
from domains.asp.extract import MAX_TEXT, program_of
from domains.asp.problems import by_statement
from domains.asp.program import MAX_CHARACTERS
from domains.asp.repair import again as say_again
from domains.asp.repair import look
from domains.asp.turns import SYSTEM_PROMPT
from domains.base import Verdict, last_said
from truemark import sandbox

WHOLE = "Write the whole program"
_FACTS = "Example facts:"
_REASONS = {"endless": "timeout"}
_OF_CLINGO = ("syntax", "unsafe", "forbidden")
"""Findings of which clingo's own message may be told: it is about the program alone."""


def question(messages: Sequence[Mapping[str, str]]) -> str:
    """The problem whose whole program is asked for; empty where it is another rule of a conversation."""
    if any(message["role"] == "assistant" for message in messages):
        return ""
    said = last_said(messages)
    return _statement(messages) if said.startswith(WHOLE) and _statement(messages) else said


def inspect(messages: Sequence[Mapping[str, str]], answer: str) -> Verdict | None:
    """Does clingo read it, ground it, and find an answer set with the rules so far on the example facts? Not whether it is the right one."""
    program = program_of(answer[:MAX_TEXT])
    if len(program) > MAX_CHARACTERS:
        return Verdict(0.0, False, "too_large", {"message": f"a program of more than {MAX_CHARACTERS} characters"})
    problem = by_statement(_statement(messages) or last_said(messages))
    facts = problem.facts[0] if problem else _facts(_statement(messages) or last_said(messages))
    show = problem.show if problem else []
    given = "\n".join(program_of(message["content"]) for message in messages if message["role"] == "assistant")
    finding, message = look(program, {"instances": [facts or ""], "show": show, "given": given})
    if finding == "unsatisfiable" and facts is None:
        return Verdict(
            1.0, True, "ok", {"message": "clingo reads and grounds it; the problem shows no facts to solve it on"}
        )
    if finding == "ok" or (finding == "empty" and program and not show):
        return Verdict(1.0, True, "ok", {"message": "clingo runs it and finds an answer set"})
    said = message or "clingo finds no answer set on the example facts"
    return Verdict(0.0, False, _REASONS.get(finding, finding), {"message": said[:300], "clingo": message[:1500]})


def again(messages: Sequence[Mapping[str, str]], answer: str, verdict: Verdict, hint: str) -> list[dict[str, str]]:
    """The messages that ask for a repair, as the training data puts it: the program and clingo's message stand in the last question's place."""
    message = str(verdict.detail.get("clingo") or hint) if verdict.reason in _OF_CLINGO else hint
    message = "" if verdict.reason == "unsatisfiable" else message  # said by FEEDBACK
    program = program_of(answer[:MAX_TEXT])[:MAX_CHARACTERS]
    say = say_again(last_said(messages), program, verdict.reason, message)
    at = max(index for index, one in enumerate(messages) if one["role"] == "user")
    return [*map(dict, messages[:at]), {"role": "user", "content": say}]


def _statement(messages: Sequence[Mapping[str, str]]) -> str:
    said = next((message["content"] for message in messages if message["role"] == "system"), "")
    return said.removeprefix(SYSTEM_PROMPT).strip()


def _facts(statement: str) -> str | None:
    """The example facts of a problem that clingo reads as facts; None where there are none."""
    _, found, facts = statement.rpartition(_FACTS)
    if not found or len(facts) > MAX_CHARACTERS:
        return None
    try:
        read = sandbox.call("domains.asp.solving:answers", facts, "", [], limits=LIMITS)
    except sandbox.SandboxFailed:
        return None
    return None if read["stopped"] else facts
