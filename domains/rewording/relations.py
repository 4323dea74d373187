"""Relations between the parts of a text: cause → effect, condition → consequence, earlier → later, greater → lesser; amounts and names.

Every relation is a pair of key sets with a direction. Two texts agree on one when their pairs overlap more straight than crosswise.
"""

from __future__ import annotations

from dataclasses import dataclass

from domains.rewording.english import table
from domains.rewording.keys import base, key, scales, uncompared, units
from domains.rewording.structure import Reading
from domains.rewording.tags import BE
from domains.rewording.words import STOPS, closed, reading

FIRST_IS_AFTER = frozenset(("BECAUSE", "IF", "ONLYIF", "UNLESS", "WHEN", "AFTER"))
"""Signs after which the first part (cause, condition, earlier) stands; the part before them, or the main clause, is the second."""
KINDS = {
    "BECAUSE": "cause", "SO": "cause", "CAUSES": "cause", "CAUSED_BY": "cause", "REASON": "cause", "IF": "condition", "ONLYIF": "condition",
    "UNLESS": "condition", "WHEN": "when", "AFTER": "time", "BEFORE": "time", "THEN": "time", "EARLIER": "time", "ALTHOUGH": "contrast", "BUT": "contrast",
    "PURPOSE": "purpose",
}  # fmt: skip


@dataclass(frozen=True)
class Relation:
    """`first` → `second`: cause → effect, condition → consequence, earlier → later, act → purpose, greater → lesser."""

    kind: str
    first: frozenset[str]
    second: frozenset[str]
    dimension: str = ""
    """Of a comparison: stem of the adjective; the part it is said of is `first`."""


def relations(text: Reading) -> list[Relation]:
    """All relations that signs express, plus `since` and `so` where they are used so, and bare `to do` as purpose."""
    if "relations" not in text.memo:
        text.memo["relations"] = _relations(text)
    found: list[Relation] = text.memo["relations"]
    return found


def _relations(text: Reading) -> list[Relation]:
    found = []
    for index, token in enumerate(text.tokens):
        sign = token.low if token.kind == "sign" else _loose_sign(text, index)
        if sign in KINDS:
            relation = _relation(text, index, sign)
            if relation and relation.first and relation.second:
                found.append(relation)
    return found


def _loose_sign(text: Reading, index: int) -> str:
    """The sign that `since`, `so`, `yet`, `as` … is in this place; empty where it is something else."""
    low = text.tokens[index].low
    before = text.tokens[index - 1].low if index else ""
    opens = index == 0 or before in (*STOPS, ";", ",")
    if (low == "since" and (index == 0 or before in (*STOPS, ";"))) or (
        low == "since" and _has_verb(text, index) and before != "ever"
    ):
        following = text.tokens[index + 1] if index + 1 < len(text.tokens) else None
        return "" if following is None or following.kind == "number" else "BECAUSE"
    if low == "so" and opens and _has_verb(text, index):
        return "SO"
    if low in ("yet", "still") and opens and index:
        return "BUT"
    if low == "later" and opens:
        return "THEN"
    if low == "as" and index == 0 and _has_verb(text, index):
        return "WHEN"
    if text.tags[index] == "TO" and _purpose_to(text, index):
        return "PURPOSE"
    return ""


def _has_verb(text: Reading, index: int) -> bool:
    return any(tag in ("V", "PART", "AUX") for tag in text.tags[index + 1 : index + 14])


def _purpose_to(text: Reading, index: int) -> bool:
    """`to do` at the front of a sentence, or after an object: `raised the bed to help the patient`."""
    if index == 0 or text.tokens[index - 1].low in STOPS:
        return True
    verb = next((k for k in range(index - 1, -1, -1) if text.tags[k] in ("V", "PART")), -1)
    plain = verb >= 0 and base(text.tokens[verb].low) not in ("ask", "tell", "want", "teach", "allow", "help", "need", "learn", "begin", "start", "try", "plan", "expect", "order", "force", "persuade")  # fmt: skip
    return (
        plain
        and index - verb > 1
        and text.tags[index - 1] == "N"
        and not any(t.low == "for" for t in text.tokens[:index])
    )


