"""Word problems of the families of `topics`, read by what their numbers are of and by a few words that decide the operation.

A rule fires only where the question has exactly the numbers it takes, of the kinds it takes, and the words it needs, and none of the words
that make it another question. Where no rule or more than one fires, there is no answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import comb

from domains.math.build import topic_wordings, wordings
from domains.math.quantities import Quantity, quantities

Values = list[Quantity]
Worked = tuple[list[str], Fraction]
MAX_QUESTION = 330
UP = re.compile(
    r"\b(?:ris(?:es|e|ing)|rose|increas\w+|grow\w*|gain\w*|add\b|dearer|rais\w+|goes up|more expensive)", re.I
)
DOWN = re.compile(
    r"\b(?:fall\w*|fell|decreas\w+|drop\w*|reduc\w+|discount|cheaper|lose\w*|loses|takes?\b|off\b|take away|below)",
    re.I,
)
_OTHER = r"\b(?:twice|thrice|double|triple|half|dozen|quarter|third as|times as|more than|less than|fewer|remaining \w+ \w+ if|tax|tip|total of both|youngest|older|younger|ago|average age)\b"


@dataclass(frozen=True)
class Rule:
    """One family: the kinds of its numbers, the words it needs and must not have, and how it is worked out."""

    family: str
    """Kinds of the wordings whose words the question may have."""
    kinds: str
    """Sorted letters of `LETTERS`, one a number; several of them where several go."""
    needs: str
    work: Callable[[Values, str], Worked | None]
    without: str = "(?!)"


MAX_UNKNOWN = 7
"""Words of a question that none of its family's wordings has."""
DECIDING = frozenset(
    [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "hundred",
        "thousand",
        "half",
        "quarter",
        "fourth",
        "fifth",
        "twice",
        "double",
        "triple",
        "total",
        "totals",
        "both",
        "each",
        "every",
        "average",
        "sum",
        "difference",
        "ratio",
        "less",
        "more",
        "fewer",
        "most",
        "least",
        "than",
        "rest",
        "remaining",
        "left",
        "remain",
        "other",
        "others",
        "another",
        "extra",
        "additional",
        "only",
        "also",
        "plus",
        "minus",
        "combined",
        "altogether",
        "all",
        "together",
        "first",
        "second",
        "third",
        "last",
        "next",
        "previous",
        "then",
        "later",
        "before",
        "after",
        "until",
        "ago",
        "week",
        "weeks",
        "month",
        "months",
        "year",
        "years",
        "daily",
        "weekly",
        "day",
        "days",
        "per",
        "if",
        "except",
        "without",
        "not",
        "no",
        "never",
        "none",
        "equal",
        "equally",
        "same",
        "way",
        "back",
        "trip",
        "halfway",
        "girls",
        "boys",
        "men",
        "women",
        "adults",
        "children",
        "keep",
        "keeps",
        "kept",
        "need",
        "needs",
        "needed",
        "save",
        "saved",
        "lose",
        "lost",
        "loss",
        "profit",
        "missed",
        "absent",
        "show",
        "her",
        "his",
        "brother",
        "sister",
        "inches",
        "feet",
        "yards",
        "seconds",
        "grams",
        "kilograms",
        "meters",
        "dozen",
        "dozens",
        "pairs",
        "couples",
        "who",
        "disagree",
        "initial",
        "initially",
        "original",
        "originally",
        "already",
        "still",
        "mistakes",
        "contents",
    ]
)
"""Words that make another question of one, unless the family itself has them."""
LETTERS = {"percent": "P", "money": "M", "speed": "S", "distance": "D", "time": "T", "amount": "V", "fraction": "F", "plain": "N"}  # fmt: skip


def work(question: str) -> Worked | None:
    """Steps and answer, or None."""
    text = " ".join(question.split())
    if len(text) > MAX_QUESTION:
        return None
    own = _sequence(text) or _chance(text)
    if own is not None:
        return own
    found = quantities(text)
    if not found or re.search(_OTHER, text, re.I):
        return None
    if re.search(r"\bhours?\b|km/h|mph|per hour", text, re.I) and re.search(r"\bminutes?\b", text, re.I):
        return None  # two units of time
    letters = "".join(sorted(LETTERS[one.kind] for one in found))
    results = []
    for rule in RULES:
        if (
            letters not in rule.kinds.split()
            or not re.search(rule.needs, text, re.I)
            or re.search(rule.without, text, re.I)
        ):
            continue
        worked = rule.work(found, text) if familiar(text, rule.family) else None
        if worked is not None:
            results.append(worked)
    answers = {answer for _, answer in results}
    return results[0] if len(answers) == 1 and next(iter(answers)) >= 0 else None


