"""Which request runs next: requests are grouped by adapter, and adapters take turns. Pure logic: no clock, no tasks, no engine.

llama-server computes one adapter per step, that of its lowest generating slot, and every request of another adapter
waits inside it, without a bound, for as long as that adapter's requests overlap; nothing can pause a slot. So at most
one adapter's requests are let into the engine at a time, up to its slots, and the rest waits here, where it has an order.

**The bound.** While another adapter waits, a turn takes in new requests for `turn` seconds and then only ends what
runs. Adapters come in the order in which they began to wait (since their last turn). So with k adapters in use and
answers of at most L seconds, the turn of an adapter with a waiting request comes within L + (k - 1)(turn + L), and
within a turn requests are taken in the order of their arrival.

An engine that batches different adapters together (`mixes`) gets them in the order of arrival, in one group.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable
from dataclasses import dataclass, field

TURN = 4.0
"""Seconds for which a turn takes in new requests while other adapters wait. Longer turns lose less at their ends, where
few requests are left in a batch; serve/README.md has what was simulated."""
QUEUE = 128
"""Requests that may wait; one more is refused."""


@dataclass
class _Group:
    waiting: list[tuple[float, int]] = field(default_factory=list)
    """(arrival, ticket), in that order."""
    left: float = float("-inf")
    """When its last turn ended."""

    def since(self) -> float:
        """When it began to wait for its turn."""
        return max(self.waiting[0][0], self.left)


class Schedule:
    """Places of an engine and who waits for one. A ticket is any number that its owner does not use twice."""

    def __init__(self, slots: int, *, mixes: bool = False, queue: int = QUEUE, turn: float = TURN) -> None:
        self.slots = slots
        self._mixes = mixes
        self._queue = queue
        self._turn = turn
        self._groups: dict[Hashable, _Group] = {}
        self._of: dict[int, Hashable] = {}
        self._slot: dict[int, int] = {}
        """Slot of each running ticket."""
        self._free = list(range(slots))
        """Sorted: the lowest is given first, because llama-server splits a batch at each gap between slot numbers."""
        self._current: Hashable = None
        self._began = 0.0

    @property
    def running(self) -> int:
        """Requests in the engine."""
        return len(self._slot)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._of) - len(self._slot)

    @property
    def full(self) -> bool:
        """Whether one more should be refused."""
        return self.waiting >= self._queue

    def arrive(self, ticket: int, adapter: str | None, now: float) -> None:
        """Queue a request that arrived at `now`. That may lie back: it then takes the place that it had."""
        key = "" if self._mixes else adapter
        self._of[ticket] = key
        insort(self._groups.setdefault(key, _Group()).waiting, (now, ticket))

    def leave(self, ticket: int) -> None:
        """Forget a request, running or waiting; one that is unknown is fine."""
        if ticket not in self._of:
            return
        key = self._of.pop(ticket)
        slot = self._slot.pop(ticket, None)
        if slot is not None:
            insort(self._free, slot)
        else:
            group = self._groups[key]
            group.waiting = [row for row in group.waiting if row[1] != ticket]

    def admit(self, now: float) -> list[tuple[int, int]]:
        """(ticket, slot) of each request that may start now. To be asked after every `arrive` and `leave`."""
        admitted: list[tuple[int, int]] = []
        if not self._slot:
            self._next_turn(now)
        group = self._groups.get(self._current)
        while group is not None and group.waiting and self._free and not self._closing(now):
            _, ticket = group.waiting.pop(0)
            self._slot[ticket] = self._free.pop(0)
            admitted.append((ticket, self._slot[ticket]))
        return admitted

    def _next_turn(self, now: float) -> None:
        """The turn of the adapter that has waited longest; the current one's ends now."""
        if self._current in self._groups:
            self._groups[self._current].left = now
        self._groups = {  # what neither waits nor is remembered for its order: adapters come and go
            key: group for key, group in self._groups.items() if group.waiting or now - group.left < 3600
        }
        ready = {key: group for key, group in self._groups.items() if group.waiting}
        if ready:
            self._current = min(ready, key=lambda key: ready[key].since())
            self._began = now

    def _closing(self, now: float) -> bool:
        others = any(group.waiting for key, group in self._groups.items() if key != self._current)
        return others and now - self._began >= self._turn and bool(self._slot)
