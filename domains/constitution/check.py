"""The verdict on one answer: do the Articles cited exist, are they the right ones, are the facts asked for stated and not contradicted.

The score is the mean of the parts (exists, articles, facts); an answer passes when all are whole. No model, no network, no solver:
only bounded reading of at most `MAX_TEXT` characters.
"""

from __future__ import annotations

import re
from typing import Any

from domains.base import Example, Verdict
from domains.constitution.assertion import after_retraction, asserted, flipped, takes_back
from domains.constitution.citations import Citation, extract
from domains.constitution.facts import Said, context, judge, read
from domains.constitution.stock import Key, articles, positions
from domains.constitution.text import MAX_TEXT, Unreadable, readable

REASONS = {
    "ok": "the right Articles are cited and every fact asked for is stated",
    "empty": "no text to judge",
    "too_long": f"over {MAX_TEXT} characters; an answer is one or two sentences",
    "unreadable": "control, bidi or overlay characters, or markup that hides text",
    "invented_article": "an Article, Schedule, Part or amendment is cited that does not exist",
    "over_citing": "more Articles than an answer needs, or Articles given as alternatives",
    "no_citation": "no Article is cited",
    "wrong_article": "an Article that the answer stands on is not cited",
    "omitted_article": "an omitted, repealed or struck-down Article is cited as if it were in force",
    "wrong_fact": "another holder, number, age, term or phrase is asserted, or the answer takes itself back",
    "missing_fact": "a fact asked for is not stated",
}
EXTRA = 2
"""Articles beyond the right ones that an answer may cite; none where the Article itself is the answer."""
_GONE = re.compile(
    r"\b(?:omitted|repealed|deleted|removed|struck|abolished|superseded|former(?:ly)?|previous(?:ly)?|earlier|no\slonger|ceased|inoperative|was|were|had|unconstitutional|void|invalidated)\b",
    re.I,
)
_NOT_THIS = re.compile(
    r"(?:\b(?:not|nor|neither|never|except|without|rather\sthan|instead\sof|unlike)|n't)\s(?:(?:in|by|under|from|of|found|given|provided|contained|it|is|the|based|on|comes?|to)\s){0,4}$",
    re.I,
)
_THIS_NOT = re.compile(
    r"^\s{0,2}(?:(?:is|was|are)(?:n't|\snot)\s(?:the|right|correct|relevant|about|concerned|it|what|where|this|involved)\b|(?:does|do|did)(?:n't|\snot)\s(?:apply|provide|deal|say|concern|cover|mention|give|contain|govern))",
    re.I,
)


def check(prediction: str, example: Example) -> Verdict:
    """Judge a model's text. Never raises on hostile text; `detail["parts"]` has the three parts of the score."""
    if len(prediction) > MAX_TEXT:
        return _refused("too_long", f"{len(prediction)} characters, over {MAX_TEXT}")
    try:
        text = readable(prediction)
    except Unreadable as refusal:
        return _refused("unreadable", str(refusal))
    if not any(character.isalnum() for character in text):
        return _refused("empty", REASONS["empty"])
    meta = example["meta"]
    wanted = [str(name) for name in meta.get("articles") or extract(readable(example["reference"])).names()]
    keys = [Key.from_meta(key) for key in meta.get("keys", ())]
    known = context(
        str(meta.get("question", "")), example["reference"], "; ".join(str(word) for word in meta.get("also", ()))
    )
    said = read(asserted(text))
    allowed = {
        *wanted,
        *map(str, meta.get("related", ())),
        *known.reference.cited.names(),
        *known.question.cited.names(),
    }
    citing = citations(asserted(text), said, wanted, allowed, 0 if not keys else EXTRA)
    facts = {_label(key, place): judge(key, keys, said, known) for place, key in enumerate(keys)}
    back = takes_back(text, f"{example['reference']} {meta.get('question', '')}")
    if not back and flipped(text, example["reference"]):
        back = "not"
    return _verdict(citing, facts, back, wanted)


