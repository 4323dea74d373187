"""Around every request, outermost: its id, its record, one log line, its metrics and its span."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.answering import CLIENT_GONE
from serve.observe import logs, record
from serve.observe.metrics import Metrics
from serve.observe.record import Record
from serve.observe.tracing import Tracing
from serve.protocol import request_id

log = logging.getLogger("truemark.serve")


class Envelope:
    """`app`, observed. An exception of the app ends here, in the log under the request's id."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, with_text: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._with_text = with_text
        self._tracing = Tracing.if_installed()
        self._observers = (metrics, self._tracing) if self._tracing else (metrics,)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # none is served; the door knows HTTP only
                await send({"type": "websocket.close", "code": 1000})
            return
        known = Record(request_id(scope["headers"]), self._observers, self._with_text)
        record.start(known)
        status = CLIENT_GONE

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", known.id.encode())]
            await send(message)

        self._metrics.began()
        with self._tracing.request(scope, known) if self._tracing else contextlib.nullcontext():
            try:
                await self._app(scope, _kept(receive, known) if self._with_text else receive, stamped)
            except Exception:
                log.exception("%s failed", known.id)
            finally:
                seconds = time.monotonic() - known.began
                route = getattr(scope.get("route"), "path", None) or "none"
                self._metrics.ended(route, status, known, seconds)
                if self._tracing:
                    self._tracing.answered(route, status, known)
                self._write(scope, known, status, seconds)

    def _write(self, scope: Scope, known: Record, status: int, seconds: float) -> None:
        path = ascii(scope["path"])[1:-1][:80]
        fields: dict[str, Any] = {
            "request_id": known.id,
            "method": scope["method"][:16],
            "path": path,
            "status": status,
            "seconds": round(seconds, 4),
            "client": (scope.get("client") or (None,))[0],
            "key": known.key,
            "model": known.model,
            "prompt_tokens": known.prompt_tokens,
            "completion_tokens": known.completion_tokens,
            "first_token_seconds": round(known.first - known.began, 4) if known.first else None,
            "finish_reason": known.finish_reason,
            "trace_id": self._tracing.trace_id(known) if self._tracing else None,
        }
        if self._with_text:
            fields |= {"body": bytes(known.body or b"").decode(errors="replace"), "answers": known.answers}
        log.info("%s %s %s %d %.3fs", known.id, fields["method"], path, status, seconds, extra={logs.FIELDS: fields})


def _kept(receive: Receive, known: Record) -> Receive:
    """`receive`, with the body also kept for the log, up to a bound."""
    known.body = body = bytearray()

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            body.extend(message.get("body", b"")[: record.MAX_TEXT - len(body)])
        return message

    return receiving
