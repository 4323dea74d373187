"""The verdict on one answer: read it, then decide equivalence with the reference.

Numbers and polynomials are compared here, exactly and within bounds; what that does not decide goes to SymPy in the sandbox, all
comparisons of an answer in one call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from domains.base import Example, Verdict
from domains.contamination import repeats_question
from domains.math.answers import MAX_ANSWER, Part, final_answer, read_answer, read_prose
from domains.math.expressions import TooLarge, Tree, Unparsable, is_number, to_fraction, variables
from domains.math.forms import FORMS, has_form
from domains.math.grids import Grid, looks_like_grid, read_grid
from domains.math.polynomials import same, same_up_to_constant
from domains.math.regions import Region, ends, looks_like_region, read_region, shape
from domains.math.steps import first_wrong
from truemark import sandbox
from truemark.errors import InvalidData

REASONS = {
    "ok": "the final answer equals the reference",
    "wrong_step": "a step is wrong; where the final answer equals the reference all the same, it passes with half the score",
    "wrong_value": "the final answer is another value",
    "wrong_variable": "the value is given for another variable",
    "missing_value": "fewer values than the reference has",
    "extra_value": "more values than the reference has",
    "not_evaluated": "the final answer is a computation where a number is asked for",
    "not_simplified": "the final answer has the right value but is not simplified",
    "not_factored": "the final answer has the right value but is not a product of as many factors",
    "unsolved": "the final answer is an equation that does not hold, or is not solved for the unknown",
    "no_answer": "no final answer in the text",
    "unparsable": "the final answer is not an expression",
    "too_large": "the text or a number in it is beyond the limits",
    "timeout": "SymPy did not decide within the limits of time",
    "undecided": "SymPy failed on the final answer",
}
_LETTER_UNIT = re.compile(r"(?<=\d)\s(?:[mghslLtVWJN]|\\text\{[a-zA-Z]\})(?:\^?\{?[23]\}?|[²³])?\s*\$?\.?$")
"""`36 m²` where a number is asked for; `36m` may be a product."""
LIMITS = sandbox.Limits(cpu_seconds=4, wall_seconds=90, memory_mib=1024)
"""Processor time decides, so that a verdict does not depend on what else the machine does."""


class _Failed(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check(prediction: str, example: Example) -> Verdict:
    """Judge a model's text: passed by its final answer, the score by its steps too. Never raises on hostile text; InvalidData for a
    reference that is no answer.

    `1/2`, `0.5`, `\\frac12` and `x = 1/2` are one answer; decimals are exact (0.33 is not 1/3). Antiderivatives (a reference with
    a constant C) are compared up to a constant; roots as sets; unknowns by name, or in the reference's order when unnamed. Units, currency
    and percent signs are ignored.
    """
    try:
        wanted = read(example["reference"])
    except (Unparsable, TooLarge) as error:
        raise InvalidData(f"example {example['id']!r}: the reference {example['reference']!r}: {error}") from None
    answer: str | None = None
    try:
        if repeats_question(prediction, example):
            raise _Failed("no_answer", "the question again")
        answer = final_answer(prediction)
        if answer is None:
            raise _Failed("no_answer", "no `Answer:` line and no value in the last line")
        if answer != example["reference"]:
            _judge(answer, wanted, example["meta"].get("form"))
        return _passed(answer, _wrong_step(prediction, example))
    except _Failed as failed:
        reason, message = failed.reason, str(failed)
    except Unparsable as error:
        reason, message = "unparsable", f"cannot read the final answer: {error}"
    except (TooLarge, RecursionError) as error:
        reason, message = "too_large", str(error)
    except ZeroDivisionError:
        reason, message = "wrong_value", "the final answer divides by zero"
    except sandbox.SandboxFailed as failure:
        reason, message = _reason(failure), str(failure)
    detail = {"message": message[:300], "answer": answer[:200] if answer else None}
    return Verdict(0.0, False, reason, detail | _wrong_step(prediction, example))


def _passed(answer: str, step: dict[str, Any]) -> Verdict:
    if not step:
        return Verdict(1.0, True, "ok", {"message": REASONS["ok"], "answer": answer})
    message = f"the right answer by a wrong step: line {step['first_wrong_step']}, {step['why']}"
    return Verdict(0.5, True, "wrong_step", {"message": message[:300], "answer": answer, **step})


def _wrong_step(prediction: str, example: Example) -> dict[str, Any]:
    """`first_wrong_step` (counted from 1 among the lines that are not blank), `step` and `why`; empty where no step is found wrong."""
    asked_last = next((m["content"] for m in reversed(example["messages"]) if m["role"] == "user"), "")
    step = first_wrong(prediction, asked_last)
    return {"first_wrong_step": step.number, "step": step.text[:200], "why": step.why[:200]} if step else {}


def read(reference: str) -> list[Part] | Region | Grid:
    """A reference as what it is: values, a set of numbers or a matrix. Raises Unparsable or TooLarge."""
    if looks_like_grid(reference):
        return read_grid(reference)
    return read_region(reference) if looks_like_region(reference) else read_answer(reference)


def _judge(answer: str, wanted: list[Part] | Region | Grid, form: str | None) -> None:
    """Raise _Failed unless the answer is the one that is wanted."""
    if len(answer) > MAX_ANSWER:
        raise TooLarge(f"an answer of {len(answer)} characters, at most {MAX_ANSWER}")
    if isinstance(wanted, Region):
        _compare_regions(read_region(answer), wanted)
    elif isinstance(wanted, tuple):
        _compare_grids(read_grid(answer), wanted)
    else:
        if all(to_fraction(part.tree) is not None for part in wanted):
            answer = _LETTER_UNIT.sub("", answer)
        found = _values(answer)
        _compare(found, wanted)
        if form in FORMS and not all(has_form(form, part.tree, wanted[0].tree) for part in found):
            raise _Failed(FORMS[form], REASONS[FORMS[form]])


def _compare_regions(found: Region, wanted: Region) -> None:
    if found.variable and wanted.variable and found.variable.lower() != wanted.variable.lower():
        raise _Failed("wrong_variable", f"expected an inequality in {wanted.variable}")
    if shape(found) != shape(wanted):
        raise _Failed("wrong_value", "the final answer is another set of numbers")
    pairs = list(zip(ends(found), ends(wanted), strict=True))
    if not all(_equal(pairs, None)):
        raise _Failed("wrong_value", "the final answer is another set of numbers")
    _all_evaluated(pairs)


def _compare_grids(found: Grid, wanted: Grid) -> None:
    if [len(row) for row in found] != [len(row) for row in wanted]:
        raise _Failed("wrong_value", f"expected {len(wanted)} rows and {len(wanted[0])} columns")
    pairs = [pair for rows in zip(found, wanted, strict=True) for pair in zip(*rows, strict=True)]
    if not all(_equal(pairs, None)):
        raise _Failed("wrong_value", "the final answer is another matrix")
    _all_evaluated(pairs)


def _all_evaluated(pairs: list[tuple[Tree, Tree]]) -> None:
    for a, b in pairs:
        if to_fraction(b) is not None and not is_number(a):
            raise _Failed("not_evaluated", REASONS["not_evaluated"])


def _values(answer: str) -> list[Part]:
    """The values of the final answer; of a sentence, those it ends in."""
    if looks_like_grid(answer):
        raise Unparsable("a matrix")
    try:
        return read_answer(answer)
    except Unparsable:
        if len(answer.split()) < 3:
            raise
        return read_prose(answer)


def _reason(failure: sandbox.SandboxFailed) -> str:
    if failure.kind in ("memory", "output") or failure.error in ("TooLarge", "RecursionError"):
        return "too_large"
    return "timeout" if failure.kind == "timeout" else "undecided"


def _compare(found: list[Part], wanted: list[Part]) -> None:
    """Raise _Failed unless the two answers are one."""
    if len({part.variable for part in wanted}) > 1:
        pairs = _by_name(found, wanted)
    else:
        if any(a.variable and b.variable and _other_name(a, b) for a in found for b in wanted):
            raise _Failed("wrong_variable", f"expected a value of {wanted[0].variable}")
        pairs = [(a, b) for a in found for b in wanted]
    chained = [(part.tree, other) for part in found for other in part.chain]
    equal = _equal([*((a.tree, b.tree) for a, b in pairs), *chained], _integration_variable(wanted))
    if not all(equal[len(pairs) :]):
        raise _Failed("unsolved", REASONS["unsolved"])
    _all_matched(found, wanted, [pair for pair, same in zip(pairs, equal, strict=False) if same])
    _all_evaluated([(a.tree, b.tree) for a, b in pairs])


def _by_name(found: list[Part], wanted: list[Part]) -> list[tuple[Part, Part]]:
    """The values of each unknown side by side; in the reference's order where no name is given."""
    if len(found) != len(wanted):
        reason = "missing_value" if len(found) < len(wanted) else "extra_value"
        raise _Failed(reason, f"expected {len(wanted)} values, found {len(found)}")
    if not any(part.variable for part in found):
        return list(zip(found, wanted, strict=True))
    named = {(part.variable or "").lower(): part for part in found}
    if set(named) != {(part.variable or "").lower() for part in wanted}:
        raise _Failed("wrong_variable", f"expected {' and '.join(str(part.variable) for part in wanted)}")
    return [(named[(part.variable or "").lower()], part) for part in wanted]


