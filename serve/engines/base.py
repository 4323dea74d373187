"""The engine protocol: the engine does tokens; names, templates, safety and proof are the gateway's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from truemark.errors import EngineError

FinishReason = Literal["stop", "length"]


class EngineLost(EngineError):
    """The engine went away under a request: it crashed, was killed or is being started again. It may be asked again."""


@dataclass(frozen=True)
class BaseInfo:
    """What a started engine knows of the base model."""

    chat_template: str
    bos_token: str
    eos_token: str
    context: int
    """Tokens that one request may hold, prompt and answer together."""
    version: str
    """Of the engine."""


@dataclass(frozen=True)
class Generation:
    """One request to an engine."""

    prompt_ids: Sequence[int]
    adapter: str | None
    """Served name of the adapter; None for the bare base."""
    max_tokens: int
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int | None = None
    """None: another one each time."""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A part of an answer."""

    text: str
    tokens: int
    """Generated so far, the end-of-turn token included."""
    finish_reason: FinishReason | None = None
    """Set on the last piece."""


class Engine(Protocol):
    """A base model with adapters, behind one process or none. Every method may raise EngineError."""

    name: str
    """The row in ENGINES."""
    info: BaseInfo
    """Set by `start`."""
    slots: int
    """Requests computed at once; `serve.schedule` lets in no more."""
    mixes: bool
    """Whether it computes requests of different adapters in one batch; if not, it is given one adapter at a time."""

    async def start(self) -> None:
        """Load everything; returns when requests can be answered. Also used to start again after a crash."""
        ...

    async def stop(self) -> None:
        """End the process and remove what it left. Safe to call twice, and at any moment of `start`."""
        ...

    def alive(self) -> bool:
        """Whether the engine's process is there."""
        ...

    def kill(self) -> None:
        """End a hung process without asking it: `alive` is false then, and all that it was asked raises EngineLost."""
        ...

    async def probe(self) -> None:
        """Return when the loop that computes tokens has answered: between two steps, however busy it is."""
        ...

    def cpu_seconds(self) -> float | None:
        """Processor time that the engine has used so far; None where that cannot be known."""
        ...

    async def tokenize(self, text: str) -> list[int]:
        """Token ids of rendered text: special tokens parsed, none added."""
        ...

    async def logprobs(self, prompt_ids: Sequence[int], adapter: str | None) -> dict[int, float]:
        """Natural-log probabilities of the likeliest next tokens (about 20), by token id."""
        ...

    def generate(self, request: Generation, slot: int | None = None) -> AsyncGenerator[Piece, None]:
        """Answer, in a slot (counted from 0; None: any); closing the generator cancels the request and frees its slot.

        Raises EngineLost when the engine goes away.
        """
        ...