@lru_cache
def _vocabulary(family: str) -> frozenset[str]:
    """The words of a family's wordings, without those that are held out for test."""
    both = {**topic_wordings(), **wordings()}
    texts = [text for kind in family.split() for text in both[kind][:-2]]
    return frozenset(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", " ".join(texts)).lower()))


def familiar(text: str, family: str) -> bool:
    """Whether a question has no word that could make it another than its family's, and few that the family has not."""
    unknown = set(re.findall(r"[a-z]+", re.sub(r"(?<!^)(?<![.?!] )\b[A-Z][a-z]+", " ", text).lower())) - _vocabulary(
        family
    )
    return len(unknown) <= MAX_UNKNOWN and not unknown & DECIDING


def _of(found: Values, kind: str) -> list[Fraction]:
    return [one.value for one in found if one.kind == kind]


def _base(found: Values) -> Fraction:
    """The one number that is no percent."""
    return next(one.value for one in found if one.kind in ("money", "plain", "amount"))


def _direction(text: str, one: Quantity, before: int, after: int) -> int:
    """1 for up, -1 for down, 0 where the words around a number do not say."""
    near = text[max(before, one.start - 40) : min(after, one.end + 25)]
    up, down = bool(UP.search(near)), bool(DOWN.search(near))
    return up - down


def _changed(found: Values, text: str) -> Worked | None:
    (p,), n = _of(found, "percent"), _base(found)
    up, down = bool(UP.search(text)), bool(DOWN.search(text))
    if up == down:
        return None
    by = n * p / 100
    result = n + by if up else n - by
    return [f"{p}% of {n} is {by}", f"{n} {'+' if up else '-'} {by} = {result}"], result


def _before(found: Values, text: str) -> Worked | None:
    (p,), paid = _of(found, "percent"), _base(found)
    if not DOWN.search(text) or UP.search(text) or p >= 100:
        return None
    return [f"100 - {p} = {100 - p}", f"{paid} / {100 - p} * 100 = {paid / (100 - p) * 100}"], paid / (100 - p) * 100


def _twice(found: Values, text: str) -> Worked | None:
    one, other = (quantity for quantity in found if quantity.kind == "percent")
    amount, steps = _base(found), []
    cut = re.search(r"\bthen\b|\blater\b|\bin the next\b|\band\b", text[one.end : other.start])
    middle = one.end + cut.start() if cut else one.end
    for percent, start, end in ((one, 0, middle), (other, middle, len(text))):
        way = _direction(text, percent, start, end)
        if not way:
            return None
        new = amount * (100 + way * percent.value) / 100
        steps.append(f"{amount} * (100 {'+' if way > 0 else '-'} {percent}) / 100 = {new}")
        amount = new
    return steps, amount


def _interest(found: Values, text: str) -> Worked | None:
    (p,), (t,), amount = _of(found, "percent"), _of(found, "time"), _base(found)
    if t.denominator > 1 or not 1 <= t <= 12:
        return None
    steps = []
    for _ in range(int(t)):
        steps.append(f"{amount} * (100 + {p}) / 100 = {amount * (100 + p) / 100}")
        amount = amount * (100 + p) / 100
    return steps, amount


def _part(found: Values, text: str) -> Worked | None:
    (p,) = _of(found, "percent")
    n = next(one.value for one in found if one.kind in ("plain", "amount"))
    return [f"{p} / 100 * {n} = {p * n / 100}"], p * n / 100


def _share(found: Values, text: str) -> Worked | None:
    a, n = (one.value for one in found)
    if a > n or re.search(r"^\W*(?:what|which)\s+percent(?:age)?\s+of\s+\d|^of\b|^out of\b", text, re.I):
        a, n = n, a
    return ([f"{a} / {n} * 100 = {a / n * 100}"], a / n * 100) if 0 < a <= n else None


def _change(found: Values, text: str) -> Worked | None:
    a, b = (one.value for one in found)
    if not a or a == b or (UP.search(text) and b < a) or (DOWN.search(text) and b > a):
        return None
    d = abs(b - a)
    return [f"{max(a, b)} - {min(a, b)} = {d}", f"{d} / {a} * 100 = {d / a * 100}"], d / a * 100


def _strength(found: Values, text: str) -> Worked | None:
    pairs = _paired(found, "amount", "percent")
    if pairs is None:
        return None
    (a, p), (b, q) = pairs
    return [f"{a} * {p} + {b} * {q} = {a * p + b * q}", f"{a * p + b * q} / ({a} + {b}) = {(a * p + b * q) / (a + b)}"], (a * p + b * q) / (a + b)  # fmt: skip


def _paired(found: Values, one: str, other: str) -> list[tuple[Fraction, Fraction]] | None:
    """Numbers of two kinds that follow each other, `2 litres … 30% … 3 litres … 40%`."""
    kinds = [quantity.kind for quantity in found]
    values = [quantity.value for quantity in found]
    if kinds == [one, other] * 2:
        return [(values[0], values[1]), (values[2], values[3])]
    if kinds == [other, one] * 2:
        return [(values[1], values[0]), (values[3], values[2])]
    return None


def _blend(found: Values, text: str) -> Worked | None:
    pairs = _paired(found, "amount", "money")
    if pairs is None:
        return None
    (a, p), (b, q) = pairs
    return [f"{a} * {p} = {a * p}, {b} * {q} = {b * q}", f"({a * p} + {b * q}) / ({a} + {b}) = {(a * p + b * q) / (a + b)}"], (a * p + b * q) / (a + b)  # fmt: skip


_TARGET = re.compile(
    r"(?:to get|to make it|make it|for|obtain|become|mixture of|into|to make|until it is|to)\s+(?:an?\s+)?$", re.I
)


def _to_add(found: Values, text: str) -> Worked | None:
    """The percentage aimed at stands behind a word of aim, the one that is there beside the amount."""
    (amount,) = (one for one in found if one.kind == "amount")
    percents = [one for one in found if one.kind == "percent"]
    aims = [
        one for one in percents if _TARGET.search(text[: one.start]) and not text[: one.start].rstrip().endswith("add")
    ]
    there = [one for one in percents if 0 < one.start - amount.end < 12]
    if len(aims) != 1 or len(there) != 1 or aims == there:
        return None
    a, r, p = amount.value, aims[0].value, there[0].value
    added = [one.value for one in percents if one not in (aims[0], there[0])]
    q = added[0] if added else Fraction(0)
    if q == r or a * (r - p) / (q - r) <= 0:
        return None
    x = a * (r - p) / (q - r)
    return [f"{a} * {p} + {q}x = {r}({a} + x)", f"x = {a} * ({r} - {p}) / ({q} - {r}) = {x}"], x


def _time(found: Values, text: str) -> Worked | None:
    (speed,) = _of(found, "speed")
    (way,) = (one.value for one in found if one.kind != "speed")
    return ([f"{way} / {speed} = {way / speed}"], way / speed) if speed else None


def _distance(found: Values, text: str) -> Worked | None:
    (speed,), (time,) = _of(found, "speed"), _of(found, "time")
    return [f"{speed} * {time} = {speed * time}"], speed * time


def _rate(found: Values, text: str) -> Worked | None:
    (time,) = _of(found, "time")
    (way,) = (one.value for one in found if one.kind != "time")
    return ([f"{way} / {time} = {way / time}"], way / time) if time else None


def _average(found: Values, text: str) -> Worked | None:
    pairs = _paired(found, "time", "speed")
    if pairs is None:
        return None
    (a, r), (b, q) = pairs
    return [f"{r} * {a} = {r * a}, {q} * {b} = {q * b}", f"({r * a} + {q * b}) / ({a} + {b}) = {(r * a + q * b) / (a + b)}"], (r * a + q * b) / (a + b)  # fmt: skip


def _meet(found: Values, text: str) -> Worked | None:
    (r, q), (way,) = _of(found, "speed"), _of(found, "distance")
    return [f"{r} + {q} = {r + q}", f"{way} / {r + q} = {way / (r + q)}"], way / (r + q)


def _catch(found: Values, text: str) -> Worked | None:
    (r, q), (h,) = _of(found, "speed"), _of(found, "time")
    if q <= r:
        return None
    return [f"{r} * {h} = {r * h}", f"{q} - {r} = {q - r}", f"{r * h} / {q - r} = {r * h / (q - r)}"], r * h / (q - r)


def _together(found: Values, text: str) -> Worked | None:
    a, b = (one.value for one in found)
    both = 1 / a + 1 / b
    return [f"1/{a} + 1/{b} = {both}", f"1 / ({both}) = {1 / both}"], 1 / both


def _scaling(found: Values, text: str) -> Worked | None:
    """The number that is asked for stands in the part of the question with its question mark."""
    cost = next((one for one in found if one.kind in ("money", "amount")), None)
    counts = [one for one in found if one is not cost]
    if cost is None or len(counts) != 2 or cost.start > counts[1].end:
        return None
    a, b = (one.value for one in counts)
    each = cost.value / a
    return [f"{cost} / {a} = {each}", f"{each} * {b} = {each * b}"], each * b


def _shopping(found: Values, text: str) -> Worked | None:
    """The price of one is the money nearest to `each`, `apiece` or `priced`."""
    money, (count,) = [one for one in found if one.kind == "money"], _of(found, "plain")
    marks = list(re.finditer(r"\beach\b|\bapiece\b|One of the", text))
    if not marks:
        return None
    price = min(money, key=lambda one: min(_gap(one, mark.start(), mark.end()) for mark in marks))
    paid = next(one for one in money if one is not price)
    cost = count * price.value
    return [f"{count} * {price} = {cost}", f"{paid} - {cost} = {paid.value - cost}"], paid.value - cost


def _gap(one: Quantity, start: int, end: int) -> int:
    return max(start - one.end, one.start - end, 0)


def _sharing(found: Values, text: str) -> Worked | None:
    """All, those that go away, and among how many: the first two in either order."""
    *both, among = (one.value for one in found)
    whole, away = max(both), min(both)
    if whole == away or (whole - away) % among:
        return None
    return [f"{whole} - {away} = {whole - away}", f"{whole - away} / {among} = {(whole - away) / among}"], (whole - away) / among  # fmt: skip


def _rest(found: Values, text: str) -> Worked | None:
    one, other = _of(found, "fraction")
    n = _base(found)
    left = n - one * n
    again = other * left
    steps = [
        f"({one}) * {n} = {one * n}",
        f"{n} - {one * n} = {left}",
        f"({other}) * {left} = {again}",
        f"{left} - {again} = {left - again}",
    ]
    return (steps, left - again) if one < 1 and other < 1 else None


def _walks(found: Values, text: str) -> Worked | None:
    a, b = (one.value for one in found)
    return [f"{a} + {b} = {a + b}"], a + b


_BEFORE = r"\bbefore\b|\boriginal\w*\b|\bold price\b|what is the number"
RULES = (
    Rule("compound_interest", "MPT NPT", r"compound|every year|each year|per year|a year|yearly|annual", _interest, "simple|month|quarter"),
    Rule("percent_twice", "MPP NPP", r"\bthen\b|\blater\b|in the next", _twice, "solution|litre"),
    Rule("percent_before", "MP NP", _BEFORE, _before),
    Rule("percent_discount percent_rise", "MP NP", UP.pattern + "|" + DOWN.pattern, _changed, _BEFORE + "|" + r"how (?:many|much) (?:does|is) .* (?:rise|fall|discount|off)"),
    Rule("percent percent_of", "NP", r"how many", _part, UP.pattern + "|" + DOWN.pattern + r"|\bnot\b|\brest\b|\bleft\b|\bremain|without|before|other"),
    Rule("dissolved", "PV", r"how (?:many|much)", _part, r"\bwater\b|add|\brest\b|not\b|mixed|other"),
    Rule("mixed_strength", "PPVV", r"percent|strength|concentration|%", _strength, r"must|shall|needed|how many litres|how much"),
    Rule("to_add", "PPPV", r"how (?:many|much)", _to_add),
    Rule("thinned", "PPV", r"\bwater\b", _to_add),
    Rule("blend_price", "MMVV", r"mixture|blend|mix|both", _blend),
    Rule("percent_share", "NN MM", r"^\W*(?:what|which) percent|^\W*\$?\d+ is what percent|what percent|which percent|as a percentage", _share, UP.pattern + "|" + DOWN.pattern + r"|from \d|\bnot\b|change|becomes|\bnow\b"),
    Rule("percent_change", "NN MM", UP.pattern + "|" + DOWN.pattern + r"|\bchange|becomes|\bnow\b", _change, r"what percent of|of the|as a percentage|is what percent|which percent\w* of"),
    Rule("time_needed", "DS NS SV", r"how many (?:hours|minutes|days)|how long|how many hours", _time, r"later|towards|average|after"),
    Rule("rate", "ST", r"how far|what distance|how many|how much|what is the distance", _distance, r"how many hours|later|left|average|more"),
    Rule("average_rate", "DT", r"speed|how fast", _rate, r"later|then"),
    Rule("average_rate", "NT TV", r"(?:per|an?|each|every) (?:minute|hour|day)", _rate, r"later|then|more"),
    Rule("average_speed", "SSTT", r"average speed", _average),
    Rule("meeting", "DSS", r"meet", _meet, r"later|opposite|away from"),
    Rule("catching_up", "SST", r"catch|overtake", _catch),
    Rule("working_together", "TT", r"together|both", _together, r"then|later|earlier|after"),
    Rule("working_together", "NT", r"\bin \d+ and \d+ hours\b.*(?:both|together)", _together),
    Rule("scaling", "MNN NNV", r"cost|price|pay|weigh|sells", _scaling, r"\beach\b|change|left|per\b|profit|more"),
    Rule("shopping", "MMN", r"change|left|remain|back", _shopping, r"\bthen\b|per\b|how much did each|does each"),
    Rule("sharing", "NNN NNT", r"how many .*(?:each|per)|how big is each", _sharing, r"\bmore\b|another|\badd|buys? \d+ more|\$"),
    Rule("fraction_story", "FFN FFM FFV", r"\b(?:left|remain|free|neither|rest)\b", _rest),
    Rule("fraction", "FF", r"\bthen\b.*\b(?:in all|altogether|total)\b", _walks, r"\bof\b"),
)  # fmt: skip

# sequences --------------------------------------------------------------------------------------------------------------------

_I = r"(-?\d{1,9})"
_LISTED = re.compile(rf"{_I}, {_I}, {_I}(?:, {_I})?(?:, {_I})?,? ?(?:\.\.\.|…)")
_NTH = re.compile(r"\b(\d{1,4})(?:st|nd|rd|th) term\b|\bterm number (\d{1,4})\b|\ba_(\d{1,4})\b(?! ?=)")
_SUM_OF = re.compile(r"\b(?:sum of|add up)?\b.{0,30}?\bfirst (\d{1,3}) terms\b|\bsum of (\d{1,3}) terms\b", re.I)


def _sequence(text: str) -> Worked | None:
    kinds = [kind for kind in ("arithmetic", "geometric") if kind in text.lower()]
    if len(kinds) != 1 or re.search(r"\b(?:sum of the squares|product of|mean|how many terms)\b", text, re.I):
        return None
    if "infin" in text.lower():
        return _infinite(text) if kinds == ["geometric"] else None
    if listed := _LISTED.search(text):
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
    if any(y - x != d for x, y in zip(terms, terms[1:], strict=False)):
        return None
    last = a + (n - 1) * d
    steps = [f"d = {terms[1]} - ({a}) = {d}", f"a_{n} = {a} + ({n} - 1) * ({d}) = {last}"]
    if not total:
        return steps, last
    return [*steps, f"S = {n} * (({a}) + ({last})) / 2 = {n * (a + last) / 2}"], n * (a + last) / 2


def _geometric(terms: list[Fraction], n: int, total: bool) -> Worked | None:
    a, r = terms[0], terms[1] / terms[0] if terms[0] else Fraction(0)
    if not r or n > 60 or any(x * r != y for x, y in zip(terms, terms[1:], strict=False)):
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


# probability ------------------------------------------------------------------------------------------------------------------

_COLOURED = re.compile(r"\b(\d{1,4}) (red|blue|green|yellow|white|black|orange|purple|pink|brown|grey|gray)\b", re.I)
_COLOUR = r"(red|blue|green|yellow|white|black|orange|purple|pink|brown|grey|gray)"


def _chance(text: str) -> Worked | None:
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
