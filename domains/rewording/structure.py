"""A shallow reading of a text: tags, verbs with who did what to whom, what is denied, and the relations between clauses.

Rules over closed word classes, known verbs and endings; no model. Where they cannot tell they say nothing: every sub-check that is
built on this calls a conflict only on evidence for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from domains.rewording.keys import base, key, units
from domains.rewording.tags import BE, CLAUSE_SIGNS, MODAL_SIGNS, RELATIVES, tag_all
from domains.rewording.words import STOPS, Token, closed


@dataclass
class Predicate:
    """One verb (or nominalised verb) with what stands around it, as sets of keys."""

    key: str
    index: int
    agent: frozenset[str] = frozenset()
    patient: frozenset[str] = frozenset()
    receiver: frozenset[str] = frozenset()
    nominal: bool = False


@dataclass
class Reading:
    """A text as the sub-checks see it."""

    tokens: list[Token]
    tags: list[str]
    predicates: list[Predicate] = field(default_factory=list)
    denied: dict[str, int] = field(default_factory=dict)
    """Key of what a negation bears on → how often."""
    memo: dict[str, Any] = field(default_factory=dict)
    """What relations.py found, kept."""

    def content(self, start: int = 0, end: int | None = None) -> frozenset[str]:
        """Keys of the content words between two positions."""
        stop = len(self.tokens) if end is None else end
        return frozenset(name for name in self._keys[start:stop] if name)

    def key(self, index: int) -> str:
        """Key of a content word; empty for any other token."""
        return self._keys[index]

    @cached_property
    def _keys(self) -> list[str]:
        return [self._key(index) for index in range(len(self.tokens))]

    def _key(self, index: int) -> str:
        """Key of a content word; empty for any other token (numbers and units are the amounts' affair)."""
        token = self.tokens[index]
        if index and self.tokens[index - 1].kind == "number" and (token.low in units() or token.text in units()):
            return ""
        if (
            token.kind != "word"
            or self._bounds_a_number(index)
            or self.tags[index] in ("DET", "PRON", "PREP", "AUX", "CONJ", "TO")
        ):
            return ""
        return "" if base(token.low) in closed("light") or token.low in closed("light") else key(token.low)

    def _bounds_a_number(self, index: int) -> bool:
        """`more than 4`, `over half`, `exactly ten`, `ten or more`: said by the amount."""
        low = self.tokens[index].low
        if low in ("more", "fewer", "less", "greater", "lower", "higher", "smaller"):
            after = [token.low for token in self.tokens[index + 1 : index + 2]]
            return (after == ["than"] and any(t.kind == "number" for t in self.tokens[index + 2 : index + 4])) or (index > 1 and self.tokens[index - 1].low == "or")  # fmt: skip
        return low in ("exactly", "precisely")


def read(tokens: list[Token]) -> Reading:
    """Tags, predicates and denials of a token list."""
    reading = Reading(tokens, tag_all(tokens))
    reading.predicates = [_predicate(reading, index) for index, tag in enumerate(reading.tags) if tag in ("V", "PART")]
    reading.predicates += _nominals(reading)
    reading.denied = _denied(reading)
    return reading


_NOUN_TAGS = ("N", "NUM", "POSS", "ADJ")
_OPENERS = ("DET", "ALL", "SOME", "NO", "MOST", "FEW", "MANY", "NOTALL", "ATLEAST", "ATMOST")


def _left_noun(reading: Reading, index: int) -> frozenset[str]:
    """The noun phrase that is the subject of what stands at `index`: the nearest one to the left that no preposition governs."""
    tags, tokens = reading.tags, reading.tokens
    k = index - 1
    while k >= 0 and (tags[k] in ("AUX", "ADV", "NOT", "TO", "TIME") or tags[k] in MODAL_SIGNS):
        k -= 1
    while k >= 0:
        if tags[k] in _NOUN_TAGS or (tags[k] == "PRON" and tokens[k].low not in RELATIVES):
            start = k
            while (
                start > 0
                and tags[start - 1] in (*_NOUN_TAGS, *_OPENERS, "PRON", "CONJ")
                and tokens[start - 1].low not in RELATIVES
            ):
                start -= 1
            governed = start > 0 and (tags[start - 1] == "PREP" or tags[start - 1] == "SAYS")
            if not governed:
                return reading.content(start, k + 1)
            k = start - 2
            continue
        if tags[k] == "PRON" and tokens[k].low in RELATIVES:
            return _antecedent(reading, k)
        if tags[k] in ("V", "PART", "MARK") or tags[k] in CLAUSE_SIGNS or tags[k] == "CONJ":
            return frozenset()
        k -= 1
    return frozenset()


def _antecedent(reading: Reading, relative: int) -> frozenset[str]:
    """The noun before `who`, `which`, `that`."""
    k = relative - 1
    while k >= 0 and reading.tokens[k].low == ",":
        k -= 1
    if k < 0 or reading.tags[k] not in (*_NOUN_TAGS, "PRON"):
        return frozenset()
    start = k
    while start > 0 and reading.tags[start - 1] in _NOUN_TAGS:
        start -= 1
    if reading.tokens[k].low in ("one", "ones"):
        return _complement(reading, relative)
    return reading.content(start, k + 1)


def _complement(reading: Reading, start: int) -> frozenset[str]:
    """What stands after the last `is` or `was` of the sentence: `the one who … was the nurse`, `what … was the wound`."""
    end = next(
        (k for k in range(start, len(reading.tokens)) if reading.tokens[k].low in (".", "!", "?", ";")),
        len(reading.tokens),
    )
    last = max((k for k in range(start, end) if reading.tokens[k].low in BE), default=-1)
    return _right_noun(reading, last + 1)[0] if last >= 0 else frozenset()


def _right_noun(reading: Reading, index: int) -> tuple[frozenset[str], int]:
    """The noun phrase that begins at `index`, and where it ends."""
    tags = reading.tags
    k = index
    while k < len(tags) and (tags[k] == "ADV" or reading.tokens[k].low in ("out", "up", "down", "off", "away", "back")):
        k += 1
    start, seen = k, False
    while k < len(tags):
        if tags[k] in _OPENERS and not seen:
            k += 1
        elif tags[k] in _NOUN_TAGS or (tags[k] == "PRON" and not seen and reading.tokens[k].low not in RELATIVES):
            seen = True
            k += 1
        else:
            break
    return (reading.content(start, k), k) if seen else (frozenset(), index)


def _after(reading: Reading, index: int, word: str, limit: int = 14) -> frozenset[str]:
    """The noun phrase after the next `by` (or `to`, `of`, `for`), before the next verb or clause."""
    for k in range(index + 1, min(index + 1 + limit, len(reading.tokens))):
        if reading.tokens[k].low == word and reading.tags[k] in ("PREP", "TO"):
            return _right_noun(reading, k + 1)[0]
        if reading.tags[k] in ("V", "PART") or reading.tags[k] in CLAUSE_SIGNS or reading.tokens[k].low in (".", ";"):
            break
    return frozenset()


def _passive(reading: Reading, index: int) -> bool:
    if reading.tags[index] == "PART":
        return True
    k = index - 1
    while k >= 0 and reading.tags[k] in ("ADV", "NOT"):
        k -= 1
    return k >= 0 and reading.tokens[k].low in BE and not reading.tokens[index].low.endswith("ing")


def _predicate(reading: Reading, index: int) -> Predicate:
    tags, tokens = reading.tags, reading.tokens
    subject = _subject(reading, index)
    after, end = _right_noun(reading, index + 1)
    double = bool(after) and end < len(tags) and tags[end] in _OPENERS and tokens[end].low not in (*RELATIVES, "whose")
    second, _ = _right_noun(reading, end) if double else (frozenset(), end)
    name = reading.key(index) or key(tokens[index].low)
    to = _after(reading, index, "to")
    if _passive(reading, index):
        by = _after(reading, index, "by")
        if after and (tags[index + 1] in _OPENERS or tags[index + 1] == "NUM"):
            return Predicate(name, index, by, after, subject)
        return Predicate(name, index, by, subject, to)
    if index and tokens[index - 1].low == "there":
        return Predicate(name, index, after)
    if not after:
        after = _fronted_object(reading, index)
    elif second:
        return Predicate(name, index, subject, second, after)
    return Predicate(name, index, subject, after, to)


def _subject(reading: Reading, index: int) -> frozenset[str]:
    tags = reading.tags
    k = index - 1
    while k >= 0 and (tags[k] in ("ADV", "NOT", "AUX", "TIME") or tags[k] in MODAL_SIGNS):
        k -= 1
    infinitive = k >= 0 and tags[k] in ("TO", "PURPOSE")
    found = frozenset() if infinitive else _left_noun(reading, index)
    if found:
        return found
    if infinitive:
        for j in range(k - 1, max(-1, k - 8), -1):
            if reading.tokens[j].low == "for" or (tags[j] in MODAL_SIGNS and reading.content(j + 1, k)):
                return reading.content(j + 1, k)
            if tags[j] in ("V", "PART"):
                break
    if k >= 0 and (tags[k] in ("CONJ", "TO", "BUT", "PURPOSE", "THEN", "MARK")):
        for j in range(k - 1, -1, -1):
            if tags[j] in ("V", "PART") and reading.tokens[j].low not in (".",):
                return _patient_or_agent(reading, j)
            if reading.tokens[j].low in (".", ";"):
                break
    return frozenset()


def _patient_or_agent(reading: Reading, index: int) -> frozenset[str]:
    return _left_noun(reading, index)


def _fronted_object(reading: Reading, index: int) -> frozenset[str]:
    """`the wound that the nurse examined`, `what the nurse examined was the wound`."""
    tags, tokens = reading.tags, reading.tokens
    k = index - 1
    while k >= 0 and tags[k] not in ("V", "PART", "MARK") and tags[k] not in CLAUSE_SIGNS:
        if tags[k] in ("PRON", "DET") and tokens[k].low in RELATIVES:
            if k == index - 1 or all(
                tags[j] in ("AUX", "ADV", "NOT") or tags[j] in MODAL_SIGNS for j in range(k + 1, index)
            ):
                return frozenset()
            return _complement(reading, index) if tokens[k].low == "what" else _antecedent(reading, k)
        k -= 1
    return frozenset()


def _nominals(reading: Reading) -> list[Predicate]:
    """`the committee's approval of the plan`, `the approval of the plan by the committee`."""
    found = []
    tags, tokens = reading.tags, reading.tokens
    for k, token in enumerate(tokens):
        if tags[k] != "N" or k + 2 >= len(tokens) or tokens[k + 1].low != "of":
            continue
        of, end = _right_noun(reading, k + 2)
        owner: frozenset[str] = frozenset()
        if k >= 1 and tags[k - 1] == "POSS":
            owner = reading.content(max(0, k - 3), k - 1)
        by: frozenset[str] = frozenset()
        if end < len(tokens) and tokens[end].low == "by":
            by = _right_noun(reading, end + 1)[0]
        if not owner:
            owner = _carrier(reading, k)
        if of and (owner or by) and token.low not in ("number", "end"):
            found.append(Predicate(key(token.low), k, owner or by, of, nominal=True))
    return found


def _carrier(reading: Reading, index: int) -> frozenset[str]:
    """The subject of `carried out the inspection of …`."""
    for k in range(index - 1, max(-1, index - 5), -1):
        if reading.tags[k] == "V" and base(reading.tokens[k].low) in ("carry", "perform", "conduct", "do", "make"):
            return _left_noun(reading, k)
    return frozenset()


def _denied(reading: Reading) -> dict[str, int]:
    """How often each key is denied; a denial bears on the verb (or the adjective after a copula) that follows it."""
    found: dict[str, int] = {}
    for k, tag in enumerate(reading.tags):
        if tag not in ("NOT", "NO", "NOTALL"):
            continue
        target = _barred(reading, k) or _denied_by(reading, k)
        if target:
            found[target] = found.get(target, 0) + 1
    for target in _exceptions(reading):
        found[target] = found.get(target, 0) + 1
    return found


def _exceptions(reading: Reading) -> list[str]:
    """`unless` denies the first verb of its clause; `only if` that of both clauses."""
    found = []
    for k, tag in enumerate(reading.tags):
        if tag in ("UNLESS", "ONLYIF"):
            found.append(_denied_by(reading, k))
        if tag == "ONLYIF":
            start = max((j for j in range(k) if reading.tokens[j].low in (".", ";")), default=-1)
            found.append(_denied_by(reading, start) if start + 1 < k else _second_verb(reading, k))
    return [target for target in found if target]


def _second_verb(reading: Reading, index: int) -> str:
    verbs = [k for k in range(index, len(reading.tags)) if reading.tags[k] in ("V", "PART")]
    return key(reading.tokens[verbs[1]].low) if len(verbs) > 1 else ""


def _barred(reading: Reading, index: int) -> str:
    """`Smoking is prohibited`, `dogs are not allowed`: what the denied permission is of stands before it."""
    following = reading.tokens[index + 2].low if index + 2 < len(reading.tokens) else "."
    if (
        reading.tags[index + 1 : index + 2] != ["MAY"]
        or following in ("to", "for", "from")
        or reading.tokens[index + 1].text.lower() in ("may", "must", "shall")
    ):
        return ""
    for k in range(index - 1, -1, -1):
        if reading.tags[k] in ("V", "PART") or reading.tokens[k].low in STOPS:
            return key(reading.tokens[k].low) if reading.tags[k] in ("V", "PART") else ""
    return ""


def _denied_by(reading: Reading, index: int) -> str:
    tags, tokens = reading.tags, reading.tokens
    noun, copula = "", tokens[index - 1].low in BE if index > 0 else False
    k = index + 1
    while k < len(tokens):
        tag = tags[k]
        if tag in ("V", "PART"):
            light = base(tokens[k].low)
            if light in ("have", "do", "make", "get") or (
                light == "carry" and tokens[k + 1 : k + 2] and tokens[k + 1].low == "out"
            ):
                copula = True
            else:
                return key(tokens[k].low)
        elif tokens[k].low in BE:
            copula = True
        elif (tag == "MARK" and tokens[k].low in (".", ";", "!", "?", ",")) or (
            tag in CLAUSE_SIGNS and (noun or copula)
        ):
            break
        elif tag in ("N", "ADV") and reading.key(k):
            noun = key(tokens[k].low)
            if (
                copula
                and (k + 1 >= len(tags) or tags[k + 1] not in ("N", "PREP", "POSS"))
                and not _verb_follows(reading, k)
            ):
                return noun
        k += 1
    return noun


def _verb_follows(reading: Reading, index: int) -> bool:
    """A verb of the same clause comes: what stands here is its subject."""
    for k in range(index + 1, min(index + 6, len(reading.tags))):
        if reading.tags[k] in ("V", "PART", "AUX"):
            return True
        if reading.tags[k] == "MARK" or reading.tags[k] in CLAUSE_SIGNS:
            return False
    return False
