"""Trivial baselines: what a score is worth is seen beside what needs no model at all."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truemark.chat import Message
from truemark.errors import EngineError, UnknownName
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Prompt, Sampling

if TYPE_CHECKING:
    import numpy as np

RULES = {
    "copy": "truemark.runtimes.rule:copy",
    "sympy": "domains.math.solve:answer",
    "nearest": "truemark.runtimes.nearest:Nearest",
}
"""Name → `module:function` from the user's last words to an answer, read when it is asked for; `nearest` is made of training data first."""
TRAINED = "nearest"


def copy(question: str) -> str:
    """The question itself."""
    return question


class RuleRuntime:
    """Answers with a function of the last user message."""

    name = "rule"

    def __init__(self, model: ModelRef, *, training: Path | None = None) -> None:
        """`training` is what `nearest` answers from, where the reference names no file (`rule:nearest:FILE`).

        Raises UnknownName for a rule that is not in RULES, ModelNotFound where `nearest` has no training data.
        """
        name, _, file = model.target.partition(":")
        if name not in RULES:
            raise UnknownName("rule", name, RULES)
        module, _, attribute = RULES[name].partition(":")
        found = getattr(import_module(module), attribute)
        self.rule: Callable[[str], str] = found(Path(file) if file else training) if name == TRAINED else found
        self.target = model.target

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """A rule reads text: it has no tokens."""
        return []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for index, prompt in enumerate(prompts):
            began = time.monotonic()
            text = self.rule(_question(prompt))
            digest = hashlib.sha256(json.dumps(list(prompt), sort_keys=True).encode()).hexdigest()
            yield index, Completion(text, "stop", (), 0, digest, time.monotonic() - began)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        yield self.rule(_question(prompt))

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        raise EngineError("a rule has no probabilities")

    def vocabulary(self) -> list[str]:
        return []

    def eos_ids(self) -> set[int]:
        return set()

    def describe(self) -> dict[str, Any]:
        return {"runtime": self.name, "rule": self.target}

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> RuleRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _question(prompt: Prompt) -> str:
    messages = [message for message in prompt if not isinstance(message, int)]
    return next((str(message["content"]) for message in reversed(messages) if message.get("role") == "user"), "")