def _sentence(text: Reading, index: int) -> tuple[int, int]:
    """The sentence around a position (a semicolon does not end one)."""
    start = max((k + 1 for k in range(index) if text.tokens[k].low in STOPS), default=0)
    end = next((k for k in range(index, len(text.tokens)) if text.tokens[k].low in STOPS), len(text.tokens))
    return start, end


def _relation(text: Reading, index: int, sign: str) -> Relation | None:
    start, end = _sentence(text, index)
    if sign in ("THEN", "EARLIER") and index and text.tags[index - 1] == "TIME":
        return None  # `four years later` says when, not after what
    if sign == "THEN" and any(token.low in ("IF", "WHEN") for token in text.tokens[start:index]):
        return None
    if sign == "REASON":
        return _reason(text, index, end)
    fronted = not text.content(start, index) and sign not in ("CAUSES", "CAUSED_BY")
    if sign in ("SO", "THEN", "BUT", "EARLIER") and fronted:
        before_start = max((k + 1 for k in range(start - 1) if text.tokens[k].low in STOPS), default=0)
        near, far = text.content(index + 1, end), text.content(before_start, start)
        if not far:  # `First … then`, or a sentence that begins with `Then` and nothing before it
            return None
    elif fronted:
        comma = _split_point(text, index, end)
        if comma < 0:
            return None
        near, far = text.content(index + 1, comma), text.content(comma + 1, end)
    else:
        begin = _previous_edge(text, start, index)
        near, far = text.content(index + 1, _next_edge(text, index, end)), text.content(begin, index)
    kind = KINDS[sign]
    if sign in FIRST_IS_AFTER or sign in ("CAUSED_BY", "EARLIER"):
        return Relation(kind, near, far)
    if sign == "BEFORE":
        return Relation(kind, far, near)
    if sign in ("SO", "THEN", "CAUSES", "PURPOSE"):
        return Relation(kind, far, near)
    return Relation(kind, far, near)


def _reason(text: Reading, index: int, end: int) -> Relation | None:
    """`the reason why EFFECT is that CAUSE`; `CAUSE was the reason …` is a sign of its own."""
    for k in range(index + 1, end):
        if (
            text.tokens[k].low in BE
            and k + 1 < end
            and (text.tokens[k + 1].low == "that" or text.tags[k + 1] == "BECAUSE")
        ):
            return Relation("cause", text.content(k + 1, end), text.content(index + 1, k))
    return None


def _split_point(text: Reading, index: int, end: int) -> int:
    """The comma (or `; then`) that ends a fronted clause: the first one after a verb, or else the first."""
    marks = [k for k in range(index + 1, end) if text.tokens[k].low in (",", ";")]
    verbs = [k for k in range(index + 1, end) if text.tags[k] in ("V", "PART", "AUX")]
    good = [k for k in marks if any(v > k for v in verbs)]
    return (good or marks or [-1])[0]


def _previous_edge(text: Reading, start: int, index: int) -> int:
    return max(
        (k + 1 for k in range(start, index - 1) if text.tokens[k].low == ";" and text.content(k + 1, index)),
        default=start,
    )


def _next_edge(text: Reading, index: int, end: int) -> int:
    return end


def comparisons(text: Reading) -> list[Relation]:
    """`A is faster than B`, `A is not as fast as B`, `compared with B, A is faster`, `A exceeds B`, `of A and B, the latter is slower`."""
    found = []
    for index in range(len(text.tokens)):
        adjective, less = _comparative(text, index)
        if not adjective:
            continue
        start, end = _sentence(text, index)
        first, second = _compared(text, index, start, end)
        if first and second:
            found.append(Relation("less" if less else "more", first - {_key_of(text, index)}, second, adjective))
    return found


def _key_of(text: Reading, index: int) -> str:
    return text.key(index)


