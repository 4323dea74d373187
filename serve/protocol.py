"""The OpenAI API as spoken here: request and response bodies, and the error body that every failure has.

A field that would change the answer and is not supported is refused by name rather than ignored.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from serve.verification import Options

FinishReason = Literal["stop", "length"]
RETRY_AFTER = 2
"""Seconds that a client is asked to wait after a 503."""


class ApiError(Exception):
    """A failure with its HTTP status and OpenAI error body."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, type: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = type or ("invalid_request_error" if status < 500 else "server_error")

    def body(self) -> dict[str, Any]:
        """`{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """`Retry-After` where trying again helps."""
        return {"Retry-After": str(RETRY_AFTER)} if self.status == 503 else {}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(_Request):
    type: Literal["text"]
    text: str


class ChatMessage(_Request):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    def plain(self) -> dict[str, str]:
        """As a chat template takes it: text content, and OpenAI's `developer` under its older name."""
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class StreamOptions(_Request):
    include_usage: bool = False
    include_obfuscation: bool = False


class ResponseFormat(_Request):
    type: Literal["text"]


class ChatRequest(_Request):
    """Body of `POST /v1/chat/completions`."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The newer name of `max_tokens`; it wins."""
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    """Default 1, as at OpenAI; 0 is greedy."""
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    """Up to 4 strings."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    """Only 1 for now."""
    logprobs: Literal[False] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    """Taken and not used, as the next three."""
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    truemark: Options | None = None
    """A verified answer: serve/verify.py."""

    @field_validator("frequency_penalty", "presence_penalty", mode="before")
    @classmethod
    def _zero(cls, value: Any) -> Any:
        return 0 if isinstance(value, float) and value == 0 else value

    @field_validator("n")
    @classmethod
    def _one(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            raise ValueError("this server gives one choice per request: expected n = 1")
        return value

    @field_validator("stop")
    @classmethod
    def _few(cls, value: str | list[str] | None) -> str | list[str] | None:
        words = [value] if isinstance(value, str) else value or []
        if len(words) > 4 or any(not 0 < len(word) <= 256 for word in words):
            raise ValueError("expected up to 4 strings of 1 to 256 characters")
        return value

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> ChatRequest:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        return self

    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


def parse_chat(body: bytes) -> ChatRequest:
    """The request in a body. Raises ApiError 400 that lists every wrong field, up to five."""
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        raise ApiError(400, f"the body is not JSON: {found[0]['msg']}", code="invalid_json")
    said = "; ".join(f"{_field(row['loc'])}: {row['msg']}" for row in found[:5])
    raise ApiError(400, said, param=_field(found[0]["loc"]), code="invalid_value")


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)[:200] or "body"


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, prompt: int, completion: int) -> Usage:
        """Usage of one answer."""
        return cls(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class AssistantMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: int = 0
    message: AssistantMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(BaseModel):
    """Body of an answer that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: FinishReason | None = None


class ChatChunk(BaseModel):
    """One `data:` line of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None

    def event(self, *, with_usage: bool) -> bytes:
        """The server-sent event. `usage` is there (null but in the last) only when it was asked for."""
        data = self.model_dump(mode="json", exclude=None if with_usage else {"usage"})
        for choice in data["choices"]:
            choice["delta"] = {key: value for key, value in choice["delta"].items() if value is not None}
        return sse(data)


def sse(data: Any) -> bytes:
    """One server-sent event with a JSON value."""
    import json

    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def completion_id() -> str:
    """A fresh id of an answer."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def now() -> int:
    """Unix time."""
    return int(time.time())
