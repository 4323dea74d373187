"""Keeps the engine running: starts it, proves its adapters, notices its end, starts it again once.

A second end within SECOND_CHANCE seconds of a restart is no accident: the engine then stays down and says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Literal

from serve.canary import Proof, prove
from serve.catalog import Catalog
from serve.engines.base import Engine
from truemark.errors import EngineError, TruemarkError

log = logging.getLogger("truemark.serve")
State = Literal["starting", "ok", "restarting", "down", "stopped"]
LOOK_EVERY = 0.1
"""Seconds between two looks at the engine's process."""
SECOND_CHANCE = 60.0
"""Seconds."""


class Supervisor:
    """One engine and its state."""

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self.engine = engine
        self.state: State = "starting"
        self.error = ""
        """After `down`: why."""
        self.restarts = 0
        self.proofs: dict[str, Proof] = {}
        self.version: str | None = None
        """Of the engine, once it has started."""
        self._catalog = catalog
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start and prove. Raises EngineError, InvalidArtifact; nothing is left running then."""
        try:
            await self._load()
        except BaseException:
            self.state = "down"
            await self.engine.stop()
            raise
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the engine. Safe to call twice."""
        self.state = "stopped"
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self.engine.stop()

    def require_ready(self) -> None:
        """Raise EngineError, for a 503, unless requests can be answered now."""
        if self.state == "ok" and not self.engine.alive():
            raise EngineError("the engine ended unexpectedly and is being started again")
        if self.state != "ok":
            raise EngineError(f"the engine is {self.state}{f': {self.error}' if self.error else ''}")

    async def _load(self) -> None:
        await self.engine.start()
        self.version = self.engine.info.version
        self.proofs = await prove(self.engine, self._catalog)
        self.error = ""
        self.state = "ok"

    async def _keep(self) -> None:
        restarted = -SECOND_CHANCE
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self.engine.alive():
                continue
            if time.monotonic() - restarted < SECOND_CHANCE:
                await self._give_up("it ended twice within a minute")
                return
            log.warning("the engine ended unexpectedly; starting it again")
            self.state = "restarting"
            self.restarts += 1
            restarted = time.monotonic()
            try:
                await self._load()
            except TruemarkError as error:
                await self._give_up(error.message)
                return
            log.warning("the engine is back after %.1f s", time.monotonic() - restarted)

    async def _give_up(self, why: str) -> None:
        self.state, self.error = "down", f"{why}; start `truemark serve` again"
        log.error("the engine stays down: %s", self.error)
        await self.engine.stop()