def _comparative(text: Reading, index: int) -> tuple[str, bool]:
    """Stem of the adjective that is compared here, and whether it is said to be less; ("", False) where none is."""
    token = text.tokens[index]
    after = text.tokens[index + 1] if index + 1 < len(text.tokens) else None
    if token.kind == "word" and token.low in ("more", "less", "fewer") and after is not None:
        if after.low in ("than", "or") or after.kind == "number":
            verb = next((text.tokens[k] for k in range(index - 1, -1, -1) if text.tags[k] == "V"), None)
            number = index + 2 < len(text.tokens) and text.tokens[index + 2].kind == "number"
            return (key(verb.low) if verb and after.low == "than" and not number else "", token.low != "more")
        return (key(after.low), token.low != "more")
    if token.low == "LESS" and index + 2 < len(text.tokens):
        return key(text.tokens[index + 2].low), True
    if (
        token.kind == "word"
        and base(token.low) in ("exceed", "surpass", "outperform", "outweigh", "outnumber")
        and text.tags[index] in ("V", "PART")
    ):
        number = after is not None and after.kind == "number"
        return ("" if number else "exceed"), False
    if token.kind != "word" or text.tags[index] == "V":
        return "", False
    if token.low in table("irregular_comparatives") and token.low not in (
        "best",
        "most",
        "worst",
        "least",
        "fewest",
        "farthest",
        "better",
    ):
        return table("irregular_comparatives")[token.low][0], False
    if token.low == "better" and (after is None or after.low in ("than", ".", "")):
        return "good", False
    positive = key(found) if (found := uncompared(token.low)) and token.low.endswith("er") else ""
    used = after is None or after.low in ("than", ".", ",", ";") or positive in scales() or _than_follows(text, index)
    return (positive if positive and used else ""), False


def _than_follows(text: Reading, index: int) -> bool:
    return any(token.low == "than" for token in text.tokens[index + 1 : index + 7])


def _compared(text: Reading, index: int, start: int, end: int) -> tuple[frozenset[str], frozenset[str]]:
    """What is said to be more, and than what."""
    tokens = text.tokens
    if tokens[index].low == "LESS":
        second = next((k for k in range(index + 2, end) if tokens[k].low == "as"), -1)
        return (text.content(start, index), text.content(second + 1, end)) if second > 0 else (frozenset(), frozenset())
    than = next((k for k in range(index + 1, end) if tokens[k].low == "than"), -1)
    if than > 0:
        if than + 1 < len(tokens) and tokens[than + 1].kind == "number":
            return frozenset(), frozenset()
        if than + 1 < end and text.tags[than + 1] == "PREP":  # `faster in water than in air`
            same = next((k for k in range(index + 1, than) if tokens[k].low == tokens[than + 1].low), -1)
            if same > 0:
                return text.content(same, than), text.content(than + 1, end)
        return text.content(start, index), text.content(than + 1, end)
    if base(tokens[index].low) in ("exceed", "surpass", "outperform", "outweigh", "outnumber"):
        by = next((k for k in range(index + 1, end) if tokens[k].low == "by"), -1)
        if text.tags[index] == "PART" and by > 0:
            return text.content(by + 1, end), text.content(start, index)
        return text.content(start, index), text.content(index + 1, end)
    comma = next((k for k in range(start, index) if tokens[k].low == ","), -1)
    if comma < 0:
        return frozenset(), frozenset()
    if tokens[start].low == "of":
        both = next((k for k in range(start, comma) if tokens[k].low == "and"), -1)
        one, other = text.content(start, both), text.content(both + 1, comma)
        former = any(tokens[k].low == "FORMER" for k in range(comma, index))
        return ((one, other) if former else (other, one)) if both > 0 else (frozenset(), frozenset())
    if base(tokens[start].low) in ("compare", "relative", "unlike", "contrast", "comparison"):
        return text.content(comma + 1, index), text.content(start + 1, comma)
    return frozenset(), frozenset()


