"""What is known of the request that is being answered, filled in by whoever learns it, read when it has ended.

    async for piece in measured("math", len(prompt_ids), pieces):    # around the engine's pieces: the one seam
    dispatched()                                                     # by a scheduler: waiting is over, the engine works
    judged("math", "verified")                                       # by who checks answers

Outside a request (the canary at start) all of these do nothing. A record travels in a context variable, which tasks started
on behalf of the request inherit.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve.engines.base import Piece
from serve.verification import Outcome

"""What a check said of an answer; becomes a label. The first two count as passed."""
MAX_TEXT = 1 << 16
"""Characters of one answer that are kept for the log, where the operator asked for text."""


class Observer(Protocol):
    """Is told of every ended generation and every verdict: metrics, tracing."""

    def generated(self, record: Record, generation: Generated) -> None: ...

    def judged(self, model: str, outcome: Outcome) -> None: ...


@dataclass
class Generated:
    """One generation of an engine on behalf of a request. Times are of `time.monotonic`."""

    model: str
    """A served name."""
    prompt_tokens: int
    asked: float
    dispatched: float | None = None
    """When a scheduler handed it to the engine; None where none does."""
    first: float | None = None
    """When its first piece came."""
    last: float | None = None
    tokens: int = 0
    finish_reason: str | None = None
    """None: it broke off, or the client left."""
    text: str = ""
    """Empty unless the operator asked for text in the log."""

    @property
    def queued(self) -> float:
        """Seconds before the engine had it."""
        return (self.dispatched or self.asked) - self.asked

    @property
    def speed(self) -> float | None:
        """Tokens per second after the first; None for fewer than two tokens."""
        if self.first is None or self.last is None or self.tokens < 2 or self.last <= self.first:
            return None
        return (self.tokens - 1) / (self.last - self.first)


@dataclass
class Record:
    """One HTTP request."""

    id: str
    observers: tuple[Observer, ...] = ()
    with_text: bool = False
    began: float = field(default_factory=time.monotonic)
    key: str | None = None
    """Name of the key, where keys are on."""
    model: str | None = None
    """Served name of the model that was asked; None until one was."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    generations: int = 0
    first: float | None = None
    """When the first piece of the first generation came."""
    finish_reason: str | None = None
    body: bytearray | None = None
    answers: list[str] = field(default_factory=list)
    span: Any = None
    """OpenTelemetry's, where it is installed."""


_record: ContextVar[Record | None] = ContextVar("truemark_record", default=None)
_generated: ContextVar[Generated | None] = ContextVar("truemark_generated", default=None)


def start(record: Record) -> None:
    """Make it the current one, for this task and those started by it."""
    _record.set(record)


def note_key(name: str) -> None:
    """Whose key it is."""
    if (record := _record.get()) is not None:
        record.key = name


def tokens() -> int:
    """Prompt and answer tokens of the current request so far."""
    record = _record.get()
    return record.prompt_tokens + record.completion_tokens if record else 0


def dispatched() -> None:
    """The generation under way has left the queue."""
    if (generation := _generated.get()) is not None:
        generation.dispatched = time.monotonic()


def judged(model: str, outcome: Outcome) -> None:
    """An answer of `model` (a served name) was checked."""
    if (record := _record.get()) is not None:
        for observer in record.observers:
            observer.judged(model, outcome)


async def measured(model: str, prompt_tokens: int, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """`pieces` unchanged, counted and timed for the current request. `model` is a served name."""
    record = _record.get()
    generation = Generated(model, prompt_tokens, time.monotonic())
    if record is not None:
        _generated.set(generation)
        record.model, record.generations = model, record.generations + 1
    try:
        async for piece in pieces:
            if record is not None:
                _took(record, generation, piece)
            yield piece
    finally:
        await pieces.aclose()
        if record is not None:
            _ended(record, generation)


def _took(record: Record, generation: Generated, piece: Piece) -> None:
    generation.last = time.monotonic()
    if generation.first is None:
        generation.first = generation.last
        record.prompt_tokens += generation.prompt_tokens
        record.first = record.first or generation.first
    record.completion_tokens += piece.tokens - generation.tokens
    generation.tokens = piece.tokens
    generation.finish_reason = record.finish_reason = piece.finish_reason
    if record.with_text and len(generation.text) < MAX_TEXT:
        generation.text += piece.text


def _ended(record: Record, generation: Generated) -> None:
    if record.with_text:
        record.answers.append(generation.text)
    for observer in record.observers:
        observer.generated(record, generation)
