"""Minutes of everything that a server dreads, and a count of what went wrong.

Sixteen clients with mixed models, slow readers, clients that vanish, malformed and oversized bodies, and `kill -9` of the
engine. Every text is compared with what the model said to the same question alone, before: a finished answer must be
that text, a broken-off one a beginning of it (`wrong`; `crossed` where it is another model's answer). Afterwards no place,
no slot of the engine and no file handle may be left, and memory must be where it was after the first fifth.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import serving_load as load
from benchmarks import serving_servers as servers

QUESTIONS = 6
TOKENS = 32
SAMPLE_EVERY = 2.0
MEMORY_SLACK_MB = 24.0
"""Growth of the gateway's memory that is noise of an allocator."""
KINDS = {"plain": 16, "slow": 3, "vanishing": 3}
"""Clients of each kind."""


@dataclass
class Record:
    """What happened."""

    counts: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    kills: int = 0
    recovered_seconds: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    engine_mb: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)

    def note(self, what: str, detail: str = "") -> None:
        """Count it, and keep a few of the details."""
        self.counts[what] += 1
        if detail and len(self.strange) < 20:
            self.strange.append(f"{what}: {detail[:300]}")


Expected = dict[tuple[str, str], str]


async def soak(server: servers.Server, models: list[str], *, seconds: float, kill_every: float) -> dict[str, Any]:
    """Run it. `failed` of what is returned is empty when all is well."""
    expected: Expected = {}
    for model in models:
        for i in range(QUESTIONS):
            answer = await load.ask(server.address, load.body(model, load.question(i), TOKENS))
            if not answer.done:
                raise SystemExit(f"no answer to compare with: {answer}")
            expected[model, answer.asked] = answer.text
    record = Record()
    handles = await _settled(server)
    end = time.monotonic() + seconds
    clients = [_client(server, expected, kind, i, end, record) for kind, n in KINDS.items() for i in range(n)]
    await asyncio.gather(
        *clients, _malformed(server, end, record), _kill(server, end, kill_every, record), _sample(server, end, record)
    )
    left = {"handles": await _settled(server, handles) - handles, "slots": _busy_slots(server.pid)}
    growth = _growth(record.memory_mb)
    allowed = {"wrong": 0, "crossed": 0, "hung": 0, "malformed not refused": 0}
    failed = [name for name in allowed if record.counts[name]]
    failed += [f"{name} left" for name, n in left.items() if n > 0]
    failed += ["memory grew"] if growth > MEMORY_SLACK_MB else []
    failed += ["no kill"] if not record.kills else []
    return {
        "seconds": seconds,
        "counts": dict(record.counts),
        "kills": record.kills,
        "recovered_seconds": {"all": record.recovered_seconds, "longest": max(record.recovered_seconds, default=None)},
        "left": left,
        "memory_growth_mb": growth,
        "gateway_mb": [min(record.memory_mb, default=0), max(record.memory_mb, default=0)],
        "engine_mb": [min(record.engine_mb, default=0), max(record.engine_mb, default=0)],
        "handles": [min(record.handles, default=0), max(record.handles, default=0)],
        "strange": record.strange,
        "failed": failed,
    }


async def _client(
    server: servers.Server, expected: Expected, kind: str, number: int, end: float, record: Record
) -> None:
    pick = random.Random(f"{kind} {number}")
    questions = list(expected)
    while time.monotonic() < end:
        model, asked = pick.choice(questions)
        more: dict[str, Any] = {}
        if kind == "slow":
            more["pause"] = pick.choice([0.05, 0.3])
        elif kind == "vanishing":
            more["leave_after"] = pick.randrange(10)
        answer = await load.ask(server.address, load.body(model, asked, TOKENS), **more)
        _judge(answer, expected, kind, record)
        if answer.status == 503:
            await asyncio.sleep(pick.uniform(0.1, 1.0))


