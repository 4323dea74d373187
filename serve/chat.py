"""`POST /v1/chat/completions`: a request becomes prompt tokens, the engine's pieces become chat chunks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from serve import verify
from serve.catalog import Catalog, ServedModel
from serve.engines.base import Generation, Piece
from serve.protocol import (
    ApiError,
    AssistantMessage,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    Usage,
    completion_id,
    now,
    parse_chat,
    sse,
)
from serve.supervisor import Supervisor
from truemark.chat import render
from truemark.errors import EngineError, InvalidArtifact

CLIENT_GONE = 499
"""Status of a request whose client left; only the log sees it."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answering:
    """An answer that has begun."""

    model: str
    prompt_tokens: int
    first: Piece
    rest: AsyncGenerator[Piece, None]
    """Closing it cancels the request at the engine."""

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """All pieces; the last has a finish reason. Raises EngineError when the engine breaks off."""
        last = self.first
        try:
            yield self.first
            async for last in self.rest:
                yield last
        finally:
            await self.rest.aclose()
        if last.finish_reason is None:
            raise EngineError("the engine broke off while answering")


@dataclass(frozen=True)
class ChatService:
    """Answers chat requests with the models of a catalog."""

    catalog: Catalog
    supervisor: Supervisor

    async def answer(self, request: Request, body: bytes) -> Response:
        """The response to one request. Raises ApiError."""
        chat = parse_chat(body)
        verified = verify.wanted(chat)
        model = self.model(verify.split(chat.model)[0] if verified else chat.model)
        try:
            if verified:
                return await self._verified(request, chat, model)
            answering = await _unless_gone(request, self._begin(chat, model))
            if chat.stream:
                usage = bool(chat.stream_options and chat.stream_options.include_usage)
                return _EventStream(answering, usage)
            return JSONResponse((await _unless_gone(request, _collect(answering))).model_dump(mode="json"))
        except EngineError as error:
            raise ApiError(503, error.message, code="engine_unavailable") from None

    def model(self, name: str) -> ServedModel:
        """The served model of that name. Raises ApiError 404 with the list."""
        if name not in self.catalog.models:
            known = ", ".join(self.catalog.models)
            raise ApiError(404, f"no model '{name[:100]}': served are {known}", param="model", code="model_not_found")
        return self.catalog.models[name]

    async def _verified(self, request: Request, chat: ChatRequest, model: ServedModel) -> Response:
        answer = verify.prepare(partial(self.attempt, model=model), chat, model)
        if chat.stream:
            await _unless_gone(request, answer.start())
            return verify.VerifiedStream(answer)
        return JSONResponse((await _unless_gone(request, answer.completion())).model_dump(mode="json"))

    async def attempt(self, chat: ChatRequest, model: ServedModel) -> tuple[int, AsyncGenerator[Piece, None]]:
        """An answer that is not begun yet: its prompt's tokens, and the engine's pieces."""
        self.supervisor.require_ready()
        generation = await self.generation(chat, model)
        return len(generation.prompt_ids), self.supervisor.engine.generate(generation)

    async def _begin(self, chat: ChatRequest, model: ServedModel) -> Answering:
        prompt_tokens, rest = await self.attempt(chat, model)
        try:
            first = await anext(rest)
        except StopAsyncIteration:
            raise EngineError("the engine gave no answer") from None
        return Answering(model.name, prompt_tokens, first, rest)

    async def generation(self, chat: ChatRequest, model: ServedModel) -> Generation:
        """What the engine is asked: the prompt rendered by the model's own template, as token ids."""
        engine = self.supervisor.engine
        info = engine.info
        try:
            text = render(
                model.template or info.chat_template,
                [message.plain() for message in chat.messages],
                bos_token=info.bos_token,
                eos_token=info.eos_token,
            )
        except InvalidArtifact as error:
            raise ApiError(400, error.message, param="messages", code="invalid_messages") from None
        ids = await engine.tokenize(text)
        room = info.context - len(ids)
        if room < 1:
            raise ApiError(
                400,
                f"the messages are {len(ids)} tokens long; prompt and answer together may have {info.context}",
                param="messages",
                code="context_length_exceeded",
            )
        wanted = chat.max_completion_tokens or chat.max_tokens or room
        return Generation(
            prompt_ids=ids,
            adapter=model.adapter,
            max_tokens=min(wanted, room),
            temperature=1.0 if chat.temperature is None else chat.temperature,
            top_p=1.0 if chat.top_p is None else chat.top_p,
            seed=chat.seed,
            stop=chat.stops(),
        )


async def _collect(answering: Answering) -> ChatCompletion:
    text, finish, tokens = "", None, 0
    async for piece in answering.pieces():
        text += piece.text
        finish, tokens = piece.finish_reason, piece.tokens
    return ChatCompletion(
        id=completion_id(),
        created=now(),
        model=answering.model,
        choices=[Choice(message=AssistantMessage(content=text), finish_reason=cast("FinishReason", finish))],
        usage=Usage.of(answering.prompt_tokens, tokens),
    )


async def _events(answering: Answering, with_usage: bool) -> AsyncGenerator[bytes, None]:
    """The server-sent events of a streamed answer; a failure on the way is an event too, without `[DONE]`."""
    identity: dict[str, Any] = {"id": completion_id(), "created": now(), "model": answering.model}

    def chunk(delta: Delta, finish: FinishReason | None = None) -> bytes:
        choice = ChunkChoice(delta=delta, finish_reason=finish)
        return ChatChunk(**identity, choices=[choice]).event(with_usage=with_usage)

    tokens = 0
    async with contextlib.aclosing(answering.pieces()) as pieces:
        yield chunk(Delta(role="assistant", content=""))
        try:
            async for piece in pieces:
                tokens = piece.tokens
                if piece.text:
                    yield chunk(Delta(content=piece.text))
                if piece.finish_reason:
                    yield chunk(Delta(), piece.finish_reason)
        except EngineError as error:
            yield sse(ApiError(503, error.message, code="engine_unavailable").body())
            return
    if with_usage:
        yield ChatChunk(**identity, choices=[], usage=Usage.of(answering.prompt_tokens, tokens)).event(with_usage=True)
    yield b"data: [DONE]\n\n"


class _EventStream(StreamingResponse):
    """Ends the engine's request whatever happens: a client who leaves frees its slot at once, not when collected."""

    def __init__(self, answering: Answering, with_usage: bool) -> None:
        self._answering = answering
        self._stream = _events(answering, with_usage)
        super().__init__(self._stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stream.aclose()
            await self._answering.rest.aclose()


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
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
