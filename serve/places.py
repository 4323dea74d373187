"""Places at the engine for asyncio tasks: `async with places.take("math") as slot:` waits for its turn (serve/schedule.py)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator

from serve.protocol import ApiError
from serve.schedule import QUEUE, Schedule

WAIT_LIMIT = 120.0
"""Seconds in the queue after which a request is refused: a client is told to come again rather than left hanging."""


class Places:
    """The places of one engine. Belongs to one event loop."""

    def __init__(self, slots: int, *, mixes: bool, queue: int = QUEUE) -> None:
        self._schedule = Schedule(slots, mixes=mixes, queue=queue)
        self._tickets = itertools.count()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._open = True

    @property
    def running(self) -> int:
        """Requests in the engine."""
        return self._schedule.running

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._schedule.waiting

    def close(self) -> None:
        """Let nobody in until `open`: the engine is away. Who waits goes on waiting."""
        self._open = False

    def open(self) -> None:
        """Let requests in again."""
        if not self._open:
            self._open = True
            self._admit()

    @contextlib.asynccontextmanager
    async def take(self, adapter: str | None, arrived: float | None = None) -> AsyncIterator[int]:
        """A slot of the engine, for as long as the block lasts. `arrived` (monotonic): a retry keeps its old place.

        Raises ApiError 503, with Retry-After, at once when the queue is full and when WAIT_LIMIT has passed.
        Cancelling gives the place, or the place in the queue, to the next at once.
        """
        ticket = next(self._tickets)
        now = time.monotonic()
        arrived = now if arrived is None else arrived
        # a retry was taken in before: it is never refused for a queue that others have filled meanwhile
        if arrived == now and self._schedule.full:
            raise ApiError(503, f"{self.waiting} requests wait already: try again", code="queue_full")
        self._schedule.arrive(ticket, adapter, arrived)
        turn = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        try:
            self._admit()
            try:
                async with asyncio.timeout(arrived + WAIT_LIMIT - now):
                    slot = await turn
            except TimeoutError:
                raise ApiError(
                    503, f"no place at the engine within {WAIT_LIMIT:.0f} s: try again", code="queue_timeout"
                ) from None
            yield slot
        finally:
            self._waiting.pop(ticket, None)
            self._schedule.leave(ticket)
            self._admit()

    def _admit(self) -> None:
        if self._open:
            for ticket, slot in self._schedule.admit(time.monotonic()):
                turn = self._waiting.pop(ticket)
                if not turn.done():  # cancelled in this very step: its `finally` comes next and gives the place back
                    turn.set_result(slot)