def citations(text: str, said: Said, wanted: list[str], allowed: set[str], extra: int) -> tuple[str, str, float]:
    """(reason or empty, message, fraction of the wanted Articles cited)."""
    found = said.cited
    if invented := found.invented():
        return "invented_article", f"does not exist: {', '.join(invented[:5])}", 0.0
    stated = [citation for citation in found.articles if not _denied(text, citation)]
    names = {name for citation in stated for name in citation.named()} | ({"Preamble"} if found.preamble else set())
    beyond = sorted(names - allowed - {"Preamble"}, key=positions().__getitem__)
    choices = [citation for citation in stated if citation.hedged and not set(citation.named()) <= allowed]
    if len(beyond) > extra or choices:
        what = (
            f"alternatives: Article {choices[0].article}"
            if choices
            else f"beyond the right ones: {', '.join(beyond[:5])}"
        )
        return "over_citing", f"{len(beyond)} Articles {what}", 0.0
    right = [name for name in wanted if name in names]
    share = len(right) / len(wanted) if wanted else 1.0
    if not names:
        return "no_citation", REASONS["no_citation"], 0.0
    if share < 1:
        return "wrong_article", f"not cited: {', '.join(name for name in wanted if name not in names)}", share
    if _changed_mind(stated, text, allowed):
        return "wrong_article", "the answer goes over to another Article", 0.0
    gone = [name for name in beyond if articles()[name].get("status")]
    for citation in stated:
        if any(name in gone for name in citation.named()) and not _GONE.search(
            text[max(0, citation.start - 90) : citation.end + 90]
        ):
            return (
                "omitted_article",
                f"Article {citation.article} is {articles()[gone[0]]['status'].replace('_', ' ')}",
                0.0,
            )
    return "", "", 1.0


def _denied(text: str, citation: Citation) -> bool:
    head = re.search(r"(?:articles?|arts?)\b[\s.]*$", text[max(0, citation.start - 14) : citation.start], re.I)
    start = citation.start - (len(head[0]) if head else 0)
    return bool(
        _NOT_THIS.search(text[max(0, start - 60) : start]) or _THIS_NOT.match(text[citation.end : citation.end + 40])
    )


def _changed_mind(stated: list[Citation], text: str, allowed: set[str]) -> bool:
    for start, end in after_retraction(text):
        inside = {name for citation in stated if start <= citation.start < end for name in citation.named()}
        if inside and not inside & allowed:
            return True
    return False


def _label(key: Key, place: int) -> str:
    return f"{key.kind} {place + 1}"


def _verdict(citing: tuple[str, str, float], facts: dict[str, str], back: str, wanted: list[str]) -> Verdict:
    reason, message, share = citing
    right = sum(state == "ok" for state in facts.values())
    parts: dict[str, float] = {"exists": 0.0 if reason == "invented_article" else 1.0, "articles": share}
    if facts:
        parts["facts"] = right / len(facts)
    if back:
        parts |= {name: 0.0 for name in ("articles", "facts") if name in parts}
    if not reason and back:
        reason, message = "wrong_fact", f"the answer takes itself back: '{back.strip()[:40]}'"
    if not reason and right < len(facts):
        reason = "wrong_fact" if "wrong" in facts.values() else "missing_fact"
        message = ", ".join(f"{label}: {state}" for label, state in facts.items() if state != "ok")
    detail: dict[str, Any] = {"message": message or REASONS["ok"], "parts": parts, "facts": facts, "wanted": wanted}
    score = round(sum(parts.values()) / len(parts), 6)
    if reason:
        return Verdict(min(score, 0.99), False, reason, detail)
    return Verdict(1.0, True, "ok", detail)


def _refused(reason: str, message: str) -> Verdict:
    return Verdict(0.0, False, reason, {"message": message, "parts": {}})
