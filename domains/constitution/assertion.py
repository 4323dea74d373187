"""What a text asserts: sentences, negation, questions, second thoughts.

Deliberately strict and without parsing: a fact that stands beside a "not", in a question, or before "actually, …" does not count.
"""

from __future__ import annotations

import re
from functools import lru_cache

from domains.constitution.text import words

_SENTENCE_END = re.compile(r"[!?\n;]|\.(?=\s+[A-Z\"'(]|\s*$)")
_STOP = re.compile(r"[.!?;\n]")
_BENIGN = re.compile(
    r"\b(?:not|no|cannot|never)\s(?:be\s|to\s)?(?:less|more|fewer|lower|later|earlier|greater|larger|longer|higher|younger|below|above)\b|\b(?:not|cannot|never|without)\s(?:to\s)?exceed\w*"
    r"|\bnot\sonly\b|\bwhether\sor\snot\b|\bno\ssuch\b|\bnotwithstanding\b",
    re.I,
)
_NEGATOR = re.compile(
    r"\b(?:no(?!\s?[,:;.!-])|not|never|nor|neither|none|nobody|cannot|without|except|excluding|rather\sthan|instead\sof|other\sthan|unlike|hardly|barely|scarcely|fails?\sto|lacks?)\b|n't\b",
    re.I,
)
_LEADS = re.compile(r"without|except|excluding|rather|instead|other|unlike", re.I)
"""Negators of what follows them only."""
_CANCELS = re.compile(r"\b(?:but|unless|until|till|however|although|though|yet|whereas|while)\b", re.I)
_CLAUSE_END = re.compile(
    r"[,:;.()\n]|\b(?:but|unless|until|except|whereas|while|who|which|if)\b"
    r"|\band\s(?=(?:[A-Za-z]+\s)?(?:is|are|was|were|must|shall|may|can|cannot|does|do|did|has|have|had|will|should|he|she|it|they|not|no|never)\b)"
)
_CLAUSE_START = re.compile(r"[,:;.!?()\n]|\b(?:but|and|unless|until|whereas|while|yet|although|though)\b", re.I)
_DENIAL = re.compile(
    r"\b(?:incorrect(?:ly)?|mistaken(?:ly)?|untrue|false|myth|wrong|misconception|not\s(?:true|correct|right|so|the\scase)|(?:isn't|aren't|wasn't)\s(?:true|correct|right|so|the\scase)"
    r"|lies?|joking|joke|kidding|opposite|contrary|ignore|disregard|fake|fiction(?:al)?|hypothetical(?:ly)?|pretend|allegedly|rumou?rs?|supposedly|imagine|nonsense|sarcasm"
    r"|(?:some|many|most)\s(?:people\s)?(?:say|think|believe|claim)|(?:often|commonly|widely)\s(?:said|thought|believed|claimed))\b"
    r"|(?:\A|[.!?\n]\s*)(?:not|never|nope|no|not\sreally|false)\s*[.!]*\s*\Z",
    re.I,
)
_RETRACTION = re.compile(
    r"\b(?:actually|wait|correction|sorry|on\ssecond\sthoughts?|scratch\sthat|i\smean|in\sfact|in\sreality|in\struth|or\srather|my\smistake|let\sme\scorrect|hold\son|oops|final\sanswer|truth\sis"
    r"|the\s(?:real|right|correct|true)\sanswer|should\s(?:be|read)|however|but\sit\sis|but\sit's)\b",
    re.I,
)


def asserted(text: str) -> str:
    """`text` with its questions blanked, at the same length: a question asserts nothing."""
    pieces, start = [], 0
    for match in _STOP.finditer(text):
        sentence = text[start : match.end()]
        pieces.append(" " * len(sentence) if match[0] == "?" else sentence)
        start = match.end()
    return "".join([*pieces, text[start:]])


def takes_back(text: str, reference: str) -> str:
    """The words with which a text denies itself or speaks by hearsay, empty if none (words that the reference has too are none)."""
    known = {match[0].casefold() for match in _DENIAL.finditer(reference)}
    return next((match[0] for match in _DENIAL.finditer(text) if match[0].casefold() not in known), "")


_POLAR = frozenset(
    {
        "not",
        "no",
        "never",
        "cannot",
        "nor",
        "neither",
        "none",
        "without",
        "isn't",
        "aren't",
        "doesn't",
        "don't",
        "can't",
        "won't",
        "wasn't",
    }
)


def flipped(text: str, reference: str) -> bool:
    """Whether a text is the reference word for word with negators put in or taken out."""
    mine, theirs = words(text).split(), words(reference).split()
    if abs(len(mine) - len(theirs)) > 3 or [word for word in mine if word not in _POLAR] != [
        word for word in theirs if word not in _POLAR
    ]:
        return False
    return sum(word in _POLAR for word in mine) != sum(word in _POLAR for word in theirs)


def after_retraction(text: str) -> list[tuple[int, int]]:
    """The stretches after "actually", "wait", "however" …, each to the next such word."""
    starts = [match.end() for match in _RETRACTION.finditer(text)]
    return list(zip(starts, [*starts[1:], len(text)], strict=False))


@lru_cache(maxsize=2048)
def _marks(text: str) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Where sentences end; where negators stand (benign ones like "not less than" left out)."""
    blanked = _BENIGN.sub(lambda match: " " * len(match[0]), text)
    return tuple(m.end() for m in _SENTENCE_END.finditer(text)), tuple(m.span() for m in _NEGATOR.finditer(blanked))


def denied_later(text: str, start: int) -> bool:
    """Whether a negator stands between text[start] and the end of its sentence: "Yes, he may not"."""
    ends, negators = _marks(text)
    closed = min((place for place in ends if place > start), default=len(text))
    return any(start <= first < closed for first, _ in negators)


def doubled(text: str, start: int, end: int) -> bool:
    """Whether an even number of negators stands in the clause of text[start:end], which holds one itself: "no person may not …"."""
    opened = max((match.end() for match in _CLAUSE_START.finditer(text, 0, start)), default=0)
    clause = _CLAUSE_END.search(text, end)
    closed = clause.start() if clause else len(text)
    return sum(opened <= first and stop <= closed for first, stop in _marks(text)[1]) % 2 == 0


def negated(text: str, start: int, end: int, others: list[tuple[int, int]] | None = None) -> bool:
    """Whether text[start:end] is denied in its sentence.

    A negator before it counts unless a "but", "unless" … or another item of the same sort (`others`) stands between; a negator
    after it counts up to the end of the clause.
    """
    ends, negators = _marks(text)
    opened = max((place for place in ends if place <= start), default=0)
    closed = min((place for place in ends if place > end), default=len(text))
    before = [span for span in negators if opened <= span[0] and span[1] <= start]
    if before:
        last = before[-1]
        absorbed = any(last[1] <= first and stop <= start for first, stop in others or ())
        if not absorbed and not _CANCELS.search(text, last[1], start):
            return True
    clause = _CLAUSE_END.search(text, end, closed)
    limit = clause.start() if clause else closed
    return any(end <= first and stop <= limit and not _LEADS.match(text, first) for first, stop in negators)
