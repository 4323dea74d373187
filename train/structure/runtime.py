"""The runtime of models from scratch: so that `truemark eval` and `truemark ask` take them like any other."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from train.scratch import FORMAT, MAX_TOKENS, Model
from train.structure.vocabulary import END
from truemark.chat import Message
from truemark.errors import EngineError, InvalidArtifact
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Prompt, Sampling

if TYPE_CHECKING:
    import numpy as np


class ScratchRuntime:
    """Answers the last user message, greedily: the model knows nothing but a question and its answer."""

    name = "scratch"

    def __init__(self, model: ModelRef) -> None:
        """Raises InvalidArtifact for a model of another format."""
        if model.artifact is None or model.artifact.manifest.format != FORMAT:
            raise InvalidArtifact(f"{model.text} is not a model of format {FORMAT}")
        self.reference = model.label
        self.model = Model(model.local_path())

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of the last question."""
        from train.scratch import prompt

        return prompt(self.model.vocabulary, _question(messages))[0]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """One completion a prompt, in the order given. Raises EngineError for a temperature, or for ids without their question."""
        if sampling.temperature > 0:
            raise EngineError(
                f"a model from scratch answers greedily: expected temperature 0, found {sampling.temperature}"
            )
        if any(isinstance(item, int) for prompt in prompts for item in prompt):
            raise EngineError("a model from scratch reads the question's text: expected messages, found token ids")
        began = time.monotonic()
        written = self.model.written(
            [_question(prompt) for prompt in prompts], max_tokens=min(sampling.max_tokens, MAX_TOKENS)
        )
        seconds = (time.monotonic() - began) / max(len(prompts), 1)
        for index, (prompt, (ids, ended)) in enumerate(zip(prompts, written, strict=True)):
            asked = self.prompt_ids([message for message in prompt if not isinstance(message, int)])
            digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
            reason = "stop" if ended else "length"
            yield index, Completion(self.model.vocabulary.decode(ids), reason, tuple(ids), len(asked), digest, seconds)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """The answer in one piece."""
        for _, completion in self.generate([prompt], sampling):
            yield completion.text

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        raise EngineError("a model from scratch has no mark to compare probabilities for")

    def vocabulary(self) -> list[str]:
        return self.model.vocabulary.tokens

    def eos_ids(self) -> set[int]:
        return {END}

    def describe(self) -> dict[str, Any]:
        return {"runtime": self.name, "model": self.reference}

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> ScratchRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _question(prompt: Prompt | Sequence[Message]) -> str:
    messages = [message for message in prompt if not isinstance(message, int)]
    return next((str(message["content"]) for message in reversed(messages) if message.get("role") == "user"), "")
