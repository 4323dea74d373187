"""Questions about arithmetic and geometric sequences, read by their listed terms or by what they are told to begin with."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

from domains.math.quantities import Worked

_I = r"(-?\d{1,9})"
LISTED = re.compile(rf"{_I}, {_I}, {_I}(?:, {_I})?(?:, {_I})?,? ?(?:\.\.\.|…)")
_NTH = re.compile(r"\b(\d{1,4})(?:st|nd|rd|th) term\b|\bterm number (\d{1,4})\b|\ba_(\d{1,4})\b(?! ?=)")
_SUM_OF = re.compile(r"\b(?:sum of|add up)?\b.{0,30}?\bfirst (\d{1,3}) terms\b|\bsum of (\d{1,3}) terms\b", re.I)


def work(text: str) -> Worked | None:
    """Steps and answer, or None."""
    kinds = [kind for kind in ("arithmetic", "geometric") if kind in text.lower()]
    if len(kinds) != 1 or re.search(r"\b(?:sum of the squares|product of|mean|how many terms)\b", text, re.I):
        return None
    if "infin" in text.lower():
        return _infinite(text) if kinds == ["geometric"] else None
    if listed := LISTED.search(text):
        return _from_list(
            kinds[0], [Fraction(n) for n in listed.groups() if n], text[: listed.start()] + text[listed.end() :]
        )
    if kinds == ["arithmetic"]:
        return _given(text) or _two_terms(text)
    return None


def _number_left(text: str, *used: re.Match[str]) -> bool:
    for match in used:
        text = text.replace(match[0], " ", 1)
    return bool(re.search(r"\d", text))


def _from_list(kind: str, terms: list[Fraction], rest: str) -> Worked | None:
    total, nth = _SUM_OF.search(rest), _NTH.search(rest)
    if (total is None) == (nth is None) or _number_left(rest, *(match for match in (total, nth) if match)):
        return None
    match = total or nth
    assert match is not None
    n = int(next(group for group in match.groups() if group))
    if not 1 <= n <= 500 or (total and not re.search(r"sum|add", rest, re.I)):
        return None
    return _arithmetic(terms, n, bool(total)) if kind == "arithmetic" else _geometric(terms, n, bool(total))


def _arithmetic(terms: list[Fraction], n: int, total: bool) -> Worked | None:
    a, d = terms[0], terms[1] - terms[0]
    if any(y - x != d for x, y in pairwise(terms)):
        return None
    last = a + (n - 1) * d
    steps = [f"d = {terms[1]} - ({a}) = {d}", f"a_{n} = {a} + ({n} - 1) * ({d}) = {last}"]
    if not total:
        return steps, last
    return [*steps, f"S = {n} * (({a}) + ({last})) / 2 = {n * (a + last) / 2}"], n * (a + last) / 2


def _geometric(terms: list[Fraction], n: int, total: bool) -> Worked | None:
    a, r = terms[0], terms[1] / terms[0] if terms[0] else Fraction(0)
    if not r or n > 60 or any(x * r != y for x, y in pairwise(terms)):
        return None
    steps = [f"r = {terms[1]} / ({a}) = {r}"]
    if not total:
        return [*steps, f"a_{n} = {a} * ({r})^{n - 1} = {a * r ** (n - 1)}"], a * r ** (n - 1)
    result = a * (r**n - 1) / (r - 1) if r != 1 else a * n
    return [*steps, f"S = {result}" if r == 1 else f"S = {a} * (({r})^{n} - 1) / (({r}) - 1) = {result}"], result


def _given(text: str) -> Worked | None:
    first = re.search(
        rf"(?:first term|begins with|starts with)(?: of [a-z ]+ is| is)? ?{_I}|The first term of an arithmetic sequence is {_I}",
        text,
    )
    step = re.search(rf"common difference(?: is)? {_I}", text)
    nth = _NTH.search(text)
    if not (first and step and nth) or _number_left(text, first, step, nth):
        return None
    a, d = Fraction(first[1] or first[2]), Fraction(step[1])
    n = int(next(group for group in nth.groups() if group))
    return [f"{n} - 1 = {n - 1}", f"a_{n} = {a} + {n - 1} * ({d}) = {a + (n - 1) * d}"], a + (n - 1) * d


def _two_terms(text: str) -> Worked | None:
    known = list(
        re.finditer(
            rf"(?:\b(\d{{1,4}})(?:st|nd|rd|th)(?: term)?(?: of an arithmetic sequence)?|\ba_(\d{{1,4}}))(?: is| =|) {_I}(?!\w)",
            text,
        )
    )
    rest = text
    for match in known:
        rest = rest.replace(match[0], " ", 1)
    nth = _NTH.search(rest)
    if len(known) != 2 or nth is None or _number_left(rest, nth):
        return None
    (i, p), (j, q) = ((int(match[1] or match[2]), Fraction(match[3])) for match in known)
    n = int(next(group for group in nth.groups() if group))
    if i == j:
        return None
    d = (q - p) / (j - i)
    return [f"d = ({q} - ({p})) / ({j} - {i}) = {d}", f"a_{n} = {q} + ({n} - {j}) * ({d}) = {q + (n - j) * d}"], q + (
        n - j
    ) * d


def _infinite(text: str) -> Worked | None:
    first = re.search(rf"first term(?: of an infinite geometric series)?(?: is)? {_I}", text)
    ratio = re.search(r"common ratio(?: is)? (-?\d{1,6}(?:/\d{1,6})?)", text)
    if not (first and ratio) or _number_left(text, first, ratio) or ratio[1].endswith("/0"):
        return None
    a, r = Fraction(first[1]), Fraction(ratio[1])
    if abs(r) >= 1:
        return None
    return [f"1 - ({r}) = {1 - r}", f"S = {a} / ({1 - r}) = {a / (1 - r)}"], a / (1 - r)
