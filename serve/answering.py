"""From requests to the engine and back: some generations, run side by side, told as one body or as one stream of events.

Chat and completions differ in the words of their bodies alone, which a `Form` knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from serve.engines.base import FinishReason, Generation, Piece, Refused, TokenLogprob
from serve.protocol import ApiError, Usage, sse
from truemark.errors import EngineError

CLIENT_GONE = 499
"""Status of a request whose client left; only the log sees it."""
SIDE_BY_SIDE = 4
"""Generations of one request that run at once: a request for many choices does not take every slot of the engine."""
LOWEST = -9999.0
"""What OpenAI writes for a log-probability of practically nothing."""
Told = tuple[int, Piece]
"""A piece, and which choice it belongs to."""
T = TypeVar("T")


@dataclass
class Choice:
    """One choice, as far as it has been told."""

    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        self.text += piece.text
        self.tokens, self.finish_reason = piece.tokens, piece.finish_reason
        self.logprobs += piece.logprobs


class Form(Protocol):
    """The words of one endpoint's bodies."""

    def whole(self, choices: Sequence[Choice], usage: Usage) -> BaseModel:
        """The body of an answer that is not streamed."""
        ...

    def opening(self, index: int) -> bytes:
        """The event with which a choice begins; may be empty."""
        ...

    def event(self, index: int, piece: Piece) -> bytes:
        """The events of one piece."""
        ...

    def closing(self, usage: Usage) -> bytes:
        """The event with the usage; empty where it was not asked for."""
        ...


@dataclass(frozen=True)
class Answering:
    """An answer that has begun."""

    prompt_tokens: int
    choices: int
    first: Told
    rest: AsyncGenerator[Told, None]
    """Closing it cancels everything at the engine."""

    async def pieces(self) -> AsyncGenerator[Told, None]:
        """All pieces, choices interleaved. Raises EngineError when the engine breaks off."""
        try:
            yield self.first
            async for each in self.rest:
                yield each
        finally:
            await self.rest.aclose()

    def usage(self, tokens: Iterable[int]) -> Usage:
        """Of the whole answer, from the tokens of each choice."""
        return Usage.of(self.prompt_tokens, sum(tokens))


Generate = Callable[[Generation], AsyncGenerator[Piece, None]]


async def begin(generate: Generate, generations: Sequence[Generation], prompt_tokens: int) -> Answering:
    """Ask the engine, and wait for its first piece: until then a failure is still an HTTP status. Raises EngineError."""
    rest = _side_by_side(generate, generations)
    try:
        first = await anext(rest)
    except StopAsyncIteration:
        raise EngineError("the engine gave no answer") from None
    return Answering(prompt_tokens, len(generations), first, rest)


async def respond(
    request: Request, beginning: Coroutine[Any, Any, Answering], form: Form, *, stream: bool | None
) -> Response:
    """The response to one request. Raises ApiError."""
    with engine_errors():
        answering = await unless_gone(request, beginning)
        if stream:
            return _EventStream(answering, form)
        return JSONResponse((await unless_gone(request, _collect(answering, form))).model_dump(mode="json"))


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """EngineErrors as ApiErrors."""
    try:
        yield
    except EngineError as error:
        raise _as_api_error(error) from None


def _as_api_error(error: EngineError) -> ApiError:
    if isinstance(error, Refused):
        return ApiError(400, error.message, code="engine_refused")
    return ApiError(503, error.message, code="engine_unavailable")


async def _one(generate: Generate, generation: Generation) -> AsyncGenerator[Piece, None]:
    """The pieces of one generation; each log-probability comes with the text of its token, and those of a stop not at all."""
    finished = False
    cover = _Cover()
    async with contextlib.aclosing(generate(generation)) as pieces:
        async for piece in pieces:
            finished = piece.finish_reason is not None
            yield piece if generation.top_logprobs is None else replace(piece, logprobs=cover.take(piece))
    if not finished:
        raise EngineError("the engine broke off while answering")


@dataclass
class _Cover:
    """Gives each log-probability out with the text of its token.

    An engine holds text back while it may be the beginning of a stop, and a token that is no UTF-8 by itself may come
    without a row of its own. So a row waits until text begins that it covers (those of a stop wait for ever), and the
    last row of a text takes what no other covers.
    """

    waiting: list[TokenLogprob] = field(default_factory=list)
    uncovered: bytes = b""

    def take(self, piece: Piece) -> tuple[TokenLogprob, ...]:
        """The rows that are due after one more piece."""
        self.waiting += piece.logprobs
        self.uncovered += piece.text.encode()
        due = []
        while self.waiting and self.uncovered:
            row = self.waiting.pop(0)
            if not self.waiting and len(row.bytes) < len(self.uncovered):
                row = replace(row, bytes=tuple(self.uncovered), text=self.uncovered.decode(errors="replace"))
            self.uncovered = self.uncovered[len(row.bytes) :]
            due.append(row)
        return tuple(due)


async def _side_by_side(generate: Generate, generations: Sequence[Generation]) -> AsyncGenerator[Told, None]:
    """The pieces of all generations, SIDE_BY_SIDE at a time; the first failure ends all."""
    if len(generations) == 1:
        async with contextlib.aclosing(_one(generate, generations[0])) as pieces:
            async for piece in pieces:
                yield 0, piece
        return
    queue: asyncio.Queue[Told | Exception | None] = asyncio.Queue(SIDE_BY_SIDE)  # a slow reader slows the engine
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def work(index: int) -> None:
        try:
            async with gate, contextlib.aclosing(_one(generate, generations[index])) as pieces:
                async for piece in pieces:
                    await queue.put((index, piece))
            await queue.put(None)
        except Exception as error:  # noqa: BLE001 - raised where the pieces are read: a reader must not wait for ever
            await queue.put(error)

    tasks = [asyncio.create_task(work(index)) for index in range(len(generations))]
    try:
        running = len(tasks)
        while running:
            got = await queue.get()
            if isinstance(got, Exception):
                raise got
            if got is None:
                running -= 1
            else:
                yield got
    finally:
        for task in tasks:
            task.cancel()
        # not `gather`: Starlette cancels what a client left over and over, and `gather` would pass each on, into the clean-up
        await asyncio.wait(tasks)


async def _collect(answering: Answering, form: Form) -> BaseModel:
    choices = [Choice() for _ in range(answering.choices)]
    async with contextlib.aclosing(answering.pieces()) as pieces:
        async for index, piece in pieces:
            choices[index].add(piece)
    return form.whole(choices, answering.usage(choice.tokens for choice in choices))


async def _events(answering: Answering, form: Form) -> AsyncGenerator[bytes, None]:
    """The server-sent events of a streamed answer; a failure on the way is an event too, without `[DONE]`."""
    tokens = [0] * answering.choices
    async with contextlib.aclosing(answering.pieces()) as pieces:
        yield b"".join(form.opening(index) for index in range(answering.choices))
        try:
            async for index, piece in pieces:
                tokens[index] = piece.tokens
                if event := form.event(index, piece):
                    yield event
        except (EngineError, ApiError) as error:
            yield sse((_as_api_error(error) if isinstance(error, EngineError) else error).body())
            return
    yield form.closing(answering.usage(tokens)) + b"data: [DONE]\n\n"


class _EventStream(StreamingResponse):
    """Ends the engine's requests whatever happens: a client who leaves frees its slots at once, not when collected."""

    def __init__(self, answering: Answering, form: Form) -> None:
        self._answering = answering
        self._stream = _events(answering, form)
        super().__init__(self._stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stream.aclose()
            await self._answering.rest.aclose()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ApiError(CLIENT_GONE, "the client closed the connection")
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
