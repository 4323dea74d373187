"""Instructions in other words, in a natural, an instructional or an academic tone.

By a model where `write` is given: its answer counts only if it is one short line that keeps the numbers and the capital letters that stand for
something; else, and without a model, a phrase of the tone is put around the instruction, which is an imperative sentence.
"""

from __future__ import annotations

import random
from functools import lru_cache
from importlib.resources import files

from domains.asp.augment import Write
from domains.asp.problems import Problem
from domains.asp.turns import Turn

TONES = ("natural", "instructional", "academic")
MAX_WORDS = 30


def apply(problem: Problem, turns: list[Turn], rng: random.Random, write: Write | None = None) -> list[Turn]:
    """One tone for a conversation."""
    tone = rng.choice(TONES)
    return [Turn(paraphrase(turn.say, tone, rng, write), turn.rule) for turn in turns]


def paraphrase(say: str, tone: str, rng: random.Random, write: Write | None = None) -> str:
    """One instruction in a tone."""
    frame = rng.choice(frames()[tone])
    if write is not None:
        answer = write(prompt(say, tone)).strip().strip('"')
        if _keeps(say, answer):
            return answer
    return by_rule(say, frame)


def by_rule(say: str, frame: str) -> str:
    """The instruction inside a phrase: `{it}` is the sentence without its period and capital, `{It}` with the capital."""
    body = say.removesuffix(".")
    return frame.format(it=body[0].lower() + body[1:], It=body)


def prompt(say: str, tone: str) -> list[dict[str, str]]:
    """What a model is asked."""
    return [{"role": "user", "content": f"{frames()['ask'][0].format(tone=tone)}\n\n{say}"}]


@lru_cache
def frames() -> dict[str, list[str]]:
    """The phrases by tone, in the order of the file."""
    import yaml

    loaded: dict[str, list[str]] = yaml.safe_load(
        (files("domains.asp.augment") / "frames.yaml").read_text(encoding="utf-8")
    )
    return loaded


def _keeps(say: str, answer: str) -> bool:
    return (
        "\n" not in answer
        and 2 <= len(answer.split()) <= MAX_WORDS
        and _marks(say) <= _marks(answer)
        and answer.isprintable()
    )


def _marks(text: str) -> set[str]:
    """Numbers and single capital letters, which stand for something in the problem."""
    words = "".join(sign if sign.isalnum() else " " for sign in text).split()
    return {word for word in words if word.isdigit() or (len(word) == 1 and word.isupper() and word not in ("A", "I"))}
