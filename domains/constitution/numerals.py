"""Number words, ordinals and Roman numerals."""

from __future__ import annotations

import re
from functools import lru_cache

from domains.number_words import ONES, TENS

SCALES = {
    "hundred": 100,
    "thousand": 1000,
    "lakh": 100_000,
    "lakhs": 100_000,
    "million": 1_000_000,
    "millions": 1_000_000,
    "crore": 10_000_000,
    "crores": 10_000_000,
}
VALUES = {word: number for number, word in enumerate(ONES)} | {
    word: 20 + 10 * number for number, word in enumerate(TENS)
}
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "eleventh": 11,
    "twelfth": 12, "hundredth": 100,
} | {f"{word}th": VALUES[word] for word in ONES[13:]} | {f"{word[:-1]}ieth": VALUES[word] for word in TENS}  # fmt: skip
_WORD = re.compile(r"[a-z]+")


def spoken(text: str) -> tuple[int | None, int]:
    """The number that `text` begins with in words ("two hundred and thirty-eight") and how many characters it takes."""
    total = part = end = 0
    before = ""
    seen = False
    for match in _WORD.finditer(text.casefold()):
        word = match[0]
        if word in VALUES:
            # "twenty five" adds up, "five six" is two numbers
            if before in VALUES and not (VALUES[before] >= 20 and 0 < VALUES[word] < 10):
                break
            part += VALUES[word]
            seen = True
        elif word in SCALES and seen:
            if SCALES[word] == 100:
                part *= 100
            else:
                total, part = total + (part or 1) * SCALES[word], 0
        elif word == "and" and before in SCALES:
            before = word
            continue
        else:
            break
        before, end = word, match.end()
    return (total + part, end) if seen else (None, 0)


@lru_cache(maxsize=4096)
def ordinal(text: str) -> int | None:
    """The ordinal at the end of `text`: "Constitution Forty-second" → 42, "one hundred and first" → 101. None for other words."""
    tokens = _WORD.findall(text.casefold())
    if not tokens or tokens[-1] not in ORDINALS:
        return None
    value = ORDINALS[tokens.pop()]
    if value == 100:
        return 100
    if tokens and tokens[-1] in TENS and value < 10:
        value += VALUES[tokens.pop()]
    rest = [token for token in tokens if token != "and"]
    if rest and rest[-1] == "hundred":
        value += 100 * (VALUES.get(rest[-2], 1) if len(rest) > 1 else 1)
    return value


_ROMAN = re.compile(r"(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})")


def roman(text: str) -> int | None:
    """A Roman numeral up to 89 in capitals, or None."""
    if not text or not _ROMAN.fullmatch(text):
        return None
    total, values = 0, {"I": 1, "V": 5, "X": 10, "L": 50}
    for here, after in zip(text, [*text[1:], ""], strict=True):
        total += -values[here] if after and values[after] > values[here] else values[here]
    return total
