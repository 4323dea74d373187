"""What can be said of an answer to a question that the stock does not have: whether what it cites exists and is in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domains.base import Verdict, last_said
from domains.constitution.assertion import asserted, takes_back
from domains.constitution.check import EXTRA, citations
from domains.constitution.citations import extract
from domains.constitution.facts import read
from domains.constitution.text import MAX_TEXT, Unreadable, readable


def inspect(messages: Sequence[Mapping[str, str]], answer: str) -> Verdict | None:
    """The verdict on the citations alone; None where nothing is cited. Whether they are the right ones is not judged, nor any fact."""
    try:
        text = readable(answer)
    except Unreadable as refusal:
        reason = "too_long" if len(answer) > MAX_TEXT else "unreadable"
        return Verdict(0.0, False, reason, {"message": str(refusal)})
    said = read(asserted(text))
    reason, message, _ = citations(asserted(text), said, [], _named(last_said(messages)), EXTRA + 1)
    if reason == "no_citation" and not said.cited.marks:
        return None
    if reason and reason != "no_citation":
        return Verdict(0.0, False, reason, {"message": message})
    if back := takes_back(text, ""):
        return Verdict(0.0, False, "wrong_fact", {"message": f"the answer takes itself back: '{back.strip()[:40]}'"})
    return Verdict(1.0, True, "ok", {"message": "what is cited exists and is in force"})


def _named(question: str) -> set[str]:
    try:
        return set(extract(readable(question)).names())
    except Unreadable:
        return set()
