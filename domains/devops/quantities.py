"""Numbers with units: `43.2 min`, `43m12s`, `$1,250.00`, `3.0 * 10^8 m/s`, `1500m`, read to one exact number in the claim's unit.

A number without a unit is taken in the claim's unit (the question names it), except CPU and memory: there a bare number has its own meaning in Kubernetes (cores, bytes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from domains.devops import units
from domains.devops.answers import Refused

_NUMBER = re.compile(
    r"([-+]?)\s?(\$?)\s?((?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE]([-+]?[0-9]{1,4})(?![0-9A-Za-z]))?"
)
_POWER = re.compile(r"\s?(?:\*|×|x|·|\\times|\\cdot)\s?10\s?\^\s?\{?\s?([-+]?[0-9]{1,4})\s?\}?(?![0-9])")
_OVER = re.compile(r"\s?/\s?([0-9]{1,30})(?![0-9.])")
_UNIT = re.compile(r"\s?(%|\$|[A-Za-zµμΩΩ][A-Za-z²³]*(?:[ /*·^-]{1,2}[A-Za-zµ²³0-9]+){0,5})")
_RATE = re.compile(r"\s?(?:/|per\s|a\s|\^|\*|·)\s?[A-Za-z0-9]", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_DIGITS = 60
MAX_EXPONENT = 30


def quantity(text: str, claim: Mapping[str, Any]) -> Fraction:
    """The number in `text` in the unit of the claim. Raises Refused."""
    from domains.devops.kinds import surrounding
    from domains.devops.steps import is_arithmetic, wrong_equation

    if re.search("[<>≠?]|!=|==|:=", text):
        raise Refused("unparsable", "the answer is a condition or in doubt")
    if re.search("[=≈]", text):
        wrong = wrong_equation(text)
        if wrong:
            raise Refused("contradictory", f"the answer contradicts itself: {wrong}")
        *left, text = re.split("[=≈]", text)
        doubtful = next(
            (side for side in left if re.search("[0-9]", _NAME.sub("", side)) and not is_arithmetic(side)), None
        )
        if doubtful is not None:
            raise Refused("unparsable", f"cannot read {doubtful.strip()[:40]!r}")
    text, aside = _aside(text.strip())
    match = _NUMBER.search(text)
    if match is None:
        raise Refused("unparsable", f"no number in {text[:60]!r}")
    if match.start() and re.match(r"[\w.,/^]", text[match.start() - 1]) and text[match.start()] not in "+-$ ":
        raise Refused("unparsable", f"no plain number in {text[:60]!r}")
    before = text[: match.start()].strip()
    value, rest = _scaled(match, text[match.end() :])
    unit, rest = _unit(rest, claim)
    unit = unit or ("$" if match[2] else _currency(before))
    total = value * _factor(unit, claim)
    while claim["kind"] == "duration" and unit and (more := _NUMBER.match(rest.lstrip(" ,").removeprefix("and "))):
        if more[1] or value < 0:
            raise Refused("contradictory", "a duration of two signs")
        part, rest = _scaled(more, rest.lstrip(" ,").removeprefix("and ")[more.end() :])
        following, rest = _unit(rest, claim)
        scale = _factor(following, claim)
        if not following or scale >= _factor(unit, claim):
            raise Refused("contradictory", "more than one duration in the answer")
        unit, total = following, total + part * scale
    _whole_unit(rest, unit, claim)
    surrounding(before.replace("$", " "))
    surrounding(rest)
    if aside and re.search("[0-9]", aside) and quantity(aside, claim) != total:
        raise Refused("contradictory", f"the answer also says {aside[:40]!r}")
    if aside:
        surrounding(re.sub("[0-9]", "", aside))
    if claim["kind"] == "integer" and claim["unit"] in ("", unit) and total.denominator != 1:
        raise Refused("wrong_value", "not a whole number")
    return total


def _aside(text: str) -> tuple[str, str]:
    """`43.2 min (43m12s)` → the value and what stands in parentheses."""
    match = re.search(r"\(([^()]{0,80})\)\s*$", text)
    return (text[: match.start()].strip(), match[1].strip(" =≈~")) if match and match.start() else (text, "")


def _scaled(match: re.Match[str], rest: str) -> tuple[Fraction, str]:
    """The number of a match with the power of ten or the denominator that follows it."""
    digits = match[3].replace(",", "")
    if len(digits) > MAX_DIGITS:
        raise Refused("too_large", f"a number of {len(digits)} digits, at most {MAX_DIGITS}")
    value = Fraction(f"0{digits}" if digits.startswith(".") else digits)
    exponents = [int(match[4])] if match[4] else []
    if power := _POWER.match(rest):
        exponents.append(int(power[1]))
        rest = rest[power.end() :]
    elif over := _OVER.match(rest):
        if int(over[1]) == 0:
            raise Refused("wrong_value", "the answer divides by zero")
        value, rest = value / int(over[1]), rest[over.end() :]
    if any(abs(exponent) > MAX_EXPONENT for exponent in exponents):
        raise Refused("too_large", f"an exponent beyond {MAX_EXPONENT}")
    for exponent in exponents:
        value *= Fraction(10) ** exponent
    return (-value if match[1] == "-" else value), rest


def _unit(rest: str, claim: Mapping[str, Any]) -> tuple[str, str]:
    """The unit that `rest` opens with, and what follows it. The claim's own dimension is tried first."""
    match = _UNIT.match(rest)
    if match is None:
        return "", rest
    own = units.dimension(claim["unit"], claim["kind"])
    words = match[1]
    ends = [
        end
        for end in range(len(words), 0, -1)
        if end == len(words) or not words[end].isalnum() or words[end - 1].isalpha() != words[end].isalpha()
    ]
    for of in ([own] if own else []) + [None]:
        for end in ends:
            name = words[:end].rstrip(" ./*·^-")
            if (of and units.factor(name, of) is not None) or (of is None and units.known(name)):
                return name, rest[match.start(1) + len(name) :]
    if claim["unit"] and words.casefold().startswith(claim["unit"].casefold()):
        return claim["unit"], rest[match.start(1) + len(claim["unit"]) :]
    if match.start(1) == 0:
        raise Refused("unparsable", f"no unit: {words[:20]!r}")
    return "", rest


def _currency(before: str) -> str:
    word = before.rsplit(" ", maxsplit=1)[-1] if before else ""
    return word if units.factor(word, "money") is not None else ""


def _factor(unit: str, claim: Mapping[str, Any]) -> Fraction:
    """What one `unit` is in the claim's unit. Raises Refused for a unit of something else."""
    own = units.dimension(claim["unit"], claim["kind"])
    if own is None:
        if unit and unit != claim["unit"]:
            raise Refused("wrong_unit", f"expected {claim['unit'] or 'a plain number'}, found {unit}")
        return Fraction(1)
    base = units.factor(claim["unit"], own) if claim["unit"] else Fraction(1)
    found = units.factor(unit, own) if unit else base
    if found is None or base is None:
        raise Refused("wrong_unit", f"expected {claim['unit'] or claim['kind']}, found {unit}")
    return found / base


def _whole_unit(rest: str, unit: str, claim: Mapping[str, Any]) -> None:
    """`5 MB/s` is no amount of MB."""
    if claim["kind"] != "duration" and unit and _RATE.match(rest):
        raise Refused("wrong_unit", f"expected {claim['unit'] or 'a plain number'}, found {unit}{rest[:20]}")
