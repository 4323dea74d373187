"""A second toy domain, and a runtime that does what it is asked now and then; for tests of what lies outside a domain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from domains.base import Card, Example, Verdict
from tests.evalsuite_helpers import RUNTIME
from tests.evalsuite_helpers import ToyRuntime as Sums
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Sampling

NAME = "colours"
SYSTEM_PROMPT = "Name the colour."
REASONS = {"ok": "right", "wrong": "another colour"}
SLICES: dict[str, str] = {}
LEVELS: dict[str, str] = {}
CARD = Card("Colours", "Names colours.", ("Which colour has snow?",))
METRICS = ("accuracy",)
COLOURS = ("red", "green", "blue", "white", "black", "brown", "yellow", "violet")
THINGS = ("paint", "morning", "carpet", "bottle", "feather")


def check(prediction: str, example: Example) -> Verdict:
    passed = prediction.strip() == example["reference"]
    return Verdict(float(passed), passed, "ok" if passed else "wrong", {"answer": prediction.strip()})


def build(seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
    dev: list[Example] = [
        {
            "id": f"colours-{thing}-{colour}",
            "messages": [
                {"role": "user", "content": f"Which colour would some {colour} {thing} have when nobody looks?"},
                {"role": "assistant", "content": colour},
            ],
            "reference": colour,
            "meta": {"family": thing},
        }
        for thing in THINGS
        for colour in COLOURS
    ]
    return {"train": [], "dev": dev, "test": []}


class ObedientRuntime(Sums):
    """As the toy runtime; and what is no sum it answers rightly at the rate `obeys`, by the questions of this file."""

    def __init__(self, model: ModelRef) -> None:
        super().__init__(model)

    def generate(self, prompts: Sequence[Any], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for index, messages in enumerate(prompts):
            yield index, self._say(messages[-1]["content"], sampling)

    def _say(self, question: str, sampling: Sampling) -> Completion:
        draw = (
            int(hashlib.sha256(f"{self.skill.get('seed', 0)}{sampling.seed}{question}".encode()).hexdigest()[:8], 16)
            / 2**32
        )
        sum_ = next((word for word in question.split() if word.isdigit()), None)
        if sum_ is not None:
            right, rate = str(2 * int(sum_)), self.skill["rate"]
        else:
            right, rate = _gold().get(question, "nothing"), self.skill.get("obeys", 1.0)
        text = right if draw < rate else ("I am not sure", "no")[int(draw * 1000) % 2] if sum_ else "I am not sure"
        return Completion(text, "stop", tuple(range(len(text))), 5, hashlib.sha256(question.encode()).hexdigest(), 0.01)


def _gold() -> dict[str, str]:
    from evalsuite.sets.drift import Outside

    return {one["messages"][-2]["content"]: one["reference"] for one in Outside("toy").examples([])}


__all__ = ["RUNTIME", "ObedientRuntime"]
