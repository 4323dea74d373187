"""How a value of each kind is read out of an answer: one reader per kind, each to a form in which equal values are equal.

    >>> read("43m12s", {"kind": "duration", "unit": "min", "value": "43.2"}) == read("43.2 min", ...)
    True

A reader takes the value with a few words around it (`about`, `usable hosts`), and refuses what would be a guess: two values, a negation, a hedge, digits that are not ASCII.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

from domains.devops.answers import Refused
from domains.devops.calculators.permissions import bits_of
from domains.devops.quantities import quantity

Claim = Mapping[str, Any]
MAX_ITEMS = 30
_IP = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_RANGE = re.compile(rf"({_IP})\s{{0,3}}(?:-|–|—|\.\.\.?|to|through)\s{{0,3}}({_IP})(?![./0-9])")
_CIDR = re.compile(rf"({_IP})\s?/\s?({_IP}|[0-9]{{1,2}})(?![./0-9])")
_PREFIX = re.compile(r"/\s?([0-9]{1,2})(?![./0-9])")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T|,? at |,? )([0-9]{2}:[0-9]{2})(?::00)?(?![:.0-9])Z?")
_OCTAL = re.compile(r"(?<![0-9A-Za-z.])(?:0o)?(0?[0-7]{3})(?![0-9.])")
_LETTERS = re.compile(r"(?<![rwx-])[-d]?([r-][w-][x-][r-][w-][x-][r-][w-][x-])(?![rwx-])")
_CLASSES = re.compile(r"u=([rwx]{0,3}),\s?g=([rwx]{0,3}),\s?o=([rwx]{0,3})(?![rwx])")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HEDGES = frozenset((
    "not", "no", "never", "isn't", "isnt", "wasn't", "wasnt", "won't", "wrong", "incorrect", "false", "or", "either", "neither", "nor", "except",
    "excluding", "unless", "unlike", "maybe", "perhaps", "possibly", "probably", "unknown", "unsure", "versus", "vs", "than", "minus", "plus",
    "times", "but", "other", "another", "anything", "instead", "rather", "opposite", "above", "below", "over", "under", "beyond", "exceeds",
    "greater", "fewer", "zero", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fifteen",
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "million", "half", "twice",
))  # fmt: skip
"""Words that take a value back, or name another one."""
_AROUND = re.compile(r"[^\W\d_]|[ '’\".,:()~≈=&→–—-]")
"""What may stand beside a value: letters and the marks of a sentence."""


def read(text: str, claim: Claim) -> Any:
    """The value of a claim's kind in `text`. Raises Refused."""
    return READERS[claim["kind"]](_plain(text), claim)


def agrees(found: Any, claim: Claim) -> bool:
    """Is `found`, read by `read`, the value of the claim? Of a rounded claim, a more precise value that rounds to it is."""
    wanted = expected(claim)
    if found == wanted:
        return True
    digits = claim.get("round")
    if digits is None or not isinstance(found, Fraction):
        return False
    from domains.devops.expressions import rounded

    return bool(rounded(found, digits) == wanted)


def expected(claim: Claim) -> Any:
    """The value of the claim itself."""
    unit = claim["unit"]
    return read(f"{claim['value']} {unit}" if unit else str(claim["value"]), claim)


def _plain(text: str) -> str:
    """Without the marks of Markdown and LaTeX."""
    text = text.replace("−", "-").replace("\u00a0", " ").replace("\\%", "%").replace("\\,", " ").replace("\\;", " ")
    text = re.sub(r"\\(?:text|mathrm|mathbf|texttt)\{([^{}]{0,80})\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\*\*|__|`|\$(?![0-9])", " ", text)
    return " ".join(text.split()).strip(" .,;!")


def surrounding(text: str) -> list[str]:
    """The words around a value. Raises Refused where they hold a further value, or take the value back."""
    if re.search(r"\d", text):
        raise Refused("contradictory", f"more than one value in the answer: {text[:60]!r} beside it")
    strange = _AROUND.sub("", text)
    if strange:
        raise Refused("unparsable", f"the answer holds {strange[0]!r}")
    found = re.findall(r"[^\W\d_][\w']*", text.casefold())
    hedge = next((word for word in found if word in _HEDGES), None)
    if hedge:
        raise Refused("unparsable", f"the answer holds the word '{hedge}'")
    if len(found) > 10:
        raise Refused("unparsable", "the answer is a sentence, not a value")
    return found


def _one(pattern: re.Pattern[str], text: str, what: str) -> tuple[re.Match[str], list[str]]:
    """The only match, and the words around it."""
    match = pattern.search(text)
    if match is None:
        raise Refused("unparsable", f"no {what} in {text[:60]!r}")
    return match, surrounding(f"{text[: match.start()]} {text[match.end() :]}")


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise Refused("unparsable", f"{text!r} is no IPv4 address") from None


def _ip(text: str, claim: Claim) -> str:
    match, _ = _one(re.compile(rf"(?<![.0-9])({_IP})(?![./0-9])"), text, "IPv4 address")
    return _address(match[1])


def _mask(text: str) -> str:
    """A prefix length or a netmask as a netmask."""
    if "." not in text and int(text) > 32:
        raise Refused("unparsable", f"/{text} is no prefix length")
    try:
        network = ipaddress.IPv4Network(f"0.0.0.0/{text}")
    except ValueError:
        raise Refused("unparsable", f"{text!r} is no netmask") from None
    if "." in text and str(network.netmask) != text:  # `ipaddress` takes host masks (0.0.0.255) too
        raise Refused("unparsable", f"{text!r} is no netmask")
    return str(network.netmask)


