"""The verdict on one rewording: the logic-coherence of the answer with the source.

The grammar that made an example (meta `content`, `operation`) is not looked at. An answer that is the reference itself is right without more
ado; every other one is judged by the two texts alone.
"""

from __future__ import annotations

import re
import unicodedata

from domains.base import Example, Verdict
from domains.rewording.checks import CHECKS
from domains.rewording.coherence import PRECISION, RECALL, Coherence, logic_coherence
from domains.rewording.words import MAX_TEXT

REASONS = {
    "ok": "another form, the same meaning",
    "empty": "no sentence in the text",
    "too_large": "far longer than what was to be reworded",
    "hidden": "hidden, directional or look-alike characters",
    "copied": "the source again, or the source with words around it",
    "missing_content": "too little of what the source speaks of",
    "added_content": "too much that the source does not speak of",
    "negation": "something is denied in one text and not in the other",
    "quantifier": "all, most, few, none, often or rarely were exchanged",
    "number": "another number, unit or bound",
    "entity": "a name was lost, added or exchanged",
    "comparison": "a comparison was turned round",
    "cause": "cause and effect were turned round, or made of something else",
    "condition": "condition and consequence were turned round",
    "time": "earlier and later were turned round",
    "purpose": "act and purpose were turned round",
    "modality": "must, may, should, can, might or will were exchanged",
    "roles": "another did it, or it was done to another",
    "claims": "something was added or left out that is a statement of its own",
}
_LABEL = re.compile(
    r"(?:(?:sure|certainly|of course|okay)[,.!]? )?(?:here(?:'s| is)[^:\n]{0,60}|reworded|rewording|reworded sentence|rephrased|paraphrase|answer|output): ",
    re.I,
)


def check(prediction: str, example: Example) -> Verdict:
    """Judge one rewording of `meta["source"]` (else of the question). Never raises on hostile text."""
    source = source_of(example)
    answer = bare(prediction)
    if not any(character.isalnum() for character in answer):
        return _failed("empty", REASONS["empty"])
    if answer == bare(example["reference"]) and answer != bare(source):
        return Verdict(1.0, True, "ok", {"message": "the known good rewording"})
    if len(answer) > min(MAX_TEXT, 300 + 3 * len(source)):
        return _failed("too_large", f"{len(answer)} characters for a source of {len(source)}")
    if hidden := hidden_characters(answer, source):
        return _failed("hidden", f"hidden or look-alike characters: {hidden}")
    return verdict(logic_coherence(source, answer))


def source_of(example: Example) -> str:
    """What was to be reworded."""
    source = example["meta"].get("source")
    if isinstance(source, str) and source:
        return source
    asked = [message["content"] for message in example["messages"] if message["role"] == "user"]
    return bare(asked[-1].removeprefix("Reword:")) if asked else example["reference"]


def bare(text: str) -> str:
    """The answer without white space around it, a label before it (`Rewording: …`) and quotes."""
    text = text[: MAX_TEXT * 3].strip()
    if label := _LABEL.match(text[:120]):
        text = text[label.end() :].strip()
    if len(text) > 1 and text[0] in "\"“'‘" and text[-1] in "\"”'’":
        text = text[1:-1].strip()
    return text


def hidden_characters(text: str, source: str) -> str:
    """Code points of a text that are not seen, turn the reading direction, or only look like Latin letters; those of the source are let pass."""
    found = []
    for character in dict.fromkeys(text):
        if character in "\n\r\t" or (character.isascii() and character.isprintable()) or character in source:
            continue
        category = unicodedata.category(character)
        foreign = character.isalpha() and "LATIN" not in unicodedata.name(character, "")
        if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me") or foreign:
            found.append(f"U+{ord(character):04X}")
    return ", ".join(found[:8])


def verdict(found: Coherence) -> Verdict:
    """A metric's answer as a verdict: the first conflict names the reason."""
    detail = {
        "checks": {name: finding.to_json() for name, finding in found.findings.items()},
        "coverage": {"recall": found.recall, "precision": found.precision, "missing": found.missing[:20], "added": found.added[:20]},
        "diversity": found.diversity,
    }  # fmt: skip
    if found.copied:
        return _failed("copied", REASONS["copied"], 0.0, detail)
    if found.conflicts:
        name = next(name for name in CHECKS if name in found.conflicts)
        return _failed(name, found.findings[name].evidence or REASONS[name], found.score, detail)
    if found.recall < RECALL:
        return _failed("missing_content", f"not said: {', '.join(found.missing[:8])}", found.score, detail)
    if found.precision < PRECISION:
        return _failed("added_content", f"not in the source: {', '.join(found.added[:8])}", found.score, detail)
    return Verdict(found.score, True, "ok", {"message": REASONS["ok"], **detail})


def _failed(reason: str, message: str, score: float = 0.0, detail: dict[str, object] | None = None) -> Verdict:
    return Verdict(score, False, reason, {"message": message, **(detail or {})})