def _judge(answer: load.Answer, expected: Expected, kind: str, record: Record) -> None:
    right = expected[answer.model, answer.asked]
    others = {text for (model, _), text in expected.items() if model != answer.model}
    if answer.error == "hung":
        record.note("hung", f"{kind} {answer.model} {answer.status}")
    elif answer.done and answer.text == right:
        record.note("right")
    elif answer.done or not right.startswith(answer.text):
        crossed = answer.text in others or any(text.startswith(answer.text[:40]) for text in others)
        record.note("crossed" if crossed else "wrong", f"{kind} {answer.model}: {answer.text!r} instead of {right!r}")
    elif kind == "vanishing":
        record.note("vanished")
    elif answer.status == 200:
        record.note("broken off")
    else:
        record.note(f"status {answer.status}")


async def _malformed(server: servers.Server, end: float, record: Record) -> None:
    pick = random.Random(3)
    while time.monotonic() < end:
        whole = pick.choice(
            [b"{", b"\xff\x00", b'{"model": 7}', b"[" * 5000, b'{"model": "a0", "messages": "x"}', b" " * (1 << 21)]
        )
        status = await _post(server, whole, cut=pick.random() < 0.2)
        record.note("malformed refused" if status in (0, 400, 413, 503) else "malformed not refused", str(status) if status not in (0, 400, 413, 503) else "")  # fmt: skip
        await asyncio.sleep(pick.uniform(0.05, 0.5))


async def _post(server: servers.Server, data: bytes, *, cut: bool) -> int:
    """The status; 0 where the line ended first, as it may for a body that is too long or that we cut."""
    writer = None
    try:
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*server.address)
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.address[1]}\r\nConnection: close\r\n"
            writer.write(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(data) + 9 * cut}\r\n\r\n".encode()
            )
            writer.write(data)
            await writer.drain()
            if cut:
                return 0
            return int((await reader.readline()).split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    finally:
        if writer is not None:
            writer.transport.abort()


async def _kill(server: servers.Server, end: float, every: float, record: Record) -> None:
    while time.monotonic() + every < end:
        await asyncio.sleep(every)
        pid = servers.engine_of(server.pid)
        if pid is None:
            continue
        os.kill(pid, signal.SIGKILL)
        record.kills += 1
        began = time.monotonic()
        while servers.engine_of(server.pid) in (None, pid) or not await asyncio.to_thread(servers.health, server):
            if time.monotonic() - began > 120:
                record.note("hung", "the engine did not come back")
                break
            await asyncio.sleep(0.1)
        record.recovered_seconds.append(round(time.monotonic() - began, 2))


async def _sample(server: servers.Server, end: float, record: Record) -> None:
    while time.monotonic() < end:
        record.memory_mb.append(servers.resident_mb(server.pid))
        record.handles.append(servers.handles(server.pid))
        engine = servers.engine_of(server.pid)
        if engine is not None:
            record.engine_mb.append(servers.resident_mb(engine))
        await asyncio.sleep(SAMPLE_EVERY)


def _growth(memory: list[float]) -> float:
    """Median of the last fifth over the median of the second one, in MB."""
    fifth = len(memory) // 5
    return statistics.median(memory[-fifth:]) - statistics.median(memory[fifth : 2 * fifth]) if fifth else 0.0


async def _settled(server: servers.Server, wanted: int = 0) -> int:
    """Open handles once idle connections have been closed (the gateway keeps those to its engine for some seconds)."""
    for _ in range(30):
        await asyncio.sleep(0.5)
        if wanted and servers.handles(server.pid) <= wanted:
            break
    return servers.handles(server.pid)


def _busy_slots(pid: int) -> int:
    """Requests that the engine still computes, by its own word."""
    import httpx

    for path in Path(tempfile.gettempdir()).glob(f"truemark-engine-{pid}-*/engine.sock"):
        with contextlib.suppress(httpx.HTTPError), httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            return sum(slot["is_processing"] for slot in client.get("http://engine/slots").json())
    return 0
