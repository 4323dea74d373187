"""A rewording by rule, where a rule applies with certainty: a clause is moved to the other end of its sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from domains.base import Solution, Verdict
from domains.rewording.check import bare, hidden_characters
from domains.rewording.coherence import logic_coherence
from domains.rewording.structure import read
from domains.rewording.words import clean, closed, tokens

MAX_SENTENCE = 400
_LINKS = ("because", "even though", "although", "unless", "if", "after", "before")
_TRAILING = re.compile(rf"^([^,;:?!\"]+?),? ({'|'.join(_LINKS)}) ([^,;:?!\"]+)\.?$")
_LEADING = re.compile(rf"^({'|'.join(_LINKS)}) ([^,;:?!\"]+), ([^,;:?!\"]+)\.?$", re.I)
_SO = re.compile(r"^([^,;:?!\"]+), so ([^,;:?!\"]+)\.?$")
_BARRED = frozenset(
    [
        "only",
        "just",
        "even",
        "especially",
        "is",
        "are",
        "was",
        "were",
        "not",
        "never",
        "no",
        "nobody",
        "nothing",
        "none",
        "mainly",
        "partly",
        "simply",
        "be",
        "what",
        "that",
    ]
)


def solve(question: str) -> Solution | None:
    """The sentence with its subordinate clause moved; without a text where no rule is certain (scope of a negation, two links, …).

    The source alone is enough to judge a rewording by. None where the question is no sentence.
    """
    sentence = " ".join(bare(question.strip().removeprefix("Reword:")).split())
    if not sentence or len(sentence) > MAX_SENTENCE or hidden_characters(sentence, ""):
        return None
    text = _fronted(sentence) or _moved_back(sentence) or _so(sentence)
    if text is not None and logic_coherence(sentence, text).passed:
        return Solution(text, text, {"source": sentence})
    return Solution("", sentence, {"source": sentence}) if _is_clause(sentence) else None


def inspect(messages: Sequence[Mapping[str, str]], answer: str) -> Verdict | None:
    """None: a rewording is judged by its source, and where the question is no sentence there is none."""
    return None


def _fronted(sentence: str) -> str | None:
    """`B because A.` → `Because A, B.`"""
    match = _TRAILING.match(sentence)
    if match is None or not _certain(match[1], match[3]):
        return None
    first = _lowered(match[1])
    return None if first is None else f"{match[2].capitalize()} {match[3].rstrip('.')}, {first}."


def _moved_back(sentence: str) -> str | None:
    """`Because A, B.` → `B because A.`"""
    match = _LEADING.match(sentence)
    if match is None or not _certain(match[3], match[2]):
        return None
    main = match[3].rstrip(".")
    return f"{main[0].upper()}{main[1:]} {match[1].lower()} {match[2]}."


def _so(sentence: str) -> str | None:
    """`A, so B.` → `Because A, B.`"""
    match = _SO.match(sentence)
    if (
        match is None
        or match[2].startswith(("that ", "much ", "far ", "long ", "many "))
        or not _certain(match[1], match[2])
    ):
        return None
    first = _lowered(match[1])
    return None if first is None else f"Because {first}, {match[2].rstrip('.')}."


def _certain(main: str, clause: str) -> bool:
    """Both are clauses, there is one link and one sentence, and no negation or `only` whose scope the move would change."""
    words = re.findall(r"[a-z']+", f"{main} {clause}".lower())
    if any(
        f" {link} " in f" {' '.join(words)} " for link in (*_LINKS, "so", "when", "while", "since")
    ) or "." in main.rstrip("."):
        return False
    ends = main.lower().split()
    if (
        len(ends) < 2
        or len(clause.split()) < 2
        or ends[-1] in _BARRED
        or set(re.findall(r"[a-z']+", main.lower())) & _BARRED
    ):
        return False
    return "n't" not in main and all(_is_clause(part) for part in (main, clause))


def _is_clause(text: str) -> bool:
    tags = read(tokens(clean(text))).tags
    verb = next((k for k, tag in enumerate(tags) if tag in ("V", "PART", "AUX")), 0)
    return verb > 0 and any(tag in ("N", "PRON") for tag in tags[:verb])


def _lowered(text: str) -> str | None:
    """The clause with its first word in small letters; None where that word may be a name."""
    first = text.split(maxsplit=1)[0]
    if first == "I" or first.startswith("I'"):
        return text
    known = first.lower() in closed("determiners") | closed("pronouns") | {
        "all",
        "some",
        "every",
        "each",
        "many",
        "most",
    }
    return text[0].lower() + text[1:] if known else None
