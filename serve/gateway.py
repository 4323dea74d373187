"""The gateway: an OpenAI-compatible Starlette app in front of one supervised engine.

GET  /v1/models              the adapters by name, then the base
POST /v1/chat/completions    serve/chat.py
POST /v1/completions         serve/completions.py
POST /v1/embeddings          serve/embeddings.py
GET  /openapi.json           serve/openapi.py
GET  /health                 200 when requests are answered, 503 otherwise; what the canary saw of each adapter
GET  /metrics                serve/observe/metrics.py

Around it: serve/observe/envelope.py, then serve/access/door.py. The engine's own routes are not reachable through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from serve import verify
from serve.access.door import Door, guard
from serve.answering import CLIENT_GONE
from serve.catalog import Catalog, ServedModel
from serve.chat import ChatService
from serve.completions import Completion, CompletionRequest, CompletionService
from serve.embeddings import EmbeddingList, EmbeddingRequest, EmbeddingService
from serve.observe.envelope import Envelope
from serve.observe.metrics import Metrics
from serve.openapi import Endpoint, document
from serve.protocol import ApiError, ChatChunk, ChatCompletion, ChatRequest, ModelAbout, ModelList, ModelRow
from serve.service import Service
from serve.supervisor import Supervisor

MAX_BODY = 1 << 20
"""Bytes of a request body."""
BODY_LIMIT = 30.0
"""Seconds for a client to send its body."""


def create_app(
    catalog: Catalog, supervisor: Supervisor, door: Door | None = None, *, log_text: bool = False
) -> ASGIApp:
    """The app. It neither starts nor stops the engine: `serve.server` does. Without a `door` only loopback may be served.

    `log_text` lets the log show what was asked and answered.
    """
    metrics = Metrics(supervisor)
    endpoints = _endpoints(_Routes(catalog, supervisor, metrics))
    app = Starlette(
        routes=[endpoint.route() for endpoint in endpoints],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _bug},
    )
    app.router.redirect_slashes = (
        False  # a wrong path is a 404 in OpenAI's form, not a URL out of the client's Host header
    )
    return Envelope(guard(app, door or Door()), metrics, with_text=log_text)


def _endpoints(routes: _Routes) -> list[Endpoint]:
    """The table of routes: one row adds one, to the server and to /openapi.json."""
    chat = ChatService(routes.catalog, routes.supervisor)
    completions = CompletionService(routes.catalog, routes.supervisor)
    embeddings = EmbeddingService(routes.catalog, routes.supervisor)
    table = [
        Endpoint("GET", "/health", routes.health, "Whether requests are answered", Health),
        Endpoint("GET", "/metrics", routes.page, "Prometheus metrics"),
        Endpoint("GET", "/v1/models", routes.models, "The adapters, then the base", ModelList),
        Endpoint("GET", "/v1/models/{name}", routes.model, "One model", ModelRow),
        Endpoint(
            "POST", "/v1/chat/completions", _posted(chat.answer), "A chat", ChatCompletion, ChatRequest, ChatChunk
        ),
        Endpoint(
            "POST",
            "/v1/completions",
            _posted(completions.answer),
            "Raw text",
            Completion,
            CompletionRequest,
            Completion,
        ),
        Endpoint("POST", "/v1/embeddings", _posted(embeddings.answer), "Vectors", EmbeddingList, EmbeddingRequest),
    ]

    async def openapi(request: Request) -> Response:
        return JSONResponse(described)

    table.append(Endpoint("GET", "/openapi.json", openapi, "This document"))
    described = document(table)
    return table


def _posted(answer: Callable[[Request, bytes], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def handler(request: Request) -> Response:
        return await answer(request, await _json_body(request))

    return handler


class Health(BaseModel):
    """Body of `/health`, 200 and 503."""

    model_config = ConfigDict(extra="allow")

    status: str


@dataclass(frozen=True)
class _Routes:
    catalog: Catalog
    supervisor: Supervisor
    metrics: Metrics

    async def health(self, request: Request) -> Response:
        supervisor = self.supervisor
        ok = supervisor.state == "ok" and supervisor.engine.alive()
        body = {
            "status": "ok" if ok else "restarting" if supervisor.state == "ok" else supervisor.state,
            "error": supervisor.error or None,
            "engine": {
                "name": supervisor.engine.name,
                "version": supervisor.version,
                "restarts": supervisor.restarts,
            },
            "models": {
                model.name: {
                    "artifact": model.ref.label,
                    # "applied" is proved by the canary, not taken from the engine's word
                    "canary": asdict(proof) | {"applied": True}
                    if (proof := supervisor.proofs.get(model.name))
                    else None,
                }
                for model in self.catalog.models.values()
            },
        }
        return JSONResponse(body, 200 if ok else 503, headers=None if ok else ApiError(503, "").headers())

    async def page(self, request: Request) -> Response:
        text, kind = self.metrics.page()
        return Response(text, media_type=kind)

    async def models(self, request: Request) -> Response:
        return JSONResponse(ModelList(data=[self._row(model) for model in self.catalog.models.values()]).model_dump())

    async def model(self, request: Request) -> Response:
        service = Service(self.catalog, self.supervisor)
        return JSONResponse(self._row(service.model(request.path_params["name"])).model_dump())

    def _row(self, model: ServedModel) -> ModelRow:
        about = ModelAbout(
            artifact=model.ref.label,
            domain=model.domain,
            base=self.catalog.base.name if model.adapter else None,
            verified=verify.variant(model),
        )
        return ModelRow(id=model.name, created=model.created, truemark=about)


async def _json_body(request: Request) -> bytes:
    """The body, within its limits. Raises ApiError 413, 415, 408."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # also keeps out a browser's cross-site form posts
        raise ApiError(415, f"expected Content-Type: application/json, found {kind[:100] or 'none'}")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_LIMIT):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BODY:
                    raise ApiError(413, f"the body is larger than {MAX_BODY} bytes", code="body_too_large")
                chunks.append(chunk)
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {BODY_LIMIT:.0f} s") from None
    except ClientDisconnect:
        raise ApiError(CLIENT_GONE, "the client closed the connection") from None
    return b"".join(chunks)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status, headers=error.headers())


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: f"no route {request.method} {request.url.path[:200]}", 405: f"{request.method} is not allowed here"}
    body = ApiError(error.status_code, said.get(error.status_code, error.detail)).body()
    return JSONResponse(body, error.status_code, headers=error.headers)


async def _bug(request: Request, error: Exception) -> Response:
    """A 500 is a bug of ours: Starlette raises `error` again after this answer, and the traceback is logged."""
    return JSONResponse(ApiError(500, "internal error; the server's log has more under this request id").body(), 500)
