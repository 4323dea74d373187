"""Citations in a text: Articles in every usual form, Schedules, Parts and amendments, and which of them exist.

The reader is a scanner from each keyword onward, linear in the text: "Article 21", "Art. 21A", "Articles 14 and 15", "Articles 14-18",
"Article 19(1)(a)", "Arts 32, 226", "Article 243-ZT", "Articles 243P-ZG".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from domains.constitution.numerals import ordinal, roman, spoken
from domains.constitution.stock import amendments, articles, parts, positions, schedules

_KEYWORD = re.compile(
    r"(?i:\barticles?|\barts?\b|\barticle(?=\d)|अनुच्छेद)[\s.:-]{0,4}(?:(?i:no|nos|number|numbers)\b[\s.]{0,3})?"
)
_NUMBER = re.compile(r"(\d{1,9})(?![\d])")
_SUFFIX = re.compile(r"\s?-?\s?([A-Z]{1,3})(?![A-Za-z])|([a-z]{1,2})(?![A-Za-z])")
_CLAUSE = re.compile(r"\s?\((?:\d{1,2}[A-Z]{0,2}|[a-z]{1,4}|[A-Z]{1,2})\)|\s?\[(?:\d{1,2}|[a-z])\]")
_SEPARATOR = re.compile(
    r"\s{0,3}(?:(,\s?(?:and|or|&)?|and|&|or|/|to|through|until|-|;)\s{0,3})(?:(?i:articles?|arts?)\b[\s.]{0,3})?(?=[\dA-Z(])"
)
_BLANK = re.compile(r"([ |•·+]{1,3})(?=\d{1,3}[A-Z]{0,2}(?:[ |•·+]{1,3}\d|[ ]?(?:[.,;)|]|\Z)))")
"""Numbers one after another with nothing between them: a list of guesses."""
_NOT_ARTICLE = re.compile(
    r"\s?(?:%|/\d|[.,]\d|st\b|nd\b|rd\b|th\b|(?:per\s?cent|years?|months?|weeks?|days?|hours?|members?|lakhs?|crores?|thousand|hundred"
    r"|rupees|seats?|judges?|ministers?|persons?|directors?|houses?|states?|amendment|of\s(?:the\s)?total|votes?|languages?|entries|subjects)\b)",
    re.I,
)
_ENDS = re.compile(r"\s{0,3}(?:[.,;:)\]'\"/&-]|and\b|or\b|to\b|of\b|\(|\Z|\n|read\b|in\b)")
_SCHEDULE = re.compile(
    r"\b((?:\d{1,3}(?:st|nd|rd|th)|[A-Za-z]{5,12}(?:[ -][a-z]{5,7})?|[IVXL]{1,6}))\s{1,2}Schedules?\b|\bSchedule[\s-]{1,2}(\d{1,3}|[IVXL]{1,6})\b",
    re.I,
)
_PART = re.compile(r"\bParts?\s{1,2}([IVXL]{1,6}|\d{1,2})(?:\s?-?\s?\(?([A-Z])\)?)?(?![A-Za-z0-9])")
_AMENDMENT = re.compile(
    r"\b(?:(\d{1,4})\s?(?:st|nd|rd|th)|((?:[A-Za-z]{3,10}[\s-]{1,2}){0,4}[A-Za-z]{3,11}))\s{1,2}(?:Constitution(?:al)?\s{1,2})?\(?Amendments?\b"
    r"|\bAmendment\s{1,2}(?:Act\s{1,2})?(?:No\.?\s{0,2})?(\d{1,3})\b",
    re.I,
)
_PREAMBLE = re.compile(r"\bpreamble\b", re.I)


@dataclass(frozen=True)
class Citation:
    """One cited Article, or a range of them as its end points."""

    article: str
    start: int
    end: int
    hedged: bool = False
    """Given as an alternative: joined to another by "or" or a slash."""
    last: str = ""
    """The end of a range."""

    def named(self) -> list[str]:
        """The Articles it stands for, in order; the end points alone where the range does not exist."""
        if not self.last:
            return [self.article]
        order = positions()
        if self.article not in order or self.last not in order or order[self.article] > order[self.last]:
            return [self.article, self.last]
        return list(articles())[order[self.article] : order[self.last] + 1]


@dataclass(frozen=True)
class Mark:
    """A cited Schedule, Part or amendment."""

    kind: str
    number: str
    start: int
    end: int


@dataclass(frozen=True)
class Found:
    """Everything cited in a text."""

    articles: list[Citation] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    """Schedules, Parts and amendments."""
    preamble: bool = False
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Where citations stand, so that their numbers are not read as facts."""

    def numbers(self, kind: str) -> list[str]:
        """The numbers of what is cited of a kind: `schedule`, `part` or `amendment`."""
        return [mark.number for mark in self.marks if mark.kind == kind]

    def names(self) -> list[str]:
        """Each cited Article once, in the order of first mention (ranges spread out), and `Preamble`."""
        named = [name for citation in self.articles for name in citation.named()]
        return list(dict.fromkeys([*named, *(["Preamble"] if self.preamble else [])]))

    def invented(self) -> list[str]:
        """What is cited and does not exist."""
        known = articles()
        wrong = [f"Article {name}" for c in self.articles for name in (c.article, c.last) if name and name not in known]
        existing = {"schedule": map(str, schedules()), "part": parts(), "amendment": map(str, amendments())}
        for kind, numbers in existing.items():
            there = set(numbers)
            wrong += [f"{kind.title()} {number}" for number in self.numbers(kind) if number not in there]
        return list(dict.fromkeys(wrong))