def _other_name(one: Part, other: Part) -> bool:
    return (one.variable or "").lower() != (other.variable or "").lower()


def _all_matched(found: Sequence[Part], wanted: Sequence[Part], same: list[tuple[Part, Part]]) -> None:
    extra = [part for part in found if not any(part is a for a, _ in same)]
    missing = [part for part in wanted if not any(part is b for _, b in same)]
    if extra and missing:
        raise _Failed("wrong_value", "the final answer is another value than the reference")
    if missing:
        raise _Failed("missing_value", f"expected {len(wanted)} values, found {len(found)}")
    if extra:
        raise _Failed("extra_value", f"expected {len(wanted)} values, found {len(found)}")


def _equal(pairs: list[tuple[Tree, Tree]], constant_in: str | None) -> list[bool]:
    """Whether each pair is one value. Raises TooLarge, ZeroDivisionError or SandboxFailed."""
    verdicts: list[bool | None] = []
    for one, other in pairs:
        a, b = to_fraction(one), to_fraction(other)
        if a is not None and b is not None:
            verdicts.append(a == b)
        else:
            verdicts.append(same_up_to_constant(one, other, constant_in) if constant_in else same(one, other))
    unknown: list[Any] = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict is None]
    if unknown:
        decided = iter(sandbox.call("domains.math.equivalence:match", unknown, constant_in, limits=LIMITS))
        return [bool(next(decided)) if verdict is None else verdict for verdict in verdicts]
    return [bool(verdict) for verdict in verdicts]


def _integration_variable(wanted: list[Part]) -> str | None:
    """The variable of an antiderivative, told by the constant C in the reference."""
    names = variables(wanted[0].tree)
    return next(iter(sorted(names - {"C"}))) if "C" in names and len(names) > 1 else None
