"""From a text to tokens: words, numbers (in words or digits), marks, and signs for phrases that stand for one relation or operator."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from domains.rewording.english import number_values
from domains.rewording.keys import key

MAX_TEXT = 8000
MAX_TOKENS = 600
"""How much of a text is read: what is compared is a sentence or a paragraph, not a book."""
_TOKEN = re.compile(
    r"\d{1,6}/\d{1,6}(?![\d/])|\d+(?:,\d{3}(?!\d))*(?:\.\d+)?|km/h|[^\W\d_]+(?:['’-][^\W\d_]+)*['’]?|[%$€£₹°]|[.!?;:,()]|\S"
)
_HIDDEN = re.compile("[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")  # fmt: skip
STOPS = (".", "!", "?")


@dataclass(frozen=True)
class Token:
    """One word, number, mark or sign."""

    text: str
    low: str
    kind: str
    """`word`, `number`, `mark` or `sign` (a phrase that stands for one relation or operator; `low` is its name)."""
    value: float = 0.0
    start: bool = False
    """First word of a sentence."""

    @property
    def capital(self) -> bool:
        """Written with a capital."""
        return self.kind == "word" and self.text[:1].isupper()


@lru_cache
def reading() -> dict[str, Any]:
    """reading.yaml."""
    import yaml

    loaded: dict[str, Any] = yaml.safe_load((files("domains.rewording") / "reading.yaml").read_text(encoding="utf-8"))
    return loaded


@lru_cache
def closed(name: str) -> frozenset[str]:
    """A list of reading.yaml."""
    return frozenset(reading()[name].split())


@lru_cache
def _phrases() -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """First word → (phrase, signs), longest first."""
    found: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for signs, phrases in reading()["signs"].items():
        for phrase in phrases:
            parts = tuple(phrase.split())
            found.setdefault(parts[0], []).append((parts, tuple(signs.split()) if signs != "_" else ()))
    return {first: sorted(rows, key=lambda row: -len(row[0])) for first, rows in found.items()}


def clean(text: str) -> str:
    """Canonical characters; hidden and directional ones are taken out, so what is read is what is seen."""
    text = unicodedata.normalize("NFKC", text).translate(
        {0x2018: "'", 0x2019: "'", 0x2010: "-", 0x2011: "-", 0x2013: "-", 0x2014: ","}
    )
    return " ".join(_HIDDEN.sub("", text).split())


def plain_tokens(text: str) -> list[Token]:
    """Tokens of a cleaned text, with contractions undone and numbers read."""
    return _numbers(_split(text)[:MAX_TOKENS])


def tokens(text: str) -> list[Token]:
    """Tokens of a cleaned text, with contractions undone, numbers read and phrases replaced by signs."""
    return _signs(plain_tokens(text))


def _split(text: str) -> list[Token]:
    found: list[Token] = []
    start = True
    for raw in _TOKEN.findall(text):
        if raw[0].isdigit():
            found.append(Token(raw, raw, "number", _float(raw)))
        elif raw[0].isalpha():
            found += _undo(raw, start)
        else:
            found.append(Token(raw, raw, "mark"))
        start = raw in STOPS or (start and not raw[0].isalnum())
    return found


def _float(raw: str) -> float:
    if "/" in raw:
        top, bottom = raw.split("/")
        return int(top) / int(bottom) if top.isascii() and bottom.isascii() and int(bottom) else float("inf")
    digits = raw.replace(",", "").rstrip(".")
    return float(digits) if digits.isascii() and len(digits) <= 15 else float("inf")


def _undo(raw: str, start: bool) -> list[Token]:
    low = raw.lower().replace("’", "'")
    expanded = reading()["contractions"].get(low)
    if expanded:
        return [Token(part, part, "word", start=start and not index) for index, part in enumerate(expanded.split())]
    for ending, word in reading()["endings"].items():
        if low.endswith(ending) and len(low) > len(ending):
            stem = raw[: -len(ending)]
            return [Token(stem, stem.lower(), "word", start=start), Token(word, word, "word")]
    if low.endswith(("'s", "s'")):
        stem = raw[:-2] if low.endswith("'s") else raw[:-1]
        return [Token(stem, stem.lower(), "word", start=start), Token("'s", "'s", "mark")]
    raw = raw.rstrip("'")
    return [Token(raw, raw.lower(), "word", start=start)]


def _numbers(found: list[Token]) -> list[Token]:
    """Numbers in words become number tokens: `two thousand five hundred`, `forty-two`, `a dozen`, `half`."""
    result: list[Token] = []
    index = 0
    while index < len(found):
        total, end = _spelled(found, index)
        if end > index and end < len(found) and found[end].low in _PARTS:
            total, end = total / _PARTS[found[end].low], end + 1
        if end > index and [token.low for token in found[end : end + 3]] == ["and", "a", "half"]:
            total, end = total + 0.5, end + 3
        if end > index:
            result.append(Token(" ".join(t.text for t in found[index:end]), "", "number", total, found[index].start))
            index = end
        else:
            result.append(found[index])
            index += 1
    return result


_LONGEST_NUMBER = 14
"""Words."""
_PARTS = {"halves": 2, "thirds": 3, "quarters": 4, "fifths": 5, "sixths": 6, "eighths": 8, "tenths": 10}


def _spelled(found: list[Token], index: int) -> tuple[float, int]:
    """The value of the number words from `index` and where they end (`index` itself: no number)."""
    first = found[index]
    if (
        first.kind == "number"
        and index + 3 < len(found)
        and found[index + 1].low == "and"
        and found[index + 3].low == "half"
    ):
        return first.value, index + 1
    simple = {"half": 0.5, "dozen": 12.0, "quarter": 0.25, "third": 1 / 3}
    if first.low in ("a", "one") and index + 1 < len(found) and found[index + 1].low in ("dozen", "quarter", "third", "half"):  # fmt: skip
        return simple[found[index + 1].low], index + 2
    if first.low == "half" and index and found[index - 1].low in ("over", "than"):
        return 0.0, index  # `more than half of` is a quantifier
    if first.low in ("half", "dozen") and first.kind == "word":
        return simple[first.low], index + 1
    values = number_values()
    total, current, end = 0.0, 0.0, index
    if first.kind == "number" and index + 1 < len(found) and found[index + 1].low in ("thousand", "million", "billion", "hundred"):  # fmt: skip
        current, end = first.value, index + 1
    elif first.kind != "word":
        return 0.0, index
    while end < min(len(found), index + _LONGEST_NUMBER):
        parts = found[end].low.split("-")
        if found[end].kind == "word" and all(part in values for part in parts):
            for part in parts:
                value = values[part]
                if value == 100:
                    current = max(current, 1) * 100
                elif value >= 1000:
                    total, current = total + max(current, 1) * value, 0.0
                else:
                    current += value
            end += 1
        elif found[end].low == "and" and end > index and _more(found, end, values):
            end += 1
        else:
            break
    if end == index or (end == index + 1 and first.low == "one"):
        return 0.0, index
    return total + current, end


def _more(found: list[Token], end: int, values: dict[str, int]) -> bool:
    """`hundred and five`: the number goes on after the `and`."""
    hundreds = found[end - 1].low in ("hundred", "thousand", "million")
    return hundreds and end + 1 < len(found) and all(part in values for part in found[end + 1].low.split("-"))


def _signs(found: list[Token]) -> list[Token]:
    result: list[Token] = []
    index = 0
    while index < len(found):
        length, signs = _phrase_at(found, index)
        if length and not _spared(found, index, length, signs):
            start = any(token.start for token in found[index : index + length])
            result += [Token(found[index].text, sign, "sign", start=start) for sign in signs]
            index += length
        else:
            result.append(found[index])
            index += 1
    return _not_until(_having(result))


def _having(found: list[Token]) -> list[Token]:
    """`Having closed the door, she left` is said as `after`."""
    return [
        Token(token.text, "AFTER", "sign", start=True)
        if token.low == "having" and token.start and k + 1 < len(found) and found[k + 1].kind == "word"
        else token
        for k, token in enumerate(found)
    ]


def _not_until(found: list[Token]) -> list[Token]:
    """`not … until` is `only after`: the denial goes, the order stays."""
    gone: set[int] = set()
    result = list(found)
    for k, token in enumerate(found):
        if token.low == "BEFORE" and token.text.lower() in ("until", "till"):
            near = range(k - 1, max(-1, k - 12), -1)
            denial = next((j for j in near if found[j].low == "NOT" and j not in gone), -1)
            if denial >= 0 and not any(found[j].low in STOPS for j in range(denial, k)):
                gone.add(denial)
                result[k] = Token(token.text, "AFTER", "sign", start=token.start)
    return [token for k, token in enumerate(result) if k not in gone]


def unprefixed(found: list[Token], other: list[Token]) -> list[Token]:
    """`inconsistent` becomes `NOT consistent` where the other text speaks of what is consistent."""
    known = {key(token.low) for token in other if token.kind == "word"}
    result = []
    for token in found:
        rest = next((token.low[len(prefix) :] for prefix in _DENYING if token.low.startswith(prefix)), "")
        if token.kind == "word" and len(rest) >= 4 and key(rest) in known and key(token.low) not in known:
            result += [Token(token.text, "NOT", "sign"), Token(rest, rest, "word")]
        else:
            result.append(token)
    return result


_DENYING = ("un", "in", "im", "il", "ir", "dis", "non-", "non")


def _phrase_at(found: list[Token], index: int) -> tuple[int, tuple[str, ...]]:
    for parts, signs in _phrases().get(found[index].low, ()):
        if all(index + k < len(found) and found[index + k].low == part for k, part in enumerate(parts)):
            return len(parts), signs
    return 0, ()


def _spared(found: list[Token], index: int, length: int, signs: tuple[str, ...]) -> bool:
    """A word that only looks like a sign here: the month of May, `next week`, `provided the key`, `not as` without a second `as`."""
    following = found[index + length] if index + length < len(found) else None
    token = found[index]
    if (
        token.low == "may"
        and token.text == "May"
        and (not token.start or (following is not None and following.kind == "number"))
    ):
        return True
    if signs == ("LESS", "AS"):
        return not any(other.low == "as" for other in found[index + length : index + length + 6])
    if token.low == "most" and length == 1:
        plural = following is not None and (
            following.low.endswith("s") or following.low in ("people", "children", "women", "men")
        )
        return not plural or (index > 0 and found[index - 1].low == "the")
    if token.low in ("next", "following", "first", "earlier", "provided", "required", "cause", "essential"):
        before = found[index - 1].low if index else ""
        if token.low == "provided":
            return before not in ("", ",") or following is None or following.low in ("by",)
        if token.low in ("next", "first", "following"):
            return not token.start and before not in (",", ";", "and", "only") and length == 1
        if token.low == "cause" and length == 1:
            return before in ("the", "a", "this")
    return False
