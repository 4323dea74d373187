"""`POST /v1/chat/completions`: a request becomes prompt tokens, the engine's pieces become chat chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve import answering, schema, verify
from serve.answering import LOWEST, Answering
from serve.catalog import ServedModel
from serve.engines.base import Alternative, FinishReason, Generation, Piece, TokenLogprob
from serve.protocol import (
    ApiError,
    AssistantMessage,
    ChatChunk,
    ChatCompletion,
    ChatLogprobs,
    ChatRequest,
    ChatTokenLogprob,
    Choice,
    ChunkChoice,
    Delta,
    JsonObjectFormat,
    JsonSchemaFormat,
    TopLogprob,
    Usage,
    completion_id,
    now,
    parse_chat,
)
from serve.service import Service
from truemark.chat import render
from truemark.errors import InvalidArtifact


class ChatService(Service):
    """See `serve.service.Service`."""

    async def answer(self, request: Request, body: bytes) -> Response:
        """The response to one request. Raises ApiError."""
        chat = parse_chat(body)
        verified = verify.wanted(chat)
        model = self.model(verify.split(chat.model)[0] if verified else chat.model)
        if verified:
            return await self._verified(request, chat, model)
        form = ChatForm(completion_id(), now(), model.name, chat.with_usage, _top(chat))
        return await answering.respond(request, self._begin(chat, model), form, stream=chat.stream)

    async def _verified(self, request: Request, chat: ChatRequest, model: ServedModel) -> Response:
        answer = verify.prepare(partial(self.attempt, model=model), chat, model)
        with answering.engine_errors():
            if chat.stream:
                await answering.unless_gone(request, answer.start())
                return verify.VerifiedStream(answer)
            return JSONResponse((await answering.unless_gone(request, answer.completion())).model_dump(mode="json"))

    async def attempt(self, chat: ChatRequest, model: ServedModel) -> tuple[int, AsyncGenerator[Piece, None]]:
        """An answer that is not begun yet: its prompt's tokens, and the engine's pieces."""
        self.supervisor.require_ready()
        generation = (await self.generation(chat, model))[0]
        return len(generation.prompt_ids), self.generate(generation)

    async def _begin(self, chat: ChatRequest, model: ServedModel) -> Answering:
        self.supervisor.require_ready()
        generations = await self.generation(chat, model)
        return await answering.begin(self.generate, generations, len(generations[0].prompt_ids))

    async def generation(self, chat: ChatRequest, model: ServedModel) -> list[Generation]:
        """What the engine is asked, for each choice: the prompt rendered by the model's own template, as token ids."""
        json_schema = _schema(chat)
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
        room = self.room(ids, "messages")
        wanted = chat.max_completion_tokens or chat.max_tokens or room
        return self.generations(chat, model, ids, min(wanted, room), top_logprobs=_top(chat), json_schema=json_schema)


def _top(chat: ChatRequest) -> int | None:
    """How many alternatives to tell per token; None: no log-probabilities."""
    return (chat.top_logprobs or 0) if chat.logprobs else None


def _schema(chat: ChatRequest) -> Mapping[str, Any] | None:
    wanted = chat.response_format
    if isinstance(wanted, JsonObjectFormat):
        return {"type": "object"}
    if isinstance(wanted, JsonSchemaFormat):
        return schema.guard(wanted.json_schema.schema_, "response_format.json_schema.schema")
    return None


@dataclass(frozen=True)
class ChatForm:
    """See `serve.answering.Form`."""

    id: str
    created: int
    model: str
    with_usage: bool
    logprobs: int | None

    def whole(self, choices: Sequence[answering.Choice], usage: Usage) -> ChatCompletion:
        """See the protocol."""
        told = [
            Choice(
                index=index,
                message=AssistantMessage(content=choice.text),
                logprobs=self._logprobs(choice.logprobs),
                finish_reason=cast("FinishReason", choice.finish_reason),
            )
            for index, choice in enumerate(choices)
        ]
        return ChatCompletion(id=self.id, created=self.created, model=self.model, choices=told, usage=usage)

    def opening(self, index: int) -> bytes:
        """See the protocol."""
        return self._chunk(ChunkChoice(index=index, delta=Delta(role="assistant", content="")))

    def event(self, index: int, piece: Piece) -> bytes:
        """See the protocol."""
        events = b""
        if piece.text:
            logprobs = self._logprobs(piece.logprobs)
            events += self._chunk(ChunkChoice(index=index, delta=Delta(content=piece.text), logprobs=logprobs))
        if piece.finish_reason:
            events += self._chunk(ChunkChoice(index=index, delta=Delta(), finish_reason=piece.finish_reason))
        return events

    def closing(self, usage: Usage) -> bytes:
        """See the protocol."""
        return self._chunk(usage=usage) if self.with_usage else b""

    def _chunk(self, *choices: ChunkChoice, usage: Usage | None = None) -> bytes:
        chunk = ChatChunk(id=self.id, created=self.created, model=self.model, choices=list(choices), usage=usage)
        return chunk.event(with_usage=self.with_usage)

    def _logprobs(self, tokens: Iterable[TokenLogprob]) -> ChatLogprobs | None:
        if self.logprobs is None:
            return None
        return ChatLogprobs(
            content=[
                ChatTokenLogprob(
                    **_row(token), top_logprobs=[TopLogprob(**_row(each)) for each in token.top[: self.logprobs]]
                )
                for token in tokens
            ]
        )


def _row(token: Alternative) -> dict[str, Any]:
    return {"token": token.text, "bytes": list(token.bytes), "logprob": max(token.logprob, LOWEST)}