def extract(text: str) -> Found:
    """The citations in a text that went through `readable`."""
    found: list[Citation] = []
    spans: list[tuple[int, int]] = []
    position = 0
    while keyword := _KEYWORD.search(text, position):
        items, end = _items(text, keyword.end(), plural=keyword[0].strip(" .:-\n").lower().endswith("s"))
        if items:
            spans.append((keyword.start(), end))
            found += items
        position = max(end, keyword.end())
    marks: list[Mark] = []
    for kind, pattern in (("schedule", _SCHEDULE), ("amendment", _AMENDMENT), ("part", _PART)):
        for match in pattern.finditer(text):
            number = _part(match[1], match[2] or "") if kind == "part" else _numbered(match)
            if number is not None:
                marks.append(Mark(kind, number, *match.span()))
    spans += [(mark.start, mark.end) for mark in marks]
    return Found(found, marks, bool(_PREAMBLE.search(text)), sorted(spans))


def without(text: str, found: Found) -> str:
    """`text` with its citations as blanks, at the same length."""
    pieces, last = [], 0
    for start, end in found.spans:
        if start >= last:
            pieces += [text[last:start], " " * (end - start)]
            last = end
        elif end > last:
            pieces.append(" " * (end - last))
            last = end
    return "".join([*pieces, text[last:]])


def _items(text: str, start: int, *, plural: bool) -> tuple[list[Citation], int]:
    """The list of Articles that begins at `start`, and where it ends."""
    first = _item(text, start)
    if first is None:
        return [], start
    items, position, ranging = [first[0]], first[1], False
    for _ in range(400):
        separator = _SEPARATOR.match(text, position) or _BLANK.match(text, position)
        if separator is None:
            break
        mark = separator[1].strip().lower() or "|"
        item = _item(text, separator.end(), shorthand=items[-1].article if mark in ("-", "to", "through") else None)
        # a slash between numbers after another mark is a fraction ("Article 61, 2/3"), after a slash it goes on with the list
        fraction = mark != "/" or not re.match(r"/\d", text[item[1] : item[1] + 2]) if item else False
        if item is None or (fraction and _NOT_ARTICLE.match(text, item[1])) or _calendar(item[0], mark):
            break
        if (
            mark.startswith((",", ";"))
            and "rticle" not in separator[0]
            and not plural
            and not _ENDS.match(text, item[1])
        ):
            break
        cited, position = item
        if mark in ("to", "through", "-", "until") and not ranging and not items[-1].last:
            items[-1] = Citation(items[-1].article, items[-1].start, position, items[-1].hedged, cited.article)
            ranging = True
            continue
        ranging = False
        hedged = mark.endswith("or") or mark == "/"
        if hedged:
            before = items[-1]
            items[-1] = Citation(before.article, before.start, before.end, True, before.last)
        items.append(Citation(cited.article, cited.start, position, hedged))
    return items, position


def _item(text: str, start: int, shorthand: str | None = None) -> tuple[Citation, int] | None:
    number = _NUMBER.match(text, start)
    if number is None:
        return _shorthand(text, start, shorthand) if shorthand else _in_words(text, start)
    if (
        not shorthand
        and _NOT_ARTICLE.match(text, number.end())
        and not re.match(r"\s?/", text[number.end() : number.end() + 2])
    ):
        return None
    base, end = str(int(number[1])), number.end()
    suffix = _SUFFIX.match(text, end)
    if suffix:
        letters = (suffix[1] or suffix[2]).upper()
        attached = suffix[0] == (suffix[1] or suffix[2])
        # "Article 21 A person shall": a lone capital after a blank is a suffix only where the Article exists and no word follows
        follows = re.match(r"\s{1,2}[a-z]", text[suffix.end() : suffix.end() + 4])
        known = base + letters in articles()
        if (
            attached
            or (known and not (follows and len(letters) == 1 and "-" not in suffix[0]))
            or ("-" in suffix[0] and len(letters) == 1)
        ):
            base, end = base + letters, suffix.end()
    while clause := _CLAUSE.match(text, end):
        end = clause.end()
    return Citation(base, start, end), end


def _shorthand(text: str, start: int, first: str) -> tuple[Citation, int] | None:
    """The ZG of "243P-ZG"."""
    letters = re.compile(r"[A-Z]{1,2}(?![A-Za-z])").match(text, start)
    stem = re.match(r"\d+", first)
    if letters is None or stem is None or stem[0] + letters[0] not in articles():
        return None
    return Citation(stem[0] + letters[0], start, letters.end()), letters.end()


_SPOKEN = re.compile(r"[A-Za-z]{3,9}(?:[\s-]{1,2}[A-Za-z]{2,9}){0,5}")


def _in_words(text: str, start: int) -> tuple[Citation, int] | None:
    """ "Article twenty-one": the longest run of number words."""
    run = _SPOKEN.match(text, start)
    if run is None:
        return None
    value, length = spoken(run[0])
    return (Citation(str(value), start, start + length), start + length) if value else None


def _calendar(item: Citation, mark: str) -> bool:
    return mark.startswith(",") and item.article.isdigit() and 1800 <= int(item.article) <= 2100


def _numbered(match: re.Match[str]) -> str | None:
    texts = [group for group in match.groups() if group]
    text = texts[0].strip()
    if digits := re.match(r"\d+", text):
        return str(int(digits[0]))
    if text.isupper() and (value := roman(text)) is not None:
        return str(value)
    number = ordinal(text)
    return None if number is None else str(number)


def _part(number: str, letter: str) -> str | None:
    if number.isdigit():
        known = list(parts())
        romans = [name for name in known if name[-1] not in "AB"]
        value = int(number)
        name = romans[value - 1] if 1 <= value <= len(romans) else number
    elif roman(number) is None:
        return None
    else:
        name = number
    return name + letter if letter in ("A", "B", "") or name + letter in parts() else name
