"""The verdict on one answer: its final values against the claims, then the arithmetic of its lines.

The final answer decides `passed`. A right answer reached by a line whose arithmetic does not hold passes with half the score and `detail["first_wrong_step"]`;
of an answer of several parts that is wrong in some, the right parts count for half the score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from domains.base import Example, Verdict, question
from domains.contamination import Words, repeats_question, words
from domains.devops.answers import MAX_ANSWER, Refused, clean, final_answers
from domains.devops.kinds import agrees, read
from domains.devops.steps import first_wrong

REASONS = {
    "ok": "every claim of the final answer is right",
    "wrong_value": "the final answer is another value",
    "wrong_unit": "the value is given in a unit of something else",
    "missing_part": "fewer values than were asked for",
    "extra_part": "more values than were asked for",
    "contradictory": "the text states different final answers, or an answer of two values",
    "no_answer": "no `Answer:` line and nothing boxed",
    "unparsable": "the final answer is no value of the kind that was asked for",
    "too_large": "the text or a number in it is beyond the limits",
}
Claims = Mapping[str, Mapping[str, Any]]


def check(prediction: str, example: Example) -> Verdict:
    """Judge a model's text by its final answer, then by its steps. Never raises on hostile text."""
    claims: Claims = example["meta"].get("claims") or {}
    try:
        if repeats_question(prediction, example):
            raise Refused("no_answer", "the question again")
        text = clean(prediction)
        answers = final_answers(text)
        answer = answers[-1]
        if _given(answer, example):
            raise Refused("no_answer", f"{answer[:60]!r} is given in the question, in the form that was not asked for")
        if not claims:
            return _as_written(answer, example["reference"])
        values = _values(answer, claims)
        for other in answers[:-1]:
            _consistent(other, values, claims)
    except Refused as refusal:
        return Verdict(0.0, False, refusal.reason, {"message": str(refusal)})
    wrong = [key for key, claim in claims.items() if isinstance(values[key], Refused) or not agrees(values[key], claim)]
    detail: dict[str, Any] = {"message": REASONS["ok"], "answer": answer[:200]}
    step = first_wrong(text)
    if step:
        detail |= {"first_wrong_step": step[0], "step": step[1]}
    if wrong:
        first = values[wrong[0]]
        reason = first.reason if isinstance(first, Refused) else "wrong_value"
        expected = f"{claims[wrong[0]]['value']} {claims[wrong[0]]['unit']}".strip()
        named = f"{wrong[0]}: " if len(claims) > 1 else ""
        detail["message"] = f"{named}{first if isinstance(first, Refused) else f'it is not {expected}'}"
        return Verdict((len(claims) - len(wrong)) / len(claims) / 2, False, reason, detail | {"wrong": wrong})
    if step:
        detail["message"] = f"right, but line {step[0]} does not hold: {step[1]}"
    return Verdict(0.5 if step else 1.0, True, "ok", detail)


def _given(answer: str, example: Example) -> bool:
    """Whether an answer is a value of the question as it stands there (`0640` for its letters, `2 GiB` for its MiB)."""
    said = words(answer)
    return bool(said) and _holds(words(question(example)), said) and not _holds(words(example["reference"]), said)


def _holds(text: Words, part: Words) -> bool:
    return any(text[start : start + len(part)] == part for start in range(len(text) - len(part) + 1))


def _as_written(answer: str, reference: str) -> Verdict:
    """Without claims nothing but the reference itself is right."""
    if answer.casefold().split() == reference.casefold().split():
        return Verdict(1.0, True, "ok", {"message": REASONS["ok"], "answer": answer[:200]})
    return Verdict(0.0, False, "wrong_value", {"message": f"it is not {reference[:200]}", "answer": answer[:200]})


def _values(answer: str, claims: Claims) -> dict[str, Any]:
    """What the answer says for each claim: a value, or the Refused of its part. Raises Refused where the parts themselves are missing."""
    if len(claims) == 1:
        key, claim = next(iter(claims.items()))
        return {key: read(answer, claim)}
    values: dict[str, Any] = {}
    for key, part in _parts(answer, claims).items():
        try:
            values[key] = read(part, claims[key])
        except Refused as refusal:
            values[key] = refusal
    return values


def _parts(answer: str, claims: Claims) -> dict[str, str]:
    """The text of each claim: by its label, else in order."""
    for separator in (r"\s?[;\n]\s?", r"\s?(?:;|, (?:and )?| and )\s?", r"\s?(?:;|,| / )\s?"):
        pieces = [piece.strip(" .,;*") for piece in re.split(separator, answer) if piece.strip(" .,;*")]
        if len(pieces) >= len(claims):
            break
    if len(pieces) != len(claims):
        reason = "missing_part" if len(pieces) < len(claims) else "extra_part"
        raise Refused(reason, f"expected {len(claims)} values, found {len(pieces)}")
    labels = {key: (str(claim["label"]).casefold(), key.casefold()) for key, claim in claims.items()}
    named: dict[str, str] = {}
    loose: list[str] = []
    for piece in pieces:
        key, rest = _labelled(piece, labels)
        if key is None:
            loose.append(piece)
        elif key in named:
            raise Refused("contradictory", f"two values for '{key}'")
        else:
            named[key] = rest
    return named | dict(zip([key for key in claims if key not in named], loose, strict=True))


def _labelled(piece: str, labels: Mapping[str, tuple[str, ...]]) -> tuple[str | None, str]:
    """The claim whose label a piece opens (or, as `62 usable`, ends) with, and the rest."""
    plain = piece.replace("*", "").replace("`", "").strip()
    folded = plain.casefold()
    found: list[tuple[int, str, str]] = []
    for key, names in labels.items():
        for name in names:
            if folded.startswith(name) and not folded[len(name) : len(name) + 1].isalnum():
                found.append((len(name), key, plain[len(name) :].lstrip(" :=")))
            elif folded.endswith(f" {name}"):
                found.append((len(name) - 1, key, plain[: -len(name)].strip()))
    if not found:
        return None, plain
    longest = max(found)
    return longest[1], longest[2].removeprefix("is ").removeprefix("are ")


def _consistent(other: str, values: Mapping[str, Any], claims: Claims) -> None:
    """An earlier final answer must say the same, or nothing that can be read. Raises Refused."""
    if len(other) > MAX_ANSWER:
        return
    try:
        said = _values(other, claims)
    except Refused as refusal:
        if refusal.reason in ("unparsable", "no_answer"):
            return
        raise Refused("contradictory", f"an earlier final answer: {refusal}") from None
    for key, value in said.items():
        same = value == values[key] or (
            not isinstance(value, Refused)
            and agrees(value, claims[key])
            and not isinstance(values[key], Refused)
            and agrees(values[key], claims[key])
        )
        if not same and not isinstance(value, Refused):
            raise Refused("contradictory", f"two different final answers: {other[:60]!r} comes first")