def _netmask(text: str, claim: Claim) -> str:
    if re.search(_IP, text):
        found = re.search(r"\(\s?/\s?([0-9]{1,2})\s?\)", text)  # 255.255.252.0 (/22)
        mask = _mask(_ip(text.replace(found[0], " ") if found else text, claim))
        if found and _mask(found[1]) != mask:
            raise Refused("contradictory", "the prefix length is another mask")
        return mask
    return _mask(_one(_PREFIX, text, "netmask")[0][1])


def _cidr(text: str, claim: Claim) -> tuple[str, str]:
    match, _ = _one(_CIDR, text, "network in CIDR form")
    return _address(match[1]), _mask(match[2])


def _ip_range(text: str, claim: Claim) -> tuple[str, str]:
    match, _ = _one(_RANGE, text, "range of addresses")
    return _address(match[1]), _address(match[2])


def _time(text: str, claim: Claim) -> str:
    match, words = _one(_TIME, text, "time `YYYY-MM-DD HH:MM`")
    if {"am", "pm"} & set(words):
        raise Refused("unparsable", "a time of 12 hours")
    try:
        moment = datetime.fromisoformat(f"{match[1]} {match[2]}")
    except ValueError:
        raise Refused("unparsable", f"{match[0]!r} is no time") from None
    named = [number for word in words for number, day in enumerate(_DAYS) if len(word) >= 3 and day.startswith(word)]
    if any(number != moment.weekday() for number in named):
        raise Refused("contradictory", f"{match[1]} is another weekday")
    return moment.strftime("%Y-%m-%d %H:%M")


def _mode(text: str, claim: Claim) -> int:
    found: set[int] = set()
    rest = text
    for pattern in (_LETTERS, _CLASSES, _OCTAL):
        match = pattern.search(rest)
        if match is None:
            continue
        rest = f"{rest[: match.start()]} {rest[match.end() :]}"
        if pattern is _CLASSES:
            parts = [sum({"r": 4, "w": 2, "x": 1}[letter] for letter in set(part)) for part in match.groups()]
            found.add(parts[0] << 6 | parts[1] << 3 | parts[2])
        else:
            found.add(bits_of(match[1]))
    surrounding(rest)
    if not found:
        raise Refused("unparsable", f"no permission mode in {text[:60]!r}")
    if len(found) > 1:
        raise Refused("contradictory", "octal and letters are different modes")
    return found.pop()


def _word(text: str, claim: Claim) -> str:
    """One of the claim's options, and no other of them."""
    folded = _spaced(text)
    options = {one: _spaced(one) for one in claim["options"]}
    found = []
    for option, shown in sorted(options.items(), key=lambda pair: -len(pair[1])):
        if shown in folded:
            found.append(option)
            folded = folded.replace(shown, " ")
    if len(found) > 1:
        raise Refused("contradictory", f"the answer says {' and '.join(found)}")
    surrounding(folded)
    if not found:
        raise Refused("unparsable", f"none of {', '.join(claim['options'])}")
    return found[0]


def _spaced(text: str) -> str:
    """Words and signs, one space around each."""
    return " ".join(["", *re.findall(r"[^\W_]+|[^\w\s]", text.casefold()), ""])


def _digits(text: str, claim: Claim) -> int:
    base = int(claim["base"])
    prefix, letters = {2: ("0b", "01"), 8: ("0o", "0-7"), 16: ("0x", "0-9A-Fa-f")}[base]
    pattern = re.compile(
        rf"(?<![0-9A-Za-z.])(?:{prefix}|{prefix.upper()})?([{letters}](?:_?[{letters}]){{0,40}})(?![0-9A-Za-z.])"
    )
    return int(_one(pattern, text, f"number in base {base}")[0][1].replace("_", ""), base)


def _list(text: str, claim: Claim) -> tuple[Any, ...]:
    inner = text.strip("[](){} ")
    items = [
        item
        for item in re.split(r"; ?|, (?:and |then )?|,(?![0-9]{3}(?![0-9]))| (?:and|then) | ?(?:->|→) ?", inner)
        if item.strip()
    ]
    if len(items) > MAX_ITEMS:
        raise Refused("too_large", f"a list of {len(items)} items, at most {MAX_ITEMS}")
    one = {"kind": claim["item"], "unit": claim["unit"], "round": claim.get("round")}
    found = tuple(read(item, one) for item in items)
    if "value" in claim:
        wanted = str(claim["value"]).count(", ") + 1
        if len(found) != wanted:
            raise Refused(
                "missing_part" if len(found) < wanted else "extra_part", f"{len(found)} items, expected {wanted}"
            )
    return found


READERS: dict[str, Callable[[str, Claim], Any]] = {
    **dict.fromkeys(("integer", "decimal", "percentage", "money", "duration", "bytes", "cpu", "memory"), quantity),
    "ip": _ip,
    "netmask": _netmask,
    "cidr": _cidr,
    "ip_range": _ip_range,
    "time": _time,
    "mode": _mode,
    "word": _word,
    "digits": _digits,
    "list": _list,
}
