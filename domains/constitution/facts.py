"""Whether an answer states a key: holders of powers, numbers, dates, amendments, phrases.

`judge` gives `ok`, `missing` (not said) or `wrong` (another value is asserted, with it or instead of it). Words of the question and
of the reference contradict nothing; any other holder or figure of the same sort does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from domains.constitution.assertion import after_retraction, denied_later, doubled, negated
from domains.constitution.citations import Found, extract, without
from domains.constitution.lexicon import Lexicon
from domains.constitution.quantities import Quantity, dated, dates, quantities
from domains.constitution.stock import DATES, HOLDERS, QUANTITIES, WORDS, YEARS, Key, amendments, holders, vocabulary
from domains.constitution.text import readable

LISTED = 5
"""Phrases of the stock, foreign to the question and its answer, that an answer may hold before it counts as a list of guesses."""
ADVISERS = 2
"""Holders that an answer may add as advisers."""
WEAK = frozenset({"the_union", "both_houses"})
"""Too common to contradict: "the Union" is in "the Union List"."""
_ADVISORY = re.compile(
    r"\b(?:consult(?:ation|ing|ed|s)?(?: with)?|(?:advice|approval|consent|sanction|recommendations?|opinion|concurrence|presence|pleasure|name|behalf) (?:of|from|by)"
    r"|addressed to|recommended by|advised by|approved by|before|sworn in by|headed by|led by) (?:the |a |an |any |its |that )*$",
    re.I,
)
_ADVISES = re.compile(
    r"^(?:'s|s')? (?:advice|approval|consent|sanction|recommendations?|opinion|concurrence|presence|pleasure)\b|^ (?:is|are|must be|shall be|has to be|being) (?:always )?consulted",
    re.I,
)
_EITHER = re.compile(
    r"^[\s,]{0,3}(?:and\s?/\s?or|or|/|\|)[\s,]{0,3}(?:(?:maybe|perhaps|possibly|else|by|the|a|an)\s){0,3}$", re.I
)
_UNITLESS = re.compile(
    r"^\s{0,2}(?:[.,;:)\]/-]|\Z|\n|(?:and|or|to|is|old|as|in|under|by|at|for|when|before|but|not)\b|\()", re.I
)


_OTHER_OFFICE = re.compile(r"\s?-\s?General\b", re.I)
"""The Governor-General is not the Governor."""


@dataclass(frozen=True)
class Hit:
    """A holder named in a text."""

    holder: str
    start: int
    end: int
    advisory: bool
    """Named as one who is consulted or advises, not as one who acts."""


@dataclass(frozen=True)
class Said:
    """A text and what is read in it once."""

    text: str
    """Without citations."""
    cited: Found
    named: tuple[Hit, ...]
    figures: tuple[Quantity, ...]
    dated: tuple[tuple[int, int, tuple[int, int, int]], ...]


@dataclass(frozen=True)
class Context:
    """What a pair itself says: none of it contradicts its answer."""

    question: Said
    reference: Said
    also: Said


def read(text: str) -> Said:
    """Read a text that went through `readable`."""
    cited = extract(text)
    plain = _unlisted(without(text, cited))
    return Said(plain, cited, named(plain), quantities(plain), dated(plain))


@lru_cache(maxsize=4096)
def context(question: str, reference: str, also: str) -> Context:
    """The context of a pair."""
    return Context(*(read(readable(text)) for text in (question, reference, also)))


def _unlisted(text: str) -> str:
    """Without the numbers of a list that counts 1, 2, 3 at the heads of its lines."""
    expected = 1
    lines = text.split("\n")
    for place, line in enumerate(lines):
        head = re.match(r"\s{0,8}(\d{1,2})[.)](?=\s)", line)
        if head and int(head[1]) == expected:
            lines[place], expected = " " * head.end() + line[head.end() :], expected + 1
    return "\n".join(lines)


@lru_cache(maxsize=1)
def _names() -> tuple[Lexicon, dict[str, str]]:
    forms = {form: holder for holder, all_forms in holders().items() for form in all_forms}
    return Lexicon(forms), forms


@lru_cache(maxsize=4096)
def named(text: str) -> tuple[Hit, ...]:
    """The holders named in a text, longest names first, in order."""
    lexicon, forms = _names()
    found = []
    for form, start, end in lexicon.find(text):
        if not _OTHER_OFFICE.match(text, end):
            advisory = bool(_ADVISORY.search(text[max(0, start - 48) : start]) or _ADVISES.match(text[end : end + 24]))
            found.append(Hit(forms[form], start, end, advisory))
    return tuple(found)


def judge(key: Key, keys: Iterable[Key], said: Said, known: Context) -> str:
    """`ok`, `missing` or `wrong`."""
    if key.kind in HOLDERS:
        return _holder(key, [other.value for other in keys if other.kind in HOLDERS], said, known)
    if key.kind in QUANTITIES:
        return _quantity(key, [other for other in keys if other.kind in QUANTITIES], said, known)
    if key.kind in WORDS:
        return _phrase(key, said, known)
    wanted = _dates_of(key) if key.kind in DATES else {key.value, *key.accept}
    neutral = {item for side in (known.question, known.reference, known.also) for item, _, _ in _stated(key.kind, side)}
    expected = any(
        item in wanted and negated(known.reference.text, start, end)
        for item, start, end in _stated(key.kind, known.reference)
    )
    found = {item for item, start, end in _stated(key.kind, said) if expected or not negated(said.text, start, end)}
    if found - wanted - neutral or (key.kind == "amendment" and _misdated(key, said)):
        return "wrong"
    return "ok" if found & wanted else "missing"


_YEAR = re.compile(r"\s{0,3}\)?(?:\s?Act)?[\s,(]{0,3}(?:of\s)?(\d{4})\b")


def _misdated(key: Key, said: Said) -> bool:
    """Whether the amendment is given a year that is neither its own nor one of the two in which it came into force."""
    year = amendments()[int(key.value)]["year"]
    marks = [mark for mark in said.cited.marks if mark.kind == "amendment" and mark.number == key.value]
    given = [match for mark in marks if (match := _YEAR.match(said.text, mark.end))]
    return any(not year <= int(match[1]) <= year + 2 for match in given)


def _stated(kind: str, said: Said) -> list[tuple[object, int, int]]:
    """What a text states of a kind, with its place: dates, calendar years, numbers of Schedules, Parts or amendments."""
    if kind in DATES:
        return [(date, start, end) for start, end, date in said.dated]
    if kind in YEARS:
        figures = [
            (str(int(figure.value)), figure.start, figure.end) for figure in said.figures if figure.dimension == "year"
        ]
        return [*figures, *((str(date[0]), start, end) for start, end, date in said.dated if date[0])]
    return [(mark.number, mark.start, mark.end) for mark in said.cited.marks if mark.kind == kind]


def _dates_of(key: Key) -> set[object]:
    full = {date for form in (key.value, *key.accept) for date in dates(form)}
    return {*full, *((0, month, day) for _, month, day in full)}


def _affirmed(said: Said) -> list[Hit]:
    spans = [(hit.start, hit.end) for hit in said.named]
    return [hit for hit in said.named if not negated(said.text, hit.start, hit.end, spans)]


def _manner(hits: Iterable[Hit], holder: str) -> set[bool]:
    return {hit.advisory for hit in hits if hit.holder == holder}


def _holder(key: Key, wanted: list[str], said: Said, known: Context) -> str:
    expected = any(hit.holder == key.value for hit in known.reference.named) and all(
        hit.holder != key.value for hit in _affirmed(known.reference)
    )
    hits = list(said.named) if expected else _affirmed(said)
    asked = {hit.holder for hit in known.question.named}
    neutral = asked | {hit.holder for side in (known.reference, known.also) for hit in side.named} | WEAK | set(wanted)
    reference = known.reference.named
    # one who is said to advise does not contradict who acts: "the President, on the advice of the Prime Minister"
    manner = _manner(reference, key.value)
    foreign = [hit for hit in hits if hit.holder not in neutral]
    if any(not hit.advisory or manner != {False} for hit in foreign) or len(foreign) > ADVISERS:
        return "wrong"
    if (
        _alternatives(key.value, said, known)
        or _retracted(hits, {key.value, *wanted}, asked, said)
        or _swapped(hits, reference)
    ):
        return "wrong"
    for hit in hits:
        by_advice = _manner(reference, hit.holder) == {True} and not hit.advisory
        if by_advice and hit.holder not in {key.value, *asked} and any(other.holder == key.value for other in hits):
            return "wrong"
    mine = [hit for hit in hits if hit.holder == key.value]
    if manner == {False} and mine and all(hit.advisory for hit in mine):
        return "wrong"
    return "ok" if mine else "missing"


def _alternatives(holder: str, said: Said, known: Context) -> bool:
    """ "the President or the Governor", where the reference gives no such choice."""
    if re.search(r"\bor\b", known.reference.text):
        return False
    following = zip(said.named, said.named[1:], strict=False)
    return any(
        holder in (a.holder, b.holder) and a.holder != b.holder and _EITHER.match(said.text[a.end : b.start])
        for a, b in following
    )


def _retracted(hits: list[Hit], wanted: set[str], asked: set[str], said: Said) -> bool:
    for start, end in after_retraction(said.text):
        inside = {hit.holder for hit in hits if start <= hit.start < end}
        if inside - asked - WEAK and not inside & wanted:
            return True
    return False


def _swapped(hits: list[Hit], reference: tuple[Hit, ...]) -> bool:
    """One who acts and one who is consulted have changed places."""
    acting = [
        holder for holder in holders() if _manner(reference, holder) == {False} and _manner(hits, holder) == {True}
    ]
    advising = [
        holder for holder in holders() if _manner(reference, holder) == {True} and _manner(hits, holder) == {False}
    ]
    return bool(acting and advising)


def _quantity(key: Key, keys: list[Key], said: Said, known: Context) -> str:
    wanted = [figure for form in (key.value, *key.accept) for figure in quantities(form)[:1]]
    bare = {figure.value for form in (key.value, *key.accept) for figure in quantities(_first_number(form))}
    all_bare = {figure.value for other in keys for figure in quantities(_first_number(other.value))}
    all_wanted = [figure for other in keys for form in (other.value, *other.accept) for figure in quantities(form)]
    denied = _denied_figures(said)
    neutral = [figure for side in (known.question, known.reference, known.also) for figure in side.figures] + all_wanted
    timed = wanted[0].dimension in ("months", "days")

    # where the reference itself speaks in the negative ("no child below fourteen"), so may the answer
    expected = any(any(figure.same(one) for one in wanted) for figure in _denied_figures(known.reference))
    stated = [figure for figure in said.figures if expected or figure not in denied]

    def right(figure: Quantity) -> bool:
        if any(figure.same(one) for one in wanted):
            return True
        return (
            timed
            and figure.dimension == "count"
            and figure.value in bare
            and bool(_UNITLESS.match(said.text[figure.end : figure.end + 8]))
        )

    def foreign(figure: Quantity) -> bool:
        if (
            right(figure)
            or any(figure.same(one) for one in neutral)
            or (figure.dimension == "count" and figure.value in all_bare)
        ):
            return False
        if figure.dimension == wanted[0].dimension:
            return not figure.small or wanted[0].small or wanted[0].value <= 3
        loose = (
            figure.dimension == "count"
            and not figure.small
            and bool(_UNITLESS.match(said.text[figure.end : figure.end + 8]))
        )
        return loose or (timed and figure.dimension in ("months", "days"))

    matching = [figure for figure in stated if right(figure)]
    opposite = {"min": "max", "max": "min"}.get(key.bound, "-")
    if any(foreign(figure) for figure in stated) or any(figure.bound == opposite for figure in matching):
        return "wrong"
    asked = known.question.figures
    for start, end in after_retraction(said.text):
        inside = [
            figure
            for figure in stated
            if start <= figure.start < end and figure.dimension == wanted[0].dimension and not figure.small
        ]
        if (
            inside
            and not any(right(figure) for figure in inside)
            and not all(any(figure.same(one) for one in asked) for figure in inside)
        ):
            return "wrong"
    return "ok" if matching else "missing"


def _denied_figures(said: Said) -> list[Quantity]:
    spans = [(figure.start, figure.end) for figure in said.figures]
    return [figure for figure in said.figures if negated(said.text, figure.start, figure.end, spans)]


def _first_number(form: str) -> str:
    found = quantities(form)
    text = form[found[0].start : found[0].end] if found else form
    return re.sub(r"[\s-]*(?:years?|months?|days?|weeks?|hours?|rupees?|per\s?cent|%)\.?$", "", text, flags=re.I)


def _phrase(key: Key, said: Said, known: Context) -> str:
    for rival in key.rivals:
        if _stands(rival, said.text, None):
            return "wrong"
    if _guesses(key, said, known):
        return "wrong"
    forms = (key.value, *key.accept)
    return "ok" if any(_stands(form, said.text, known.reference.text) for form in forms) else "missing"


def _guesses(key: Key, said: Said, known: Context) -> bool:
    """Whether the answer holds other values of the key's kind: any name, ground or writ, or a list of phrases."""
    lexicon = _values(key.kind)
    texts = (known.question.text, known.reference.text, known.also.text, *(key.value, *key.accept))
    at_home = {value for text in texts for value, _, _ in lexicon.find(text)}
    foreign = {
        value
        for value, start, end in lexicon.find(said.text)
        if value not in at_home and not negated(said.text, start, end)
    }
    return len(foreign) > (0 if key.kind in CLOSED else LISTED)


