"""The engine protocol: the engine does tokens; names, templates, safety and proof are the gateway's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from truemark.errors import EngineError

FinishReason = Literal["stop", "length"]
Ability = Literal["logprobs", "penalties", "json_schema"]
"""What an engine may have beyond sampling; a request for one that it lacks is refused, never quietly ignored."""


class Refused(EngineError):
    """The engine will not take this request, and would not a second time: the client's fault (400), not its own (503)."""


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
    abilities: frozenset[Ability] = frozenset()
    prefix: tuple[int, ...] = ()
    """Ids that the tokenizer puts before raw text (a BOS), which `tokenize` leaves out. A chat template writes its own."""


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
    presence_penalty: float = 0.0
    """Taken once from the logit of every token that was there already. llama.cpp counts the prompt's tokens too."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit once per time it was there."""
    top_logprobs: int | None = None
    """How many alternatives to tell per token, with the token's own log-probability; None: nothing of it."""
    json_schema: Mapping[str, Any] | None = None
    """The answer is a JSON value of this schema: one that `serve.schema.guard` made."""


@dataclass(frozen=True)
class Alternative:
    """A token that could have been."""

    text: str
    bytes: tuple[int, ...]
    """Of the token; `text` lacks what is not UTF-8 by itself."""
    logprob: float
    """Natural, before temperature, top-p, penalties and grammar."""


@dataclass(frozen=True)
class TokenLogprob(Alternative):
    """A token of the answer, and the likeliest in its place."""

    top: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A part of an answer."""

    text: str
    tokens: int
    """Generated so far, the end-of-turn token included."""
    finish_reason: FinishReason | None = None
    """Set on the last piece."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens that came with this piece, where asked for. Tokens of a stop (an EOS, a stop word) may be among them, in
    pieces without text."""


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


@runtime_checkable
class Embedder(Protocol):
    """An engine that also embeds. Without these methods `/v1/embeddings` is refused."""

    async def embed(self, prompt_ids: Sequence[int], adapter: str | None) -> list[float]:
        """The vector of one text, L2-normalised as at OpenAI. Raises Refused for an adapter that it cannot apply here."""
        ...
