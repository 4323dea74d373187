"""Numbers with their units: "thirty-five years" = "35 years", "two-thirds" = "2/3", "15 per cent" = "15%", "two weeks" = "14 days".

A quantity has an exact value, a dimension (months, days, hours, share, rupees, year, count) and a bound when the text gives one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from domains.constitution.numerals import ORDINALS, SCALES, VALUES, spoken

UNITS: dict[str, tuple[str, Fraction | int]] = {
    "year": ("months", 12), "month": ("months", 1), "day": ("days", 1), "week": ("days", 7), "fortnight": ("days", 14), "hour": ("days", Fraction(1, 24)),
    "rupee": ("rupees", 1), "rs": ("rupees", 1), "percent": ("share", Fraction(1, 100)),
}  # fmt: skip
_PARTS = {"half": 2, "halves": 2, "third": 3, "fourth": 4, "quarter": 4, "fifth": 5, "tenth": 10, "twelfth": 12}
_DIGITS = re.compile(r"\d{1,3}(?:,\d{2,3}){1,6}(?!\d)|\d{1,12}(?:\.\d{1,6})?")
_RATIO = re.compile(r"\s?/\s?(\d{1,3})(?!\d)")
_SCALE = re.compile(r"\s{1,2}(hundred|thousand|lakhs?|million|crores?)\b", re.I)
_NUMERAL = "|".join(sorted([*VALUES, *SCALES], key=len, reverse=True))
_SPOKEN = re.compile(rf"\b(?:{_NUMERAL})\b(?:[\s-]{{1,2}}(?:and\s)?(?:{_NUMERAL})\b){{0,9}}", re.I)
_SHARE = re.compile(rf"\b(?:(one|two|three|four|five|a)[\s-]{{1,3}})?({'|'.join(_PARTS)})s?\b", re.I)
_UNIT = re.compile(
    r"\s{0,2}-?(?:(?:consecutive|financial|clear|whole|completed)\s)?(percent|per\s?cent|%|years?|yrs?|months?|days?|weeks?|fortnights?|hours?|hrs?|rupees?)(?![a-z])|\s{0,2}[A-Za-z]",
    re.I,
)
_MONTH = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTHS = "|".join(f"{name}|{name[:3]}" for name in _MONTH)
_DAY = rf"(\d{{1,2}})(?:st|nd|rd|th)?|((?:twenty|thirty)[\s-])?({'|'.join(sorted(ORDINALS, key=len, reverse=True))})"
_DATES = (
    re.compile(rf"\b(?:{_DAY})\s{{1,2}}(?:day\s)?(?:of\s)?({_MONTHS})\b\.?,?\s{{0,2}}(\d{{4}})?", re.I),
    re.compile(rf"\b({_MONTHS})\b\.?\s{{1,2}}(\d{{1,2}})(?:st|nd|rd|th)?,?\s{{1,2}}(\d{{4}})", re.I),
)
_LOWEST = re.compile(
    r"\b(?:(?:not|no) (?:be |case )?(?:less|fewer|lower|younger|earlier|below) than|not (?:be )?below|at least|a minimum of|minimum|(?<!not )(?<!no )(?<!cannot )(?<!be )more than|above|(?<!not )exceed(?:s|ing)?)\b[^.;]{0,40}$",
    re.I,
)
_HIGHEST = re.compile(
    r"\b(?:(?:not|no|cannot|never) (?:be )?(?:more|greater|larger|later|higher|longer) than|not (?:be )?above|at most|a maximum of|maximum|up to|upto"
    r"|(?:not|cannot|never|without) (?:to )?exceed(?:s|ing)?|(?<!not )(?<!no )(?<!be )(?<!case )less than|fewer than|under the age of|below)\b[^.;]{0,40}$",
    re.I,
)
_AFTER_LOWEST = re.compile(r"^[^.;,]{0,24}\b(?:or (?:more|above|over|older)|and above|at least|minimum)\b", re.I)
_AFTER_HIGHEST = re.compile(r"^[^.;,]{0,24}\b(?:or (?:less|fewer|under)|at most|maximum)\b", re.I)


@dataclass(frozen=True)
class Quantity:
    """A number in a text."""

    value: Fraction
    dimension: str
    """months, days, share, rupees, year, or count where there is no unit."""
    start: int
    end: int
    small: bool = False
    """One, two or three in words without a unit: often no figure at all ("one of the Judges")."""
    bound: str = ""

    def same(self, other: Quantity) -> bool:
        """The same fact: equal in the same dimension, or in any time or count dimension when one has no unit."""
        if self.dimension == other.dimension:
            if self.dimension == "share":
                return abs(self.value - other.value) < Fraction(1, 1000)
            return self.value == other.value
        return False


@lru_cache(maxsize=8192)
def quantities(text: str) -> tuple[Quantity, ...]:
    """The quantities of a text in order; dates are blanked first (see `dates`)."""
    blanked = text
    for start, end, _ in dated(text):
        blanked = blanked[:start] + " " * (end - start) + blanked[end:]
    found: list[Quantity] = []
    for start, end, value, share, in_words in _numbers(blanked):
        unit = _UNIT.match(blanked, end)
        dimension, amount, stop = ("share", value, end) if share else ("count", value, end)
        if unit and unit[1]:
            name = (
                re.sub(r"\s", "", unit[1].lower())
                .rstrip("s")
                .replace("%", "percent")
                .replace("yr", "year")
                .replace("hr", "hour")
            )
            dimension, factor = UNITS["rs" if name == "r" else name]
            amount, stop = value * factor, unit.end()
        elif not share and re.search(r"(?:₹|\brs\.?|\binr)\s?$", blanked[max(0, start - 5) : start], re.I):
            dimension = "rupees"
        elif not share and not in_words and value.denominator == 1 and 1800 <= value <= 2100 and end - start == 4:
            dimension = "year"
        small = in_words and dimension == "count" and value <= 3
        found.append(Quantity(amount, dimension, start, stop, small, _bound(blanked, start, stop)))
    return tuple(found)


@lru_cache(maxsize=4096)
def dates(text: str) -> frozenset[tuple[int, int, int]]:
    """(year, month, day) of each date in a text; year 0 where none is given."""
    return frozenset(date for _, _, date in dated(text))


def _bound(text: str, start: int, end: int) -> str:
    before, after = text[max(0, start - 70) : start], text[end : end + 40]
    low, high = _LOWEST.search(before), _HIGHEST.search(before)
    if low or high:
        return "min" if (low.start() if low else -1) > (high.start() if high else -1) else "max"
    return "min" if _AFTER_LOWEST.match(after) else "max" if _AFTER_HIGHEST.match(after) else ""


def _numbers(text: str) -> list[tuple[int, int, Fraction, bool, bool]]:
    """(start, end, value, is a share, in words) of each number, none inside another."""
    found: list[tuple[int, int, Fraction, bool, bool]] = []
    for match in _SHARE.finditer(text):
        # "the third Judge" is no share; "one-third", "half", "a quarter", "four-fifths" are
        if match[1] or match[2].lower() in ("half", "quarter"):
            above = 1 if (match[1] or "a").lower() == "a" else VALUES[match[1].lower()]
            found.append((match.start(), match.end(), Fraction(above, _PARTS[match[2].lower()]), True, True))
    for match in _DIGITS.finditer(text):
        value, end, share = Fraction(match[0].replace(",", "")), match.end(), False
        if (ratio := _RATIO.match(text, end)) and int(ratio[1]):
            value, end, share = value / int(ratio[1]), ratio.end(), True
        elif scale := _SCALE.match(text, end):
            value, end = (
                value * {"h": 100, "t": 1000, "l": 100_000, "m": 1_000_000, "c": 10_000_000}[scale[1][0].lower()],
                scale.end(),
            )
        found.append((match.start(), end, value, share, False))
    for match in _SPOKEN.finditer(text):
        position = match.start()
        while position < match.end():
            number, length = spoken(text[position : match.end()])
            if number is None or not length:
                break
            found.append((position, position + length, Fraction(number), False, True))
            position += length
            blank = re.match(r"[\s-]+", text[position : match.end()])
            position += len(blank[0]) if blank else 1
    found.sort(key=lambda item: (item[0], -item[1]))
    kept: list[tuple[int, int, Fraction, bool, bool]] = []
    for item in found:
        if not kept or item[0] >= kept[-1][1]:
            kept.append(item)
    return kept


@lru_cache(maxsize=8192)
def dated(text: str) -> tuple[tuple[int, int, tuple[int, int, int]], ...]:
    """(start, end, (year, month, day)) of each date."""
    found = []
    for match in _DATES[0].finditer(text):
        day = (
            int(match[1])
            if match[1]
            else ORDINALS[match[3].lower()] + ({"t": 20}.get((match[2] or " ")[0].lower(), 0) if match[2] else 0)
        )
        if match[2] and match[2].lower().startswith("thirty"):
            day += 10
        found.append((match.start(), match.end(), (int(match[5] or 0), _month(match[4]), day)))
    for match in _DATES[1].finditer(text):
        found.append((match.start(), match.end(), (int(match[3]), _month(match[1]), int(match[2]))))
    return tuple(found)


def _month(name: str) -> int:
    return next(place for place, month in enumerate(_MONTH, 1) if month.startswith(name.lower()))