CLOSED = frozenset({"name", "ground", "writ"})
"""Kinds of phrases that exclude one another."""


@lru_cache
def _values(kind: str) -> Lexicon:
    return Lexicon(vocabulary().get(kind, ()))


_NEGATIVE = re.compile(r"\b(?:not|no|never|cannot|without|nor|neither|none|except|nothing)\b|n't\b", re.I)


_NO = re.compile(r"(?:\A|[.!?,;\n]\s{0,3})no\b", re.I)


def _stands(form: str, text: str, reference: str | None) -> bool:
    """Whether all fragments of a form ("a & b") stand in the text unnegated (or negated as the reference has them)."""
    fragments = form.split(" & ")
    if form == "yes" and _NO.search(text):
        return False
    if form == "yes":
        return any(not denied_later(text, match.end()) for match in phrase(form).finditer(text))
    if any(_NEGATIVE.search(fragment) for fragment in fragments):
        return all(
            any(
                not (_NEGATIVE.search(fragment) and doubled(text, *match.span()))
                for match in phrase(fragment).finditer(text)
            )
            for fragment in fragments
        )
    expected = reference is not None and any(
        negated(reference, match.start(), match.end())
        for fragment in fragments
        for match in phrase(fragment).finditer(reference)
    )
    return all(
        any(expected or not negated(text, match.start(), match.end()) for match in phrase(fragment).finditer(text))
        for fragment in fragments
    )


@lru_cache(maxsize=8192)
def phrase(form: str) -> re.Pattern[str]:
    """The words of a form with any punctuation between them; a plural or possessive s may follow each."""
    words = re.findall(r"[^\W_]+", form)
    return re.compile(r"\b" + r"[\W_]{1,4}".join(rf"{re.escape(word)}(?:'?s|es)?" for word in words) + r"\b", re.I)
