"""`POST /v1/completions`, the older endpoint: raw text or token ids, no chat template, no system prompt of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator
from starlette.requests import Request
from starlette.responses import Response

from serve import answering
from serve.answering import LOWEST, Answering
from serve.catalog import ServedModel
from serve.engines.base import FinishReason, Generation, Piece, TokenLogprob
from serve.protocol import ApiError, Sampling, Usage, completion_id, now, parse, sse
from serve.service import Service

MAX_TOKENS = 16
"""OpenAI's default for this endpoint."""
MAX_CHOICES = 32
"""In one request: prompts times `n`."""
MAX_INPUTS = 256
Text = Annotated[str, Field(min_length=1)]
Ids = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]


def _kind(value: Any) -> str | None:
    """Which of the four a prompt is, for an error that speaks of that one."""
    if not isinstance(value, list):
        return "text"
    first = value[0] if value else ""
    return "texts" if isinstance(first, str) else "lists of ids" if isinstance(first, list) else "ids"


Input = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Ids, Tag("ids")]
    | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS), Tag("texts")]
    | Annotated[list[Ids], Field(min_length=1, max_length=MAX_INPUTS), Tag("lists of ids")],
    Discriminator(_kind),
]
"""One text, or one list of token ids, or several of either."""


def each_input(value: str | list[int] | list[str] | list[list[int]]) -> Sequence[str | list[int]]:
    """Each text or list of ids."""
    if isinstance(value, str) or isinstance(value[0], int):
        return [value]
    return cast("Sequence[str | list[int]]", value)


class CompletionRequest(Sampling):
    """Body of `POST /v1/completions`."""

    prompt: Input
    max_tokens: int | None = Field(default=None, ge=1)
    """Default 16, as at OpenAI."""
    logprobs: int | None = Field(default=None, ge=0, le=5)
    """How many alternatives per token."""
    echo: Annotated[bool, Field(json_schema_extra={"const": False})] | None = None
    """The prompt is not sent back: with its log-probabilities, for which this is mostly wanted, no engine here tells it."""
    best_of: int | None = Field(default=None, ge=1)
    """Only what `n` says: no choices are made and thrown away."""

    @model_validator(mode="after")
    def _as_many_as_shown(self) -> CompletionRequest:
        if self.echo:
            raise ValueError("echo is not supported")
        if self.best_of not in (None, self.n or 1):
            raise ValueError("best_of other than n is not supported")
        if len(each_input(self.prompt)) * (self.n or 1) > MAX_CHOICES:
            raise ValueError(f"prompts times n: expected at most {MAX_CHOICES} choices")
        return self


class CompletionLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]
    """Characters of the choice's text before the token."""


class CompletionChoice(BaseModel):
    index: int = 0
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None
    """None but in the last chunk of a stream."""


class Completion(BaseModel):
    """Body of an answer, and of each event of a streamed one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class CompletionService(Service):
    """See `serve.service.Service`."""

    async def answer(self, request: Request, body: bytes) -> Response:
        """The response to one request. Raises ApiError."""
        asked = parse(body, CompletionRequest)
        model = self.model(asked.model)
        form = CompletionForm(
            completion_id("cmpl"), now(), model.name, asked.with_usage, asked.logprobs, [0] * MAX_CHOICES
        )
        return await answering.respond(request, self._begin(asked, model), form, stream=asked.stream)

    async def _begin(self, asked: CompletionRequest, model: ServedModel) -> Answering:
        self.supervisor.require_ready()
        generations: list[Generation] = []
        prompt_tokens = 0
        for prompt in each_input(asked.prompt):
            ids = await self._ids(prompt)
            prompt_tokens += len(ids)
            room = min(asked.max_tokens or MAX_TOKENS, self.room(ids, "prompt"))
            generations += self.generations(asked, model, ids, room, top_logprobs=asked.logprobs)
        return await answering.begin(self.generate, generations, prompt_tokens)

    async def _ids(self, prompt: str | list[int]) -> Sequence[int]:
        if not isinstance(prompt, str):
            return prompt
        engine = self.supervisor.engine
        ids = [*engine.info.prefix, *await engine.tokenize(prompt)]
        if not ids:
            raise ApiError(400, "the prompt has no tokens", param="prompt", code="invalid_value")
        return ids


@dataclass(frozen=True)
class CompletionForm:
    """See `serve.answering.Form`."""

    id: str
    created: int
    model: str
    with_usage: bool
    logprobs: int | None
    told: list[int]
    """Characters streamed so far, by choice."""

    def whole(self, choices: Sequence[answering.Choice], usage: Usage) -> Completion:
        """See the protocol."""
        return self._body(
            *(
                CompletionChoice(
                    index=index,
                    text=choice.text,
                    logprobs=self._logprobs(choice.logprobs, 0),
                    finish_reason=choice.finish_reason,
                )
                for index, choice in enumerate(choices)
            ),
            usage=usage,
        )

    def opening(self, index: int) -> bytes:
        """See the protocol."""
        return b""

    def event(self, index: int, piece: Piece) -> bytes:
        """See the protocol."""
        if not piece.text and piece.finish_reason is None:
            return b""
        logprobs = self._logprobs(piece.logprobs, self.told[index])
        self.told[index] += len(piece.text)
        choice = CompletionChoice(index=index, text=piece.text, logprobs=logprobs, finish_reason=piece.finish_reason)
        return self._event(self._body(choice))

    def closing(self, usage: Usage) -> bytes:
        """See the protocol."""
        return self._event(self._body(usage=usage)) if self.with_usage else b""

    def _body(self, *choices: CompletionChoice, usage: Usage | None = None) -> Completion:
        return Completion(id=self.id, created=self.created, model=self.model, choices=list(choices), usage=usage)

    def _event(self, body: Completion) -> bytes:
        return sse(body.model_dump(mode="json", exclude=None if self.with_usage else {"usage"}))

    def _logprobs(self, tokens: Sequence[TokenLogprob], offset: int) -> CompletionLogprobs | None:
        if self.logprobs is None:
            return None
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token.text)
        return CompletionLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[max(token.logprob, LOWEST) for token in tokens],
            top_logprobs=[
                {each.text: max(each.logprob, LOWEST) for each in token.top[: self.logprobs]} for token in tokens
            ],
            text_offset=offsets,
        )
