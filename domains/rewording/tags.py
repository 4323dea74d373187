"""A tag for every token: what it is in its place. Rules over closed word classes, known verbs and endings."""

from __future__ import annotations

import itertools

from domains.rewording.english import irregular_forms, table, words
from domains.rewording.keys import is_verb, uninflected
from domains.rewording.words import Token, closed

BE = frozenset(["be", "is", "are", "was", "were", "been", "being", "am"])
MODAL_SIGNS = frozenset(["MUST", "MAY", "SHOULD", "CAN", "MIGHT", "WILL", "LIKELY", "CERTAIN"])
QUANTIFIER_SIGNS = frozenset(["NO", "NOTALL", "ALL", "MOST", "FEW", "SOME", "MANY"])
CLAUSE_SIGNS = frozenset(["BECAUSE", "SO", "IF", "ONLYIF", "WHEN", "UNLESS", "AFTER", "BEFORE", "THEN", "EARLIER", "ALTHOUGH", "BUT", "PURPOSE", "CAUSES", "CAUSED_BY", "REASON", "SAYS"])  # fmt: skip
PREPOSITION_SIGNS = frozenset(("ABOVE",))
RELATIVES = ("who", "which", "that", "whom", "what")
_NOUNY = frozenset(("wound", "ground", "rose", "felt", "saw", "left", "found", "lead", "bore", "lay", "ring", "cut", "set", "hit", "cost", "read", "shot", "cast", "bet", "bit", "spring", "wind"))  # fmt: skip


def tag_all(tokens: list[Token]) -> list[str]:
    """One tag per token: N, V, PART (a participle after `be`), AUX, DET, PRON, PREP, … or the name of a sign."""
    tags: list[str] = []
    for index in range(len(tokens)):
        tags.append(_tag(tokens, tags, index))
    for start, end in _stretches(tokens):
        _second_look(tokens, tags, start, end)
    return tags


def _tag(tokens: list[Token], tags: list[str], index: int) -> str:
    token = tokens[index]
    word = token.low
    if token.kind == "sign":
        return "PREP" if word in PREPOSITION_SIGNS else word
    if token.kind == "number":
        return "TIME" if _time_word(tokens, index) else "NUM"
    if token.kind == "mark":
        return "POSS" if word == "'s" else "MARK"
    if word == "that":
        return "PRON" if _relative(tokens, tags, index) else "DET"
    for name, tag in (("determiners", "DET"), ("pronouns", "PRON"), ("prepositions", "PREP"), ("auxiliaries", "AUX"), ("conjunctions", "CONJ"), ("adverbs", "ADV")):  # fmt: skip
        if word in closed(name):
            return tag
    if word == "to":
        return "TO" if _infinitive(tokens, index) else "PREP"
    if _time_word(tokens, index):
        return "TIME"
    if word.endswith("ly") and word not in closed("not_ly") and len(word) > 4:
        return "ADV"
    if token.capital and not token.start:
        return "N"
    return _verb_or_noun(tokens, tags, index)


def _infinitive(tokens: list[Token], index: int) -> bool:
    """`to` before a verb: a known one, or an unknown word with an object after it."""
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is None or following.kind != "word":
        return False
    if is_verb(following.low) or following.low == "be":
        return True
    plain = (
        following.low not in closed("determiners") | closed("pronouns") | closed("prepositions")
        and not following.capital
    )
    return (
        plain
        and index + 2 < len(tokens)
        and (tokens[index + 2].low in closed("determiners") or tokens[index + 2].kind == "number")
    )


_TIMES = frozenset(["morning", "afternoon", "evening", "night", "week", "weekend", "month", "year", "day", "spring", "summer", "autumn", "winter", "season", "hour", "minute", "second", "decade", "century", "time"])  # fmt: skip
_WEEK = frozenset(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])


def _time_word(tokens: list[Token], index: int) -> bool:
    """`this morning`, `last week`, `five days ago`, `two hours later`: adverbs, not objects."""
    low = [token.low for token in tokens[index : index + 3]] + ["", ""]
    if low[0] in ("this", "last", "next", "every", "that") and (low[1].removesuffix("s") in _TIMES or low[1] in _WEEK):
        return True
    if index and tokens[index - 1].low in ("this", "last", "next", "that") and (low[0] in _TIMES or low[0] in _WEEK):
        return True
    nearby = {token.text.lower() for token in tokens[index + 1 : index + 3]} & {"ago", "later", "earlier"}
    return bool(nearby) and (tokens[index].kind == "number" or low[0].removesuffix("s") in _TIMES)


