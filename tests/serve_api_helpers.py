"""A real llama-server on a tiny model behind the app: over HTTP for clients, and in process for hostile bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
from starlette.types import ASGIApp, Message

from serve import catalog, engines, server
from serve.engines.llamacpp import LlamaCppEngine
from serve.gateway import create_app
from serve.supervisor import Supervisor
from tests.serve_helpers import tiny_models

HELLO: Any = [{"role": "user", "content": "Solve for x: 3x + 7 = 22"}]
Headers = Sequence[tuple[bytes, bytes]]
JSON: Headers = ((b"content-type", b"application/json"), (b"host", b"127.0.0.1"))


def busy_slots(engine: object) -> int:
    """Slots of the llama-server that work."""
    assert isinstance(engine, LlamaCppEngine) and engine._home is not None
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine._home / "engine.sock"))) as client:
        return sum(slot["is_processing"] for slot in client.get("http://engine/slots").json())


def tiny_catalog(factory: pytest.TempPathFactory) -> catalog.Catalog:
    """`one`, `two` and their base."""
    home = tiny_models(factory)
    return catalog.read([f"{name}={home / name}" for name in ("one", "two")])


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    url: str
    supervisor: Supervisor
    client: openai.OpenAI


@contextlib.contextmanager
def running(models: catalog.Catalog, engine: str = "llamacpp") -> Iterator[Gateway]:
    """A gateway over HTTP."""
    with server.background(models, engines.create(engine, models.base.ref, models.adapters)) as (url, supervisor):
        yield Gateway(url, supervisor, openai.OpenAI(base_url=url, api_key="none", max_retries=0))


@dataclass(frozen=True)
class Reply:
    """What the app sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """Of an OpenAI error body, which it asserts."""
        body = json.loads(self.body)
        assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}, body
        assert isinstance(body["error"]["message"], str) and body["error"]["message"], body
        found: dict[str, Any] = body["error"]
        return found


@dataclass(frozen=True)
class InProcess:
    """The app itself, with its engine, in the running loop."""

    app: ASGIApp
    supervisor: Supervisor

    async def send(
        self, body: bytes = b"", path: str = "/v1/chat/completions", method: str = "POST", headers: Headers = JSON
    ) -> Reply:
        """One request, any bytes."""
        parts = [body[: len(body) // 2], body[len(body) // 2 :]]
        sent: list[Message] = []

        async def receive() -> Message:
            if parts:
                part = parts.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(parts)}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"), "query_string": b"", "root_path": "", "headers": list(headers),
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        async with asyncio.timeout(60):
            await self.app(scope, receive, send)
        start = sent[0]
        return Reply(
            start["status"],
            {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    async def post(self, body: Any, path: str = "/v1/chat/completions") -> Reply:
        """One request with a JSON body."""
        return await self.send(json.dumps(body).encode(), path)


@contextlib.asynccontextmanager
async def in_process(models: catalog.Catalog) -> AsyncIterator[InProcess]:
    """The app with a started engine."""
    engine = engines.create("llamacpp", models.base.ref, models.adapters)
    supervisor = Supervisor(engine, models)
    await supervisor.start()
    try:
        yield InProcess(create_app(models, supervisor), supervisor)
    finally:
        await supervisor.stop()
