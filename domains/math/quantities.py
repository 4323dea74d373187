"""The numbers of a word problem with what they are numbers of: percent, money, speed, distance, time, amount, or plain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_QUANTITY = re.compile(
    r"(?P<money>[$€£])?(?<![\w.])(?P<number>\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?)(?:st|nd|rd|th)?(?![\d.]*\d)"
    r"(?:\s?(?P<percent>%|percent\b)|[\s-]?(?P<unit>(?:km|miles?)\s?(?:/\s?h|per hour|an hour|every hour|each hour)|mph|"
    r"(?:[a-z]+\s)(?:a|an|per|every|each)\s(?:minute|hour|day)\b|km\b|miles?\b|hours?\b|minutes?\b|days?\b|years?\b|"
    r"litres?\b|liters?\b|ml\b|grams?\b|kg\b))?",
    re.I,
)
_KINDS = (
    ("speed", re.compile(r"/|per|mph|(?:a|an|every|each)\s(?:minute|hour|day)", re.I)),
    ("distance", re.compile(r"km|mile", re.I)),
    ("time", re.compile(r"hour|minute|day|year", re.I)),
    ("amount", re.compile(r"lit|ml|gram|kg", re.I)),
)
Worked = tuple[list[str], Fraction]
"""Steps, and the answer."""
MAX_NUMBERS = 8


@dataclass(frozen=True)
class Quantity:
    """One number of the question."""

    kind: str
    """`percent`, `money`, `speed`, `distance`, `time`, `amount`, `fraction` or `plain`."""
    value: Fraction
    unit: str
    start: int
    end: int

    def __str__(self) -> str:
        return str(self.value)


def quantities(text: str) -> list[Quantity] | None:
    """All numbers of a text in order; None for too many, or for one that cannot be read."""
    found = []
    for match in _QUANTITY.finditer(text):
        digits = match["number"].replace(",", "")
        if len(digits) > 15 or re.search(r"/0+$", digits):
            return None
        unit = (match["unit"] or "").lower()
        if match["percent"]:
            kind = "percent"
        elif match["money"]:
            kind = "money"
        elif "/" in digits:
            kind = "fraction"
        else:
            kind = next((kind for kind, pattern in _KINDS if pattern.search(unit)), "plain")
        found.append(Quantity(kind, Fraction(digits), unit, match.start(), match.end()))
        if len(found) > MAX_NUMBERS:
            return None
    digits_left = re.sub(_QUANTITY, " ", text)
    return None if re.search(r"\d", digits_left) else found
