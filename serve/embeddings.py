"""`POST /v1/embeddings`, where the engine embeds."""

from __future__ import annotations

import base64
import struct
from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.answering import engine_errors, unless_gone
from serve.completions import Input, each_input
from serve.engines.base import Embedder
from serve.protocol import ApiError, RequestBody, parse
from serve.service import Service


class EmbeddingRequest(RequestBody):
    """Body of `POST /v1/embeddings`."""

    model: str
    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    """base64 is that of little-endian 32-bit floats; the official clients ask for it."""
    user: str | None = None


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """Body of the answer."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class EmbeddingService(Service):
    """See `serve.service.Service`."""

    async def answer(self, request: Request, body: bytes) -> Response:
        """The response to one request. Raises ApiError."""
        asked = parse(body, EmbeddingRequest)
        self.model(asked.model)
        with engine_errors():
            return JSONResponse((await unless_gone(request, self._embed(asked))).model_dump(mode="json"))

    async def _embed(self, asked: EmbeddingRequest) -> EmbeddingList:
        self.supervisor.require_ready()
        engine = self.supervisor.engine
        if not isinstance(engine, Embedder):
            raise ApiError(
                400, f"the engine '{engine.name}' does not embed: it was started to generate", code="unsupported"
            )
        adapter = self.model(asked.model).adapter
        rows, tokens = [], 0
        for index, text in enumerate(each_input(asked.input)):
            ids = text if not isinstance(text, str) else [*engine.info.prefix, *await engine.tokenize(text)]
            self.room(ids, "input")
            tokens += len(ids)
            vector = await engine.embed(ids, adapter)
            rows.append(
                Embedding(index=index, embedding=vector if asked.encoding_format != "base64" else _packed(vector))
            )
        usage = EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
        return EmbeddingList(data=rows, model=asked.model, usage=usage)


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
