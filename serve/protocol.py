"""The OpenAI API as spoken here: what all bodies share, the chat bodies, and the error body that every failure has.

A field that would change the answer and is not supported is refused by name rather than ignored. `/openapi.json` is made
from these models, so a bound belongs into a `Field` wherever JSON Schema can say it.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serve.engines.base import FinishReason
from serve.verification import Options

RETRY_AFTER = 2
"""Seconds that a client is asked to wait after a 503."""
MAX_CHOICES = 16
"""Of one prompt."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


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
        # it may quote a name or path of any characters, and be shown in a terminal
        message = "".join(
            char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in self.message
        )
        return {"error": {"message": message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """`Retry-After` where trying again helps."""
        return {"Retry-After": str(RETRY_AFTER)} if self.status == 503 else {}


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Body of every answer that is not a success."""

    error: ErrorDetail


class RequestBody(BaseModel):
    """Strict: no unknown fields, and no conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(RequestBody):
    include_usage: bool = False
    include_obfuscation: bool = False


StopWord = Annotated[str, Field(min_length=1, max_length=256)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]


class Sampling(RequestBody):
    """What chat and completions share."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentSchemas": {
                "stream_options": {
                    "anyOf": [
                        {"properties": {"stream_options": {"type": "null"}}},
                        {"properties": {"stream": {"const": True}}, "required": ["stream"]},
                    ]
                }
            }
        }
    )

    model: str
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    """Default 1, as at OpenAI; 0 is greedy."""
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    """Of the first choice; the next has seed + 1, and so on."""
    stop: StopWord | Annotated[list[StopWord], Field(max_length=4)] | None = None
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    """Taken and not used."""

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> Sampling:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def with_usage(self) -> bool:
        """Whether a stream is to end with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class TextPart(RequestBody):
    type: Literal["text"]
    text: str


class ChatMessage(RequestBody):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    refusal: None = None
    """As an answer of this server, sent back as history, has it."""

    def plain(self) -> dict[str, str]:
        """As a chat template takes it: text content, and OpenAI's `developer` under its older name."""
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class TextFormat(RequestBody):
    type: Literal["text"]


class JsonObjectFormat(RequestBody):
    type: Literal["json_object"]


class NamedSchema(RequestBody):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    schema_: dict[str, Any] = Field(alias="schema")
    """What of JSON Schema is taken: serve/schema.py."""
    description: str | None = None
    strict: bool | None = None
    """Taken and not used: an answer always follows the schema."""


class JsonSchemaFormat(RequestBody):
    type: Literal["json_schema"]
    json_schema: NamedSchema


class ChatRequest(Sampling):
    """Body of `POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The newer name of `max_tokens`; it wins."""
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """Only with `logprobs`."""
    response_format: Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")] | None = (
        None
    )
    metadata: dict[str, str] | None = None
    """Taken and not used, as the next two."""
    store: bool | None = None
    service_tier: str | None = None
    truemark: Options | None = None
    """A verified answer: serve/verify.py."""

    @model_validator(mode="after")
    def _top_of_nothing(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only allowed when logprobs is true")
        return self


Body = TypeVar("Body", bound=RequestBody)


def parse(body: bytes, model: type[Body]) -> Body:
    """The request in a body. Raises ApiError 400 that lists every wrong field, up to five."""
    try:
        request = model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
    else:
        _no_duplicates(body)
        return request
    if found[0]["type"] == "json_invalid":
        raise ApiError(400, f"the body is not JSON: {found[0]['msg']}", code="invalid_json")
    said = "; ".join(f"{_field(row['loc'])}: {row['msg'][:500]}" for row in found[:5])
    raise ApiError(400, said, param=_field(found[0]["loc"]), code="invalid_value")


def parse_chat(body: bytes) -> ChatRequest:
    """`parse` for a chat."""
    return parse(body, ChatRequest)


def _no_duplicates(body: bytes) -> None:
    """Refuse an object that names a key twice: a proxy in front may have judged the other of the two values."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ApiError(400, f"the body names {twice[:100]!r} twice in one object", code="invalid_json")
        return found

    try:
        json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:  # thousands of digits, or levels, of which pydantic takes more
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None


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


class TopLogprob(BaseModel):
    token: str
    bytes: list[int]
    logprob: float


class ChatTokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[ChatTokenLogprob]
    refusal: None = None


class AssistantMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: int = 0
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
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
    logprobs: ChatLogprobs | None = None
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


class ModelAbout(BaseModel):
    artifact: str
    domain: str | None
    base: str | None
    """None for the base itself."""
    verified: str | None
    """The name under which its answers come verified; None for a model without a domain."""


class ModelRow(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["truemark"] = "truemark"
    truemark: ModelAbout


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelRow]


def sse(data: Any) -> bytes:
    """One server-sent event with a JSON value, in ASCII: many a client splits lines at U+2028 and its like too."""
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def completion_id(prefix: str = "chatcmpl") -> str:
    """A fresh id of an answer."""
    return f"{prefix}-{secrets.token_hex(12)}"


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The client's own `X-Request-Id` where it is one plain word of up to 128 characters, so that two logs can be
    joined; a fresh one otherwise."""
    given = [value for name, value in headers if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return f"req-{secrets.token_hex(8)}"


def now() -> int:
    """Unix time."""
    return int(time.time())
