"""Solutions with labelled steps: the references of a training file, and the same with one change each. Deterministic.

    number      one number of one step is another; the label is the step check's: the first step that it names is wrong
    foreign     a computation is done with a number that is not the problem's, and done rightly (`34 - 6 = 28` → `35 - 6 = 29`): the check
                sees nothing, the step is wrong all the same, by construction
    answer      the final line gives another number; wrong by construction, for the domain's check fails it

Steps behind the first wrong one have no label, as in PRM800K (Lightman et al. 2023, "Let's Verify Step by Step", section 2.4).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domains.math.steps import first_wrong
from truemark.errors import InvalidData

RIGHT, WRONG, UNKNOWN = 1, 0, -100
_NUMBER = re.compile(r"(?<![\w.])\d{1,9}(?![\w.]\d|\w)")
_COMPUTATION = re.compile(r"(?<![\w.^)*/+-])(?<![-+*/^] )(\d{1,6}) ([-+*/]) (\d{1,6}) = (\d{1,9})(?=$|,|\.?$)")


@dataclass(frozen=True)
class Solution:
    """A question and the steps of one solution of it."""

    name: str
    question: str
    lines: tuple[str, ...]
    labels: tuple[int, ...]
    """RIGHT, WRONG or UNKNOWN of each line."""
    change: str
    """`reference`, or a row of CHANGES."""
    family: str = ""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def conversation(row: Mapping[str, Any], number: int) -> tuple[str, str]:
    """Question and answer of one row. Raises InvalidData for a row without them."""
    messages = row.get("messages")
    spoken: dict[str, str] = {}
    if isinstance(messages, list):
        for message in messages:
            if isinstance(message, dict) and isinstance(message.get("content"), str):
                spoken[str(message.get("role"))] = message["content"]
    if not spoken.get("user") or not spoken.get("assistant"):
        raise InvalidData(
            f"example {row.get('id', number)!r}: expected a user's message and the assistant's answer to it, found {str(messages)[:80]}"
        )
    return spoken["user"], spoken["assistant"]


def solutions(rows: Sequence[Mapping[str, Any]], seed: int, *, by_check: bool = True, every: bool = False) -> list[Solution]:  # fmt: skip
    """The reference of each row, then one changed solution of it, or with `every` one of each kind of change that it allows.

    With `by_check` a changed number is labelled by the step check, and left out where the check sees nothing; otherwise the changed line is
    wrong (what a comparison with the check needs). Raises InvalidData naming the first row that is no conversation.
    """
    found = []
    for number, row in enumerate(rows, 1):
        question, answer = conversation(row, number)
        lines = tuple(line.strip() for line in answer.split("\n") if line.strip())
        name, family = str(row.get("id", number)), str((row.get("meta") or {}).get("family", ""))
        found.append(Solution(name, question, lines, (RIGHT,) * len(lines), "reference", family))
        rng = random.Random(f"{seed}.{name}.{question}")
        possible = {kind: made for kind, make in CHANGES.items() if (made := make(question, lines, rng)) is not None}
        for kind in possible if every else [rng.choice(list(possible))] if possible else []:
            text, at = possible[kind]
            if kind == "number" and by_check:
                step = first_wrong("\n".join(text), question)
                if step is None:
                    continue
                at = step.number - 1
            labels = (RIGHT,) * at + (WRONG,) + (UNKNOWN,) * (len(text) - at - 1)
            found.append(Solution(f"{name}.{kind}", question, text, labels, kind, family))
    return found


Changed = tuple[tuple[str, ...], int] | None
"""The lines, and the index of the one that was changed."""


def _number(question: str, lines: tuple[str, ...], rng: random.Random) -> Changed:
    places = [(index, match) for index, line in enumerate(lines[:-1]) for match in _NUMBER.finditer(line)]
    if not places:
        return None
    index, match = rng.choice(places)
    return _with(lines, index, match, _other(match[0], rng)), index


def _foreign(question: str, lines: tuple[str, ...], rng: random.Random) -> Changed:
    places = [(index, match) for index, line in enumerate(lines[:-1]) for match in _COMPUTATION.finditer(line)]
    rng.shuffle(places)
    for index, match in places:
        known = set(re.findall(r"\d+", "\n".join([question, *lines[:index]])))
        for _ in range(8):
            left, right = match[1], match[3]
            if rng.random() < 0.5:
                left = _other(left, rng)
            else:
                right = _other(right, rng)
            value = _value(int(left), match[2], int(right))
            if value is None or str(value) == match[4] or not {left, right} - known:
                continue
            changed = _with(lines, index, match, f"{left} {match[2]} {right} = {value}")
            if first_wrong("\n".join(changed[: index + 1]), question) is None:
                return changed, index
    return None


def _answer(question: str, lines: tuple[str, ...], rng: random.Random) -> Changed:
    places = list(_NUMBER.finditer(lines[-1])) if len(lines) > 1 else []
    if not places:
        return None
    match = rng.choice(places)
    return _with(lines, len(lines) - 1, match, _other(match[0], rng)), len(lines) - 1


CHANGES: dict[str, Callable[[str, tuple[str, ...], random.Random], Changed]] = {
    "number": _number,
    "foreign": _foreign,
    "answer": _answer,
}


def _with(lines: tuple[str, ...], index: int, match: re.Match[str], text: str) -> tuple[str, ...]:
    line = lines[index]
    return (*lines[:index], f"{line[: match.start()]}{text}{line[match.end() :]}", *lines[index + 1 :])


def _other(digits: str, rng: random.Random) -> str:
    """Another number, as a slip would have it: near it, or with one digit another."""
    value = int(digits)
    place = 10 ** rng.randrange(len(digits))
    candidates = [value + off for off in (-3, -2, -1, 1, 2, 3, -place, place) if value + off >= 0 and off]
    return str(rng.choice(candidates))


def _value(left: int, sign: str, right: int) -> int | None:
    """The result of a computation where it is a whole number that is not negative."""
    if sign == "/":
        return left // right if right and left % right == 0 else None
    value = {"+": left + right, "-": left - right, "*": left * right}[sign]
    return value if value >= 0 else None


def each_step(solution: Solution) -> Iterator[tuple[int, int]]:
    """Index and label of each step that has one."""
    return ((index, label) for index, label in enumerate(solution.labels) if label != UNKNOWN)
