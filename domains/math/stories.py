"""Word problems of the families of `topics`, read by what their numbers are of and by a few words that decide the operation.

A rule fires only where the question has exactly the numbers it takes, of the kinds it takes, and the words it needs, and none of the words
that make it another question. Where no rule or more than one fires, there is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from domains.math import chances, progressions
from domains.math.build import topic_wordings, wordings
from domains.math.quantities import Quantity, Worked, quantities
from domains.number_words import ONES

Values = list[Quantity]
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
        *ONES[1:13],
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
    own = progressions.work(text) or chances.work(text)
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
