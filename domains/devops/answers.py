"""From a model's text to its final answers: what follows `Answer:` (or `the answer is`), or stands in `\\boxed{…}`.

All of them are returned, the deciding one last: a text that states two different final answers has none. A text of one single line is its own answer; any other
text without a marker has no answer, because picking numbers out of prose would pass answers that nobody gave.
"""

from __future__ import annotations

import re
from itertools import zip_longest

MAX_PREDICTION = 20_000
"""Characters; a longer text is refused unread."""
MAX_ANSWER = 600
MAX_ANSWERS = 12
"""Different final answers that are read; a text with more contradicts itself."""
_MARKER = re.compile(r"(?i)\b(?:final )?answer(?:[*_` ]{0,4}[:=]|[*_ ]{0,3}\bis\b[: ]?)[*_` ]{0,4}")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


class Refused(ValueError):
    """An answer that is not read further; `reason` is one of the domain's REASONS."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def clean(prediction: str) -> str:
    """The text with plain line ends. Raises Refused for one that is too long, or holds characters that hide or reorder what a reader sees."""
    if len(prediction) > MAX_PREDICTION:
        raise Refused("too_large", f"{len(prediction)} characters, at most {MAX_PREDICTION}")
    text = prediction.replace("\r\n", "\n").replace("\r", "\n")
    hidden = _INVISIBLE.search(text)
    if hidden:
        raise Refused("unparsable", f"the text holds the invisible character U+{ord(hidden[0]):04X}")
    return text


def final_answers(text: str) -> list[str]:
    """The different final answers of a cleaned text, the last one last. Raises Refused where there is none, or far too many."""
    found = [answer for _, answer in sorted([*_marked(text), *_boxed(text)])]
    if not found:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if len(lines) != 1 or len(lines[0]) > 200:
            raise Refused("no_answer", "no line `Answer: …` and nothing in \\boxed{}")
        found = lines
    distinct = list(dict.fromkeys(reversed(found)))
    if len(distinct) > MAX_ANSWERS:
        raise Refused("contradictory", f"{len(distinct)} different final answers")
    if len(distinct[0]) > MAX_ANSWER:
        raise Refused("too_large", f"a final answer of {len(distinct[0])} characters, at most {MAX_ANSWER}")
    return distinct[::-1]


def _marked(text: str) -> list[tuple[int, str]]:
    found, offset = [], 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        markers = list(_MARKER.finditer(line))
        for marker, after in zip_longest(markers, markers[1:]):
            stated = line[marker.end() : after.start() if after else len(line)].strip()
            if not stated.strip("*_`. ") and after is None:  # the value stands on the next line
                stated = next((below.strip() for below in lines[number + 1 :] if below.strip()), "")
            if stated:
                found.append((offset + marker.end(), _unboxed(stated)))
        offset += len(line) + 1
    return found


def _boxed(text: str) -> list[tuple[int, str]]:
    found, start = [], text.find("\\boxed{")
    while start >= 0:
        inner = _braces(text, start + 6)
        found.append((start, inner.strip()))
        start = text.find("\\boxed{", start + 7 + len(inner))
    return [one for one in found if one[1]]


def _unboxed(stated: str) -> str:
    start = stated.find("\\boxed{")
    return _braces(stated, start + 6).strip() if start >= 0 else stated


def _braces(text: str, start: int) -> str:
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + 1 : position]
    return text[start + 1 :]
