"""The runtime protocol: what parity, evaluation and serving stand on. None of them opens a model file itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from truemark.chat import Message

if TYPE_CHECKING:
    import numpy as np

Prompt = Sequence[Message] | list[int]
"""Messages, rendered by the model's own template; or token ids, taken as they are."""


@dataclass(frozen=True)
class Sampling:
    """Decoding parameters. The default is greedy."""

    max_tokens: int = 256
    temperature: float = 0.0
    """0 is greedy: the most probable token, ties to the lowest id."""
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completion:
    """One answer."""

    text: str
    finish_reason: str
    """`stop` (end-of-turn token or stop string) or `length`."""
    token_ids: tuple[int, ...]
    """The generated tokens without the end-of-turn token; empty where the engine does not tell."""
    prompt_tokens: int
    prompt_sha256: str
    """Hash of the prompt's token ids (of the messages where the engine renders out of sight)."""
    seconds: float
    """Wall time from the request to the last token; for a batch, of the whole batch divided by its size."""
    completion_tokens: int | None = None
    """How many were generated, where an engine tells the number alone; else `token_ids` has them."""
    confidence: float | None = field(default=None, compare=False)
    """Geometric mean of the probabilities that the model gave the generated tokens, at temperature 1; None where the engine does not tell."""


class Runtime(Protocol):
    """An executable model. Use as a context manager, or call `close`."""

    name: str
    """The row in RUNTIMES."""

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the rendered messages with the generation prompt, special tokens included."""
        ...

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Answer many prompts; yields (index, completion) in whatever order they finish."""
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """Answer one prompt, piece by piece."""
        ...

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        """Teacher-forced natural-log probabilities, float32 `[T, V]`: row t is the distribution of token t + 1.

        Raises EngineError where the engine cannot give them.
        """
        ...

    def vocabulary(self) -> list[str]:
        """The V token pieces by id, for comparing two artifacts."""
        ...

    def eos_ids(self) -> set[int]:
        """Token ids that end an answer."""
        ...

    def describe(self) -> dict[str, Any]:
        """Engine, version, device, dtype, threads: what a prediction or mark records beside a number."""
        ...

    def close(self) -> None:
        """Free memory and end child processes. Safe to call twice."""
        ...

    def __enter__(self) -> Runtime: ...

    def __exit__(self, *exc: object) -> None: ...
