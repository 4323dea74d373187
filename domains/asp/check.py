"""The verdict on one program: syntax, safety, satisfiability, and the same answer sets as the reference on every instance.

One sandbox call judges all instances. What comes back decides the reason, in this order: the first stage that fails.
"""

from __future__ import annotations

from typing import Any

from domains.asp.extract import MAX_TEXT, program_of
from domains.asp.program import MAX_CHARACTERS
from domains.base import Example, Verdict
from truemark import sandbox

REASONS = {
    "ok": "the same answer sets as the reference on every instance",
    "empty": "no rule in the text",
    "syntax": "clingo's parser does not read it",
    "forbidden": "it holds what no answer may: #script, #include, #external, parts, theories, @functions, control characters",
    "facts": "it states facts that instances bring: right, if at all, on the instance they were copied from",
    "unsafe": "clingo reads it and cannot ground it: an unsafe variable or another error of grounding",
    "unsatisfiable": "no answer set on an instance where the reference has one",
    "wrong_answer_sets": "other answer sets than the reference on an instance",
    "wrong_optimum": "another optimal value than the reference, or it optimises where that is not asked, or the other way round",
    "timeout": "the search did not end within the limits",
    "too_large": "the text, its nesting or its grounding is beyond the limits",
    "reference": "the reference itself cannot be solved: nothing is said of the answer",
}
LIMITS = sandbox.Limits(cpu_seconds=6, wall_seconds=40, memory_mib=768)
"""Processor time and memory end what the limits inside (`domains/asp/solving.py`) do not: a grounding that yields no rules."""


def check(prediction: str, example: Example) -> Verdict:
    """Judge the program in a model's text. Never raises on hostile text.

    `meta["given"]` is put before both the answer and the reference; `meta["instances"]` are fact texts, `meta["show"]` the
    signatures that answer sets are compared on. Where `meta` has no instances, they are those of the bank's problem whose program
    the reference is. `detail` has syntax, safe and satisfiable (None: not reached), `equivalent` (one Boolean per instance
    that was reached), clingo's message, and the program that was judged.
    """
    meta = _meta(example)
    if len(prediction) > MAX_TEXT:
        return _failed("too_large", f"more than {MAX_TEXT} characters", {})
    program = program_of(prediction)
    if len(program) > MAX_CHARACTERS:
        return _failed("too_large", f"a program of more than {MAX_CHARACTERS} characters", {})
    if not program:
        return _failed("empty", REASONS["empty"], {})
    arguments = (program, meta.get("given", ""), example["reference"], meta["instances"], meta.get("show", []))
    try:
        report = sandbox.call("domains.asp.solving:judge", *arguments, limits=LIMITS)
    except sandbox.SandboxFailed as failure:
        reason = "timeout" if failure.kind == "timeout" else "too_large"
        return _failed(reason, str(failure), {"program": program})
    return _verdict(report, program)


def _meta(example: Example) -> dict[str, Any]:
    if "instances" in example["meta"]:
        return example["meta"]
    from domains.asp.problems import by_program

    problem = by_program(example["reference"])
    if problem is None:
        return {**example["meta"], "instances": [""], "show": example["meta"].get("show", [])}
    return {**example["meta"], "instances": problem.facts, "show": problem.show}


def _verdict(report: dict[str, Any], program: str) -> Verdict:
    instances = report["instances"]
    detail: dict[str, Any] = {
        "syntax": report["syntax"],
        "safe": report["safe"],
        "satisfiable": all(one["satisfiable"] or not one["wanted_satisfiable"] for one in instances) if instances else None,
        "equivalent": [one["same_sets"] and one["same_optimum"] for one in instances],
        "clingo": report["clingo"],
        "program": program,
    }  # fmt: skip
    stopped = report.get("stopped")
    if stopped == "forbidden":
        detail.pop("program")  # what is refused is not repeated
    if stopped is not None:
        return _failed(stopped, report["clingo"] or REASONS[stopped], detail)
    for number, one in enumerate(instances, 1):
        reason, message = _difference(one)
        if reason is not None:
            return _failed(reason, f"instance {number}: {message}", detail)
    return Verdict(1.0, True, "ok", {"message": REASONS["ok"], **detail})


def _difference(one: dict[str, Any]) -> tuple[str | None, str]:
    """Reason and words for one instance, or None. Says how many answer sets differ, never which."""
    if one["wanted_satisfiable"] and not one["satisfiable"]:
        return "unsatisfiable", "no answer set, where the reference has one"
    if one["optimises"] == [False, True] and one["satisfiable"]:
        return "wrong_optimum", "nothing is optimised, where the problem asks for it"
    if one["optimises"] == [True, False] and one["wanted_satisfiable"]:
        return "wrong_optimum", "something is optimised, where the problem does not ask for it"
    if not one["same_optimum"]:
        return "wrong_optimum", "another optimal value"
    if not one["same_sets"]:
        return "wrong_answer_sets", f"at least {one['extra']} answer sets too many, {one['missing']} missing"
    return None, ""


def _failed(reason: str, message: str, detail: dict[str, Any]) -> Verdict:
    return Verdict(0.0, False, reason, {"message": message, **detail})
