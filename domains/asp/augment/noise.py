"""Input noise: instructions as people type them, in lower case, without punctuation, or both. Rules and the problem stay."""

from __future__ import annotations

import random
from typing import Any

from domains.asp.problems import Problem
from domains.asp.turns import Turn

KINDS = ("lower", "bare", "both")


def apply(problem: Problem, turns: list[Turn], rng: random.Random, write: Any = None) -> list[Turn]:
    """One kind of noise for all instructions of a conversation."""
    kind = rng.choice(KINDS)
    return [Turn(noisy(turn.say, kind), turn.rule) for turn in turns]


def noisy(text: str, kind: str) -> str:
    """`lower`: lower case. `bare`: letters, digits and blanks alone. `both`."""
    if kind in ("lower", "both"):
        text = text.lower()
    if kind in ("bare", "both"):
        text = " ".join("".join(sign if sign.isalnum() else " " for sign in text).split())
    return text
