"""What the demos' tests share: a small OpenAI-compatible server that says what it is told, and the browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest

from truemark import system

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Speaker:
    """A server whose models say fixed texts: what a demo must cope with, on cue. Never used where the real one runs."""

    says: dict[str, str] = field(default_factory=dict)
    """Model -> its answer to anything."""
    status: int = 200
    """Another status refuses every question."""
    breaks_after: int | None = None
    """Pieces after which the stream ends without a word."""
    pause: float = 0.01
    """Seconds between two pieces."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Models whose stream the client left before its end."""
    url: str = ""


@contextlib.contextmanager
def speaking(**how: Any) -> Iterator[Speaker]:
    """A Speaker on a free port of the loopback."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    speaker = Speaker(**how)

    async def models(request: Request) -> Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "test"} for name in speaker.says]
        return JSONResponse({"object": "list", "data": data})

    async def complete(request: Request) -> Response:
        body = await request.json()
        speaker.asked.append(body)
        if speaker.status != 200:
            return JSONResponse({"error": {"message": "no", "type": "test"}}, status_code=speaker.status)
        if body["model"] not in speaker.says:
            return JSONResponse({"error": {"message": "no such model", "type": "test"}}, status_code=404)
        return StreamingResponse(stream(body["model"]), media_type="text/event-stream")

    async def stream(model: str) -> AsyncIterator[str]:
        def event(delta: dict[str, str], finish: str | None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}
            return f"data: {json.dumps(chunk)}\n\n"

        text = speaker.says[model]
        try:
            for number, start in enumerate(range(0, len(text), 7)):
                if speaker.breaks_after is not None and number >= speaker.breaks_after:
                    return
                yield event({"content": text[start : start + 7]}, None)
                await asyncio.sleep(speaker.pause)
        except (asyncio.CancelledError, GeneratorExit):
            speaker.left.append(model)
            raise
        yield event({}, "stop")
        yield "data: [DONE]\n\n"

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", complete, methods=["POST"]),
        ]
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    speaker.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield speaker
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)


@contextlib.contextmanager
def demo(url: str, *domains: str) -> Iterator[str]:
    """The demo's address, served in this process and talking to the server at `url`."""
    from demos import app
    from demos.client import Server

    blocks = app.build(domains or ("math",), Server(url))
    try:
        yield app.launch(blocks, free_port(), browser=False)
    finally:
        blocks.close(verbose=False)


def chromium() -> str:
    """Path of a Chromium. The test fails, not skips, without one: the demos are proved in a browser or not at all."""
    found = system.chromium()
    if found is None:
        pytest.fail(
            f"no browser: looked for {', '.join(system.CHROMIUM_NAMES)} on the PATH\n  → apt-get install chromium"
        )
    return found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def tab(browser: Browser, address: str, *, width: int = 1440, height: int = 900, dark: bool = False) -> Iterator[Page]:
    """`address` open in a fresh profile. What it asks of any other machine is refused, and fails the test at the end."""
    outside: list[str] = []

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost", None):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    try:
        context.route("**/*", guard)
        page = context.new_page()
        page.set_default_timeout(60_000)  # side by side with other tests on few cores
        page.goto(address)
        page.wait_for_selector("#question textarea")
        yield page
    finally:
        context.close()
    assert outside == [], f"the page reached outside this machine: {outside}"


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as `true()`; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def answers(address: str) -> bool:
    """Whether something says 200 at `address`."""
    try:
        return httpx.get(address, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