def _relative(tokens: list[Token], tags: list[str], index: int) -> bool:
    return index > 0 and tags[index - 1] in ("N", "PRON", "V", "MARK") and index + 1 < len(tokens)


def _before(tags: list[str], index: int) -> str:
    """The tag before, adverbs and denials skipped."""
    for tag in reversed(tags[:index]):
        if tag not in ("ADV", "NOT", "TIME"):
            return tag
    return ""


def _verb_or_noun(tokens: list[Token], tags: list[str], index: int) -> str:
    word = tokens[index].low
    before = _before(tags, index)
    after = tokens[index + 1] if index + 1 < len(tokens) else Token(".", ".", "mark")
    last = next((tokens[k].low for k in range(index - 1, -1, -1) if tags[k] not in ("ADV", "NOT", "TIME")), "")
    if (word in irregular_forms() and irregular_forms()[word][0] != word) or (word.endswith("ed") and len(word) > 4 and word not in ("hundred", "indeed", "speed", "breed")):  # fmt: skip
        if before == "NUM" and not _nounish(after):
            return "V"
        if before in ("DET", "POSS", "NUM", "ALL", "SOME", "MOST", "NO", "FEW") or (before == "PREP" and last != "by"):
            return "N"
        if word in _NOUNY and before not in ("N", "PRON", "AUX"):
            return "N"
        return "PART" if before == "AUX" and last in BE | {"have", "has", "had", "having"} and last in BE else "V"
    if before in MODAL_SIGNS or before in ("TO", "PURPOSE") or (before == "AUX" and last in ("do", "does", "did", "would")) or before == "NOT":  # fmt: skip
        return "V" if is_verb(word) or before in ("TO",) or not _nounish(after) else "N"
    if before in MODAL_SIGNS | {"TO"}:
        return "V"
    if word.endswith("ing") and len(word) > 5:
        if before in ("AUX", "AFTER", "BEFORE", "PREP", "BECAUSE", "ALTHOUGH", "PURPOSE", "NOT", ""):
            return "V" if before != "PREP" or last != "the" else "N"
        return "N"
    if before == "PRON" and (is_verb(word) or uninflected(word)):
        return "V"
    if before == "AUX" and last in BE and _irregular_participle(word):
        return "PART"
    if (
        before in ("N", "POSS_N")
        and uninflected(word)
        and word.endswith("s")
        and uninflected(word) not in words("noun_verbs")
    ):
        return "V"
    if before in ("N",) and word in table("irregular_verbs") and word not in words("noun_verbs") and word not in _NOUNY:
        return "V"
    return "N"


def _irregular_participle(word: str) -> bool:
    return word in table("irregular_verbs") and table("irregular_verbs")[word][1] == word


def _nounish(token: Token) -> bool:
    return token.kind == "word" and token.low not in closed("determiners") and token.low not in closed("prepositions")


def _stretches(tokens: list[Token]) -> list[tuple[int, int]]:
    """Runs between marks and clause signs."""
    edges = [-1, *(k for k, t in enumerate(tokens) if t.low in (".", "!", "?", ";", ",", ":") or t.low in CLAUSE_SIGNS), len(tokens)]  # fmt: skip
    return [(first + 1, second) for first, second in itertools.pairwise(edges) if second > first + 1]


def _second_look(tokens: list[Token], tags: list[str], start: int, end: int) -> None:
    """A stretch with a noun and no verb: the likeliest word is made its verb."""
    if any(tags[k] in ("V", "PART", "AUX") for k in range(start, end)):
        return
    if tokens[start].kind == "word" and tags[start] == "N" and is_verb(tokens[start].low) and end > start + 1 and tags[start + 1] != "N":  # fmt: skip
        tags[start] = "V"
        return
    best, best_rank = -1, 0
    for k in range(start + 1, end):
        if tags[k] != "N" or tokens[k].capital or tags[k - 1] not in ("N", "PRON", "ADV", "NOT", "ALL"):
            continue
        low = tokens[k].low
        rank = 3 if uninflected(low) and low not in words("noun_verbs") else 0
        rank = rank or (2 if is_verb(low) and (low in words("verbs") or tokens[k - 1].low.endswith("s")) else 0)
        rank = rank or (
            1
            if low.endswith("s") and (k + 1 == end or tags[k + 1] in ("DET", "NUM", "ADV", "PREP", "PRON", "POSS"))
            else 0
        )
        if rank and k + 1 < end and tags[k + 1] in ("DET", "NUM", "PRON", "ALL", "SOME"):
            rank += 1
        if rank > best_rank:
            best, best_rank = k, rank
    if best >= 0:
        tags[best] = "V"
