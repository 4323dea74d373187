"""Running the gateway: the port is taken first, the engine is started behind it, and both end together.

asyncio.run(run(catalog, engine, listen(host, port), ready=print))     # until SIGTERM or Ctrl-C
with background(catalog, engine) as url:                               # in a thread, on a free port
    openai.OpenAI(base_url=url, ...)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from serve.access.door import is_loopback
from serve.catalog import Catalog
from serve.engines.base import Engine
from serve.gateway import create_app
from serve.supervisor import Supervisor
from truemark.errors import EngineError, PortInUse, TruemarkError

MakeApp = Callable[[Catalog, Supervisor], ASGIApp]
DRAIN = 10
"""Seconds that running answers get to end after SIGTERM."""


def listen(host: str, port: int, *, keys: bool = False) -> socket.socket:
    """A listening socket. Raises PortInUse, and TruemarkError beyond loopback without keys."""
    if not keys and not is_loopback(host):
        raise TruemarkError(
            f"--host {host}: without keys this server answers on this machine only",
            mend=f"truemark keys create NAME, then truemark serve --host {host} --keys FILE (it says which file)",
        )
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} of {host} is in use by another program", mend=f"truemark serve --port {port + 1} …"
            ) from None
        raise PortInUse(f"cannot listen on {host}:{port}: {error.strerror}", mend="--port 8017") from None
    return made


def url_of(made: socket.socket) -> str:
    """Base URL of a listening socket, with the `/v1` suffix."""
    host, port = made.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: it would end this process before the engine has ended."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(
    catalog: Catalog,
    engine: Engine,
    made: socket.socket,
    *,
    ready: Callable[[Supervisor], None],
    stop: asyncio.Event,
    make_app: MakeApp = create_app,
) -> None:
    """Serve until `stop`; then running answers end (at most DRAIN seconds), and the engine.

    Until the engine is loaded and its adapters are proved, every answer is a 503; then `ready` is called.
    Raises what the start of the engine raised.
    """
    supervisor = Supervisor(engine, catalog)
    config = uvicorn.Config(
        make_app(catalog, supervisor),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=DRAIN,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[made]))
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(supervisor.start())
    try:
        await asyncio.wait({starting, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            ready(supervisor)
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
        stopping.cancel()
        server.should_exit = True
        await asyncio.gather(serving, starting, stopping, return_exceptions=True)
        await supervisor.stop()
        made.close()


async def run_until_signal(
    catalog: Catalog,
    engine: Engine,
    made: socket.socket,
    *,
    ready: Callable[[Supervisor], None],
    make_app: MakeApp = create_app,
) -> signal.Signals:
    """`run` until SIGTERM or SIGINT; which of the two it was."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    received: list[signal.Signals] = []

    def note(number: signal.Signals) -> None:
        received.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, note, number)
    await run(catalog, engine, made, ready=ready, stop=stop, make_app=make_app)
    if not received:
        raise EngineError("the server ended by itself")
    return received[0]


@contextlib.contextmanager
def background(catalog: Catalog, engine: Engine, make_app: MakeApp = create_app) -> Iterator[tuple[str, Supervisor]]:
    """A ready gateway in a thread, on a free port: its base URL and supervisor. Raises what the start raised."""
    made = listen("127.0.0.1", 0)
    url = url_of(made)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    is_ready = threading.Event()
    up: list[Supervisor] = []
    failed: list[BaseException] = []

    def ready(supervisor: Supervisor) -> None:
        up.append(supervisor)
        is_ready.set()

    def work() -> None:
        try:
            loop.run_until_complete(run(catalog, engine, made, ready=ready, stop=stop, make_app=make_app))
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
            failed.append(error)
        finally:
            is_ready.set()
            loop.close()

    thread = threading.Thread(target=work, name="gateway")
    thread.start()
    try:
        is_ready.wait()
        if failed:
            raise failed[0]
        yield url, up[0]
    finally:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join()
