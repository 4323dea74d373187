"""Tells a hung engine from a busy one, and ends the hung one.

A probe asks the loop that computes tokens. A busy engine answers it late, after its step, and uses the processor
meanwhile; a hung one (stopped, deadlocked) does neither. One that computes for ever is told from a long step only by
time: SPIN_LIMIT.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from serve.engines.base import Engine
from truemark.errors import EngineError

log = logging.getLogger("truemark.serve")
PROBE_EVERY = 0.5
"""Seconds between an answer and the next probe."""
QUIET = 2.0
"""Seconds without an answer and without processor time after which an engine is looked at once more."""
SURE = 1.0
"""Seconds of that second look: this process may itself have been held up, its answer unread."""
BUSY = 0.05
"""Seconds of processor time in QUIET that an engine with work uses at least, also beside many others."""
SPIN_LIMIT = 60.0
"""Seconds for one step."""


class Pulse:
    """Watches one engine. A hung engine is killed: whoever looks at `alive` does the rest."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(PROBE_EVERY)
            if self._engine.alive() and (why := await self.hung()):
                log.error("the engine hangs (%s): killing it", why)
                self._engine.kill()

    async def hung(self) -> str:
        """Why one probe says that the engine hangs; empty when it answered, or has ended."""
        probe = asyncio.create_task(self._engine.probe())
        began = time.monotonic()
        try:
            while True:
                for seconds in (QUIET, SURE):
                    before = self._engine.cpu_seconds()
                    await asyncio.wait({probe}, timeout=seconds)
                    if probe.done():
                        with contextlib.suppress(EngineError):  # it ended, or is loading: no business of this watch
                            probe.result()
                        return ""
                    after = self._engine.cpu_seconds()
                    if before is None or after is None or after - before >= BUSY * seconds / QUIET:
                        break
                else:
                    return f"no answer and no processor time for {QUIET + SURE:.0f} s"
                if time.monotonic() - began > SPIN_LIMIT:
                    return f"one step took more than {SPIN_LIMIT:.0f} s"
        finally:
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
