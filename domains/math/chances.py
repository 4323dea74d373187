"""Questions about the probability of draws by colour, of two dice and of coins."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from math import comb

from domains.math.quantities import Worked

_COLOURED = re.compile(r"\b(\d{1,4}) (red|blue|green|yellow|white|black|orange|purple|pink|brown|grey|gray)\b", re.I)
_COLOUR = r"(red|blue|green|yellow|white|black|orange|purple|pink|brown|grey|gray)"


def work(text: str) -> Worked | None:
    """Steps and answer, or None."""
    if not re.search(r"\bprobab(?:ility|le)\b", text, re.I):
        return None
    if "coin" in text.lower():
        return _coins(text)
    if re.search(r"\bdi(?:ce|e)\b", text, re.I):
        return _dice(text)
    counts = Counter({colour.lower(): int(n) for n, colour in _COLOURED.findall(text)})
    if len(counts) < 2 or len(counts) != len(_COLOURED.findall(text)) or re.search(r"\d", _COLOURED.sub(" ", text)):
        return None
    asked = _COLOURED.sub(" ", text)
    wanted = [colour.lower() for colour in re.findall(_COLOUR, asked, re.I)]
    n = sum(counts.values())
    two = bool(re.search(r"\btwo\b|\btwice\b|another|draw again|taken again", asked, re.I))
    if not two:
        return _one(counts, wanted, n, asked)
    return _two(counts, wanted, n, asked)


def _one(counts: Counter[str], wanted: list[str], n: int, asked: str) -> Worked | None:
    if len(wanted) != 1 or not counts[wanted[0]] or re.search(r"\b(?:or|either|neither|three|all)\b", asked, re.I):
        return None
    a = counts[wanted[0]]
    steps = [f"{' + '.join(map(str, counts.values()))} = {n}"]
    if re.search(r"\bnot\b|\bisn't\b", asked):
        return [*steps, f"1 - {a}/{n} = {1 - Fraction(a, n)}"], 1 - Fraction(a, n)
    return [*steps, f"P = {a} / ({' + '.join(map(str, counts.values()))}) = {Fraction(a, n)}"], Fraction(a, n)


def _two(counts: Counter[str], wanted: list[str], n: int, asked: str) -> Worked | None:
    back = bool(
        re.search(r"\bwith replacement|put(?:s)? (?:it )?back|is replaced|and replaced|draw twice with", asked, re.I)
    )
    kept = bool(re.search(r"without (?:replacement|putting)|at once|together|without replacing", asked, re.I))
    if back == kept or any(not counts[colour] for colour in wanted):
        return None
    steps = [f"{' + '.join(map(str, counts.values()))} = {n}"]
    least, both = (
        "at least one" in asked.lower(),
        bool(re.search(r"\bboth\b|\btwo [a-z]+ (?:ones|cards|balls)\b|of two [a-z]+", asked, re.I)),
    )
    if back and len(wanted) == 2 and not least and not both:
        a, b = counts[wanted[0]], counts[wanted[1]]
        return [*steps, f"P = {a}/{n} * {b}/{n} = {Fraction(a * b, n * n)}"], Fraction(a * b, n * n)
    if back or len(wanted) != 1 or n < 2 or re.search(r"\bexactly\b|\bnone\b|\bneither\b|\bdifferent\b", asked):
        return None
    a = counts[wanted[0]]
    if least:
        none = Fraction((n - a) * (n - a - 1), n * (n - 1))
        return [*steps, f"{n - a}/{n} * {n - a - 1}/{n - 1} = {none}", f"P = 1 - {none} = {1 - none}"], 1 - none
    if both:
        return [*steps, f"P = {a}/{n} * {a - 1}/{n - 1} = {Fraction(a * (a - 1), n * (n - 1))}"], Fraction(
            a * (a - 1), n * (n - 1)
        )
    return None


def _coins(text: str) -> Worked | None:
    exactly = re.search(r"\bexactly (\d{1,3})\b", text)
    if exactly is None or not re.search(r"\bfair\b", text) or not re.search(r"\bheads\b", text):
        return None
    others = re.findall(r"\d+", text.replace(exactly[0], " ", 1))
    if len(others) != 1 or not 1 <= int(others[0]) <= 60:
        return None
    n, k = int(others[0]), int(exactly[1])
    if k > n:
        return None
    return [f"2^{n} = {2**n}", f"P = {comb(n, k)} / {2**n} = {Fraction(comb(n, k), 2**n)}"], Fraction(comb(n, k), 2**n)


def _dice(text: str) -> Worked | None:
    sides = [int(a or b) for a, b in re.findall(r"\b(\d{1,3})-sided\b|\bwith (\d{1,3}) sides\b", text)]
    rest = re.sub(r"\b\d{1,3}-sided\b|\bwith \d{1,3} sides\b", " ", text)
    if both := re.search(r"\bwith (\d{1,3}) and (\d{1,3}) sides\b", rest):
        sides, rest = [int(both[1]), int(both[2])], rest.replace(both[0], " ")
    if one_and := re.search(r"\bone with (\d{1,3})\b", rest):
        sides, rest = [*sides, int(one_and[1])], rest.replace(one_and[0], " ")
    total = re.findall(r"\d+", rest)
    if (
        len(sides) != 2
        or len(total) != 1
        or not re.search(r"\b(?:sum|total|add up)\b", rest)
        or re.search(r"\b(?:least|most|than|not|product)\b", rest)
    ):
        return None
    (m, n), s = sides, int(total[0])
    if not 1 <= m <= 100 or not 1 <= n <= 100:
        return None
    ways = sum(1 for i in range(1, m + 1) if 1 <= s - i <= n)
    return [f"{m} * {n} = {m * n}", f"P = {ways} / ({m} * {n}) = {Fraction(ways, m * n)}"], Fraction(ways, m * n)
