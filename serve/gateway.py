"""The gateway: an OpenAI-compatible Starlette app in front of one supervised engine.

GET  /v1/models              the adapters by name, then the base
POST /v1/chat/completions    serve/chat.py
GET  /health                 200 when requests are answered, 503 otherwise; what the canary saw of each adapter

The engine's own routes are not reachable through it, no other origin may call it from a browser, and no prompt or
answer is ever logged.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import verify
from serve.catalog import Catalog, ServedModel
from serve.chat import CLIENT_GONE, ChatService
from serve.protocol import ApiError
from serve.supervisor import Supervisor

log = logging.getLogger("truemark.serve")
MAX_BODY = 1 << 20
"""Bytes of a request body."""
BODY_LIMIT = 30.0
"""Seconds for a client to send its body."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Host names by which a loopback server may be addressed: a web page that rebinds its own name is refused."""


def create_app(catalog: Catalog, supervisor: Supervisor) -> ASGIApp:
    """The app. It neither starts nor stops the engine: `serve.server` does."""
    routes = _Routes(catalog, supervisor, ChatService(catalog, supervisor))
    app = Starlette(
        routes=[
            Route("/health", routes.health, methods=["GET"]),
            Route("/v1/models", routes.models, methods=["GET"]),
            Route("/v1/models/{name}", routes.model, methods=["GET"]),
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
        ],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _bug},
    )
    return _Envelope(app)


@dataclass(frozen=True)
class _Routes:
    catalog: Catalog
    supervisor: Supervisor
    service: ChatService

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

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._row(model) for model in self.catalog.models.values()]})

    async def model(self, request: Request) -> Response:
        return JSONResponse(self._row(self.service.model(request.path_params["name"])))

    async def chat(self, request: Request) -> Response:
        return await self.service.answer(request, await _json_body(request))

    def _row(self, model: ServedModel) -> dict[str, Any]:
        return {
            "id": model.name,
            "object": "model",
            "created": model.created,
            "owned_by": "truemark",
            "truemark": {
                "artifact": model.ref.label,
                "domain": model.domain,
                "base": self.catalog.base.name if model.adapter else None,
                "verified": verify.variant(model),
            },
        }


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


class _Envelope:
    """Around every request: a request id, the check of the Host header, and one log line without any text of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        request_id = f"req-{secrets.token_hex(8)}"
        status = CLIENT_GONE

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if _foreign_host(scope):
                error = ApiError(403, f"this server answers on {', '.join(LOOPBACK)} only", code="foreign_host")
                await JSONResponse(error.body(), error.status)(scope, receive, stamped)
            else:
                await self._app(scope, receive, stamped)
        except Exception:
            log.exception("%s failed", request_id)
        finally:
            seconds = time.monotonic() - began
            log.info("%s %s %s %d %.3fs", request_id, scope["method"], ascii(scope["path"])[1:-1][:80], status, seconds)


def _foreign_host(scope: Scope) -> bool:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower() not in LOOPBACK
