"""Keeps the engine running and is the door to it: `async for piece in supervisor.generate(generation)`.

It starts the engine, proves its adapters, notices its end (a look every LOOK_EVERY seconds) or that it hangs (a probe
every PROBE_EVERY), and starts it again with growing pauses. A request that has no token yet when the engine goes away is
asked again, once; one that has ends with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from typing import Literal

from serve.canary import Proof, prove
from serve.catalog import Catalog
from serve.engines.base import Engine, EngineLost, Generation, Piece
from serve.observe import record
from serve.places import Places
from serve.pulse import Pulse
from truemark.errors import EngineError, InvalidArtifact, TruemarkError

log = logging.getLogger("truemark.serve")
State = Literal["starting", "ok", "restarting", "down", "stopped"]
LOOK_EVERY = 0.1
"""Seconds between two looks at the engine's process."""
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before each further start; the last one repeats."""
STEADY = 60.0
"""Seconds of running after which an engine's end counts as the first again."""
RETRY_WITHIN = 60.0
"""Seconds for which a request without a token waits for the engine to come back."""


class Supervisor:
    """One engine, its state and its places."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self.engine = engine
        self.state: State = "starting"
        self.error = ""
        """After `down`, and while starts fail: why."""
        self.restarts = 0
        self.proofs: dict[str, Proof] = {}
        self.version: str | None = None
        """Of the engine, once it has started."""
        self.places = Places(engine.slots, mixes=engine.mixes)
        self._catalog = catalog
        self._tasks: list[asyncio.Task[None]] = []
        self._producing: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        """Set, and replaced, when the state changes."""
        self._loads = 0

    async def start(self) -> None:
        """Start and prove. Raises EngineError, InvalidArtifact; nothing is left running then."""
        try:
            await self._load()
        except BaseException:
            self._become("down")
            await self.engine.stop()
            raise
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(Pulse(self.engine).watch())]

    async def stop(self) -> None:
        """End the engine. Safe to call twice."""
        self._become("stopped")
        ending = [*self._tasks, *self._producing]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._tasks = []
        await self.engine.stop()

    def require_ready(self) -> None:
        """Raise EngineError, for a 503, unless requests can be answered now."""
        if self.state == "ok" and not self.engine.alive():
            raise EngineError("the engine ended unexpectedly and is being started again")
        if self.state != "ok":
            raise EngineError(f"the engine is {self.state}{f': {self.error}' if self.error else ''}")

    async def generate(self, request: Generation) -> AsyncGenerator[Piece, None]:
        """Answer when a place is free; closing the generator frees the place.

        A reader who is slow does not hold the place: pieces wait for it here, at most as many as the answer has tokens.
        Raises ApiError 503 when too many wait already; EngineError when the engine fails, or goes away after a token
        was given or a second time.
        """
        pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()
        task = asyncio.create_task(self._produce(request, pieces))
        self._producing.add(task)
        task.add_done_callback(self._producing.discard)
        try:
            while True:
                piece = await pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if piece.finish_reason is not None:
                    await asyncio.wait({task}, timeout=1)  # the connection is kept when its answer is read to the end
                    return
        finally:
            task.cancel()
            # `wait`, which does not pass a second cancellation on: that would stop the closing of the connection half-way
            await asyncio.wait({task})

    async def _produce(self, request: Generation, pieces: asyncio.Queue[Piece | Exception]) -> None:
        arrived, lost = None, False
        try:
            while True:
                before = time.monotonic()
                async with self.places.take(request.adapter, arrived) as slot:
                    record.dispatched()
                    loads = self._loads
                    last: Piece | None = None
                    try:
                        async with contextlib.aclosing(self.engine.generate(request, slot)) as answer:
                            async for last in answer:
                                pieces.put_nowait(last)
                        if last is not None and last.finish_reason is not None:
                            return
                        raise EngineLost("the engine broke off while answering")
                    except EngineLost:
                        if last is not None or lost:
                            raise
                        self.places.close()  # before this place is given to the next
                lost, arrived = True, arrived or before
                await self._back(loads)
        except Exception as error:  # noqa: BLE001 - carried to the task that reads
            pieces.put_nowait(error)
        except asyncio.CancelledError:
            pieces.put_nowait(EngineLost("the server is ending"))  # where it was not the reader who cancelled
            raise

    async def _back(self, loads: int) -> None:
        """Wait until the engine has been loaded again since `loads`, or turns out to be well. Raises EngineLost."""
        try:
            async with asyncio.timeout(RETRY_WITHIN):
                await asyncio.sleep(2 * LOOK_EVERY)
                while self._loads == loads and self.state == "restarting":
                    await self._changed.wait()
        except TimeoutError:
            raise EngineLost(f"the engine was not back within {RETRY_WITHIN:.0f} s") from None
        if self.state != "ok":
            raise EngineLost(f"the engine is {self.state}{f': {self.error}' if self.error else ''}")

    def _become(self, state: State) -> None:
        self.state = state
        if state == "ok":
            self.places.open()
        else:
            self.places.close()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _load(self) -> None:
        await self.engine.start()
        self.version = self.engine.info.version
        self.proofs = await prove(self.engine, self._catalog)
        self.error = ""
        self._loads += 1
        self._become("ok")

    async def _keep(self) -> None:
        """Start the engine again whenever it has ended."""
        failures, loaded = 0, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self.engine.alive():
                self.places.open()  # where only a connection was lost
                continue
            if time.monotonic() - loaded > STEADY:
                failures = 0
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            log.warning("the engine ended unexpectedly; starting it again%s", f" in {pause:.0f} s" if pause else "")
            self._become("restarting")
            self.restarts += 1
            began = time.monotonic()
            await asyncio.sleep(pause)
            try:
                await self._load()
            except InvalidArtifact as error:  # a file has changed: trying again would not help
                await self._give_up(error.message)
                return
            except TruemarkError as error:
                self.error = error.message
                log.error("the engine did not start: %s", error.message)
                continue
            loaded = time.monotonic()
            log.warning("the engine is back after %.1f s", loaded - began)

    async def _give_up(self, why: str) -> None:
        self.error = f"{why}; start `truemark serve` again"
        self._become("down")
        log.error("the engine stays down: %s", self.error)
        await self.engine.stop()
