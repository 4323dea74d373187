"""The verdict on one answer: read it, then decide equivalence with the reference.

Plain numbers are compared as exact fractions here; everything else goes to SymPy in the sandbox.
"""

from __future__ import annotations

from typing import Any

from domains.base import Example, Verdict
from domains.math.answers import Part, final_answer, read_answer, read_prose
from domains.math.expressions import TooLarge, Unparsable, to_fraction
from truemark import sandbox

REASONS = {
    "ok": "the final answer equals the reference",
    "wrong_value": "the final answer is another value",
    "wrong_variable": "the value is given for another variable",
    "missing_value": "fewer values than the reference has",
    "extra_value": "more values than the reference has",
    "no_answer": "no final answer in the text",
    "unparsable": "the final answer is not an expression",
    "too_large": "the text or a number in it is beyond the limits",
    "timeout": "SymPy did not decide within the limits",
}
LIMITS = sandbox.Limits(cpu_seconds=4, wall_seconds=40, memory_mib=1024)


def check(prediction: str, example: Example) -> Verdict:
    """Judge a model's text by its final answer. Never raises on hostile text.

    Antiderivatives (a reference that ends in `+ C`) are compared up to a constant; roots in any order; unknowns by name.
    """
    reference = example["reference"]
    try:
        answer = final_answer(prediction)
        if answer is None:
            return _failed("no_answer", "no `Answer:` line and no value in the last line", None)
        if answer == reference:
            return Verdict(1.0, True, "ok", {"message": REASONS["ok"], "answer": answer})
        return _compare(_values(answer), read_answer(reference), answer)
    except Unparsable as error:
        return _failed("unparsable", f"cannot read the final answer: {error}", answer)
    except (TooLarge, RecursionError) as error:
        return _failed("too_large", str(error), None)
    except ZeroDivisionError:
        return _failed("wrong_value", "the final answer divides by zero", answer)


def _values(answer: str) -> list[Part]:
    """The values of the final answer; of a sentence, those it ends in."""
    try:
        return read_answer(answer)
    except Unparsable:
        if len(answer.split()) < 3:
            raise
        return read_prose(answer)


def _compare(found: list[Part], wanted: list[Part], answer: str) -> Verdict:
    if len(found) != len(wanted):
        reason = "missing_value" if len(found) < len(wanted) else "extra_value"
        return _failed(reason, f"expected {len(wanted)} values, found {len(found)}", answer)
    roots = len({part.variable for part in wanted}) == 1
    if not roots and all(part.variable for part in found):
        named = {part.variable: part for part in found}
        if set(named) != {part.variable for part in wanted}:
            return _failed("wrong_variable", "the unknowns have other names", answer)
        found = [named[part.variable] for part in wanted]
    elif any(a.variable and b.variable and a.variable != b.variable for a, b in zip(found, wanted, strict=True)):
        return _failed("wrong_variable", f"expected {wanted[0].variable}, found {found[0].variable}", answer)
    orders = [wanted] if not roots or len(wanted) > 4 else _orders(wanted)
    try:
        equal = any(all(_equal_parts(found, order)) for order in orders)
    except sandbox.SandboxFailed as failure:
        reason = "too_large" if failure.kind in ("memory", "output") else "timeout"
        return _failed(reason, str(failure), answer)
    if not equal:
        return _failed("wrong_value", "the final answer is another value than the reference", answer)
    return Verdict(1.0, True, "ok", {"message": REASONS["ok"], "answer": answer})


def _orders(parts: list[Part]) -> list[list[Part]]:
    from itertools import permutations

    return [list(order) for order in permutations(parts)]


def _equal_parts(found: list[Part], wanted: list[Part]) -> list[bool]:
    values = [(to_fraction(a.tree), to_fraction(b.tree)) for a, b in zip(found, wanted, strict=True)]
    if all(a is not None and b is not None for a, b in values):
        return [a == b for a, b in values]
    pairs = [[a.tree, b.tree] for a, b in zip(found, wanted, strict=True)]
    equal: list[bool] = sandbox.call(
        "domains.math.equivalence:match", pairs, _integration_variable(wanted), limits=LIMITS
    )
    return equal


def _integration_variable(wanted: list[Part]) -> str | None:
    """The variable of an antiderivative, told by the constant C in the reference."""
    names = _variables(wanted[0].tree)
    return next(iter(sorted(names - {"C"}))) if "C" in names and len(names) > 1 else None


def _variables(tree: Any) -> set[str]:
    if tree[0] == "v":
        return {tree[1]}
    return set().union(*(_variables(part) for part in tree[1:] if isinstance(part, tuple)))


def _failed(reason: str, message: str, answer: str | None) -> Verdict:
    return Verdict(0.0, False, reason, {"message": message, "answer": answer[:200] if answer else None})