@dataclass(frozen=True)
class Amount:
    """A number with what it counts or measures."""

    value: float
    unit: str
    """Base unit for measures (`kg`, `s`), else empty."""
    bound: str
    """`>=`, `<=`, `>`, `<`, `=` (said to be exact) or empty."""
    of: str
    """Key of the noun it counts, where there is no unit."""
    text: str


_BOUND_SIGNS = {"ATLEAST": ">=", "ATMOST": "<=", "ABOVE": ">"}
_BOUND_WORDS = {"over": ">", "above": ">", "beyond": ">", "under": "<", "below": "<", "exactly": "=", "precisely": "="}
_MORE = frozenset(("more", "greater", "higher", "larger", "bigger", "longer", "older"))
_FEWER = frozenset(("less", "fewer", "lower", "smaller", "shorter", "younger"))


def amounts(text: Reading) -> list[Amount]:
    """Every number of a text."""
    found = []
    for index, token in enumerate(text.tokens):
        if token.kind == "number":
            found.append(_amount(text, index))
        elif token.kind == "word" and token.low in ("a", "an", "one", "single") and index + 1 < len(text.tokens):
            follows = text.tokens[index + 1].low
            if follows in units() and text.tokens[index + 1].kind == "word" and len(follows) > 2 and token.low == "one":
                unit, factor = units()[follows]
                found.append(Amount(factor, unit, "", "", f"one {follows}"))
    return found


def _amount(text: Reading, index: int) -> Amount:
    tokens = text.tokens
    value, unit, of = tokens[index].value, "", ""
    before = tokens[index - 1] if index else None
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    if before is not None and before.text in units() and before.kind == "mark":
        unit, factor = units()[before.text]
        value *= factor
    if after is not None and (after.text in units() or after.low in units()) and not unit:
        unit, factor = units().get(after.text) or units()[after.low]
        value *= factor
        if unit == "deg" and index + 3 < len(tokens) and tokens[index + 2].low in units():
            unit = units()[tokens[index + 2].low][0]
    elif not unit:
        k = index + 1
        while (k < min(index + 5, len(tokens)) and text.tags[k] in ("N", "ADV", "POSS")) or (
            text.tokens[k : k + 1] and tokens[k].low in ("of", "the")
        ):
            of = (text.key(k) if text.tags[k] == "N" else "") or of  # the last noun of the phrase is its head
            k += 1
    if tokens[index].value == 0.5 and not unit and "half" in tokens[index].text.lower():
        value, unit = 50.0, "pct"
    return Amount(value, unit, _bound(text, index), of, " ".join(t.text for t in tokens[index : index + 2]))


def _bound(text: Reading, index: int) -> str:
    tokens = text.tokens
    if index + 2 < len(tokens) and tokens[index + 1].low == "or" and tokens[index + 2].low in _MORE | _FEWER:
        return ">=" if tokens[index + 2].low in _MORE else "<="
    k = index - 1
    if k >= 0 and tokens[k].kind == "mark":
        k -= 1
    if k < 0:
        return ""
    if tokens[k].kind == "sign" and tokens[k].low in _BOUND_SIGNS:
        return _BOUND_SIGNS[tokens[k].low]
    if tokens[k].low == "than" and k:
        return ">" if tokens[k - 1].low in _MORE else ("<" if tokens[k - 1].low in _FEWER else "")
    if base(tokens[k].low) == "exceed":
        return ">"
    return _BOUND_WORDS.get(tokens[k].low, "")


def names(text: Reading) -> tuple[frozenset[str], frozenset[str]]:
    """Names: (certainly names, all that could be one — first words of sentences included)."""
    sure, maybe = set(), set()
    for index, token in enumerate(text.tokens):
        if not token.capital or token.low in ("i",) or token.low in closed("determiners") | closed("pronouns"):
            continue
        maybe.add(token.low)
        if not token.start and text.tokens[index].low not in reading()["contractions"]:
            sure.add(token.low)
    return frozenset(sure), frozenset(maybe)
