"""What one key may take: requests and tokens per minute (token buckets), and requests at once.

    with limiter.admit(key) as lease:      # raises TooMany: 429 with Retry-After
        ...
        lease.tokens = 321                 # known when the answer has ended

A bucket holds a minute's worth and fills evenly. Tokens are paid afterwards, when their number is known: a request is let
in while the bucket is not empty and may leave it in debt, by at most what the requests at once can cost; the next ones wait
until the debt is paid. State is one small object per key, dropped with the key.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from serve.access.keys import Key
from serve.protocol import ApiError

BUSY_WAIT = 1.0
"""Seconds that a client is asked to wait for one of its own requests to end."""


class TooMany(ApiError):
    """429 with the seconds after which the same request would be let in."""

    def __init__(self, message: str, seconds: float, *, type: str) -> None:
        super().__init__(429, message, code="rate_limit_exceeded", type=type)
        self.seconds = max(1, math.ceil(seconds))

    def headers(self) -> dict[str, str]:
        """`Retry-After`."""
        return {"Retry-After": str(self.seconds)}


class Bucket:
    """A token bucket: `per_minute` units at most, filled at that rate. Times in seconds of any steady clock."""

    __slots__ = ("_at", "_level", "_per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_minute = per_minute
        self._level = float(per_minute)
        self._at = now

    def resize(self, per_minute: int, now: float) -> None:
        """Another rate from now on; what was used stays used."""
        if per_minute != self._per_minute:
            self._level = self._filled(now) + per_minute - self._per_minute
            self._at, self._per_minute = now, per_minute

    def wait(self, least: float, now: float) -> float:
        """Seconds until `least` units are there; 0 when they are."""
        return max(0.0, (least - self._filled(now)) * 60 / self._per_minute)

    def take(self, units: float, now: float) -> None:
        """Take units, into debt where there are not enough."""
        self._level = self._filled(now) - units
        self._at = now

    def _filled(self, now: float) -> float:
        return min(float(self._per_minute), self._level + (now - self._at) * self._per_minute / 60)


@dataclass
class Lease:
    """A request that was let in."""

    tokens: int = 0
    """What it cost; to be set before the block ends."""


@dataclass
class _Use:
    requests: Bucket | None = None
    tokens: Bucket | None = None
    running: int = 0


@dataclass
class Limiter:
    """The use of every key. For one event loop; nothing here waits."""

    clock: Callable[[], float] = time.monotonic
    _use: dict[str, _Use] = field(default_factory=dict)

    @contextlib.contextmanager
    def admit(self, key: Key) -> Iterator[Lease]:
        """Let a request of `key` in for the length of the block. Raises TooMany."""
        use = self._of(key)
        now = self.clock()
        if key.concurrent is not None and use.running >= key.concurrent:
            raise TooMany(
                f"this key may have {key.concurrent} request(s) at once, and has them", BUSY_WAIT, type="requests"
            )
        if use.tokens is not None and (wait := use.tokens.wait(1, now)) > 0:
            raise TooMany(f"this key may use {key.tokens_per_minute} tokens per minute", wait, type="tokens")
        if use.requests is not None:
            if (wait := use.requests.wait(1, now)) > 0:
                raise TooMany(f"this key may make {key.requests_per_minute} requests per minute", wait, type="requests")
            use.requests.take(1, now)
        use.running += 1
        lease = Lease()
        try:
            yield lease
        finally:
            use.running -= 1
            if use.tokens is not None:
                use.tokens.take(lease.tokens, self.clock())

    def __len__(self) -> int:
        return len(self._use)

    def keep(self, ids: Collection[str]) -> None:
        """Forget the keys that are not among `ids`, except while they have requests."""
        for ident in [ident for ident, use in self._use.items() if ident not in ids and not use.running]:
            del self._use[ident]

    def _of(self, key: Key) -> _Use:
        use = self._use.setdefault(key.id, _Use())
        use.requests = self._sized(use.requests, key.requests_per_minute)
        use.tokens = self._sized(use.tokens, key.tokens_per_minute)
        return use

    def _sized(self, bucket: Bucket | None, per_minute: int | None) -> Bucket | None:
        if per_minute is None:
            return None
        if bucket is None:
            return Bucket(per_minute, self.clock())
        bucket.resize(per_minute, self.clock())
        return bucket
