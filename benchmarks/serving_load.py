"""Streaming clients of an OpenAI-compatible server, light enough not to be what is measured: bare asyncio streams.

A token is one event with text: all servers compared here send one per token.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

LIMIT = 180.0
"""Seconds for one request: a client who waits longer was left hanging."""
MOST = 64
"""Requests under way at once in an open loop; an arrival beyond that is counted as turned away."""


@dataclass
class Answer:
    """What a client saw."""

    model: str
    asked: str
    began: float
    status: int = 0
    text: str = ""
    stamps: list[float] = field(default_factory=list)
    """When each token came (monotonic seconds)."""
    ended: float = 0.0
    done: bool = False
    """Whether the stream ended as it should."""
    error: str = ""


async def ask(
    address: tuple[str, int], body: dict[str, Any], *, pause: float = 0.0, leave_after: int | None = None
) -> Answer:
    """One streamed chat completion. `pause`: seconds between two reads; `leave_after`: tokens, then the line is cut."""
    answer = Answer(str(body["model"]), body["messages"][-1]["content"], time.monotonic())
    data = json.dumps({**body, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(LIMIT):
            reader, writer = await asyncio.open_connection(*address, limit=1 << 22)
            writer.write(head.encode() + data)
            answer.status = int((await reader.readline()).split()[1])
            async for line in reader:
                _take(answer, line)
                if leave_after is not None and len(answer.stamps) >= leave_after:
                    break
                if pause:
                    await asyncio.sleep(pause)
    except TimeoutError:
        answer.error = "hung"
    except (OSError, IndexError, ValueError) as error:
        answer.error = answer.error or f"{type(error).__name__}: {error}"
    finally:
        answer.ended = time.monotonic()
        if writer is not None:
            writer.transport.abort() if leave_after is not None else writer.close()
    return answer


def _take(answer: Answer, line: bytes) -> None:
    if not line.startswith(b"data: "):
        return
    if line.startswith(b"data: [DONE]"):
        answer.done = True
        return
    event = json.loads(line[6:])
    if "error" in event:
        answer.error = str(event["error"].get("message"))
    elif event.get("choices") and (piece := event["choices"][0]["delta"].get("content")):
        answer.text += piece
        answer.stamps.append(time.monotonic())


Bodies = Iterator[dict[str, Any]]


async def closed(address: tuple[str, int], bodies: Bodies, *, width: int, seconds: float) -> dict[str, Any]:
    """`width` clients, each asking again as soon as it is answered."""
    answers: list[Answer] = []
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            answers.append(await ask(address, next(bodies)))

    began = time.monotonic()
    clients = [asyncio.create_task(client()) for _ in range(width)]
    await asyncio.gather(*clients)
    return figures(answers, began, end) | {"concurrent": width}


async def opened(
    address: tuple[str, int], bodies: Bodies, *, gaps: Callable[[], float], burst: int, seconds: float
) -> dict[str, Any]:
    """`burst` requests at once after each gap, whether or not others are answered."""
    answers: list[Answer] = []
    began = time.monotonic()
    end, running, turned_away = began + seconds, set(), 0

    async def one() -> None:
        answers.append(await ask(address, next(bodies)))

    while (now := time.monotonic()) < end:
        for _ in range(burst):
            if len(running) >= MOST:
                turned_away += 1
                continue
            task = asyncio.create_task(one())
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(min(gaps(), max(0.0, end - now)))
    while running:
        await asyncio.wait(running)
    return figures(answers, began, end) | {"turned_away": turned_away}


def figures(answers: list[Answer], began: float, end: float) -> dict[str, Any]:
    """Tokens per second between `began` and `end` without the first tenth, and what clients waited."""
    start = began + (end - began) / 10
    tokens = sum(start <= stamp < end for answer in answers for stamp in answer.stamps)
    good = [answer for answer in answers if answer.done and answer.stamps]
    return {
        "tokens_per_second": tokens / (end - start),
        "answers": len(good),
        "failed": len(answers) - len(good),
        "errors": sorted({answer.error or f"HTTP {answer.status}" for answer in answers if not answer.done})[:5],
        "ttft_seconds": _percentiles([answer.stamps[0] - answer.began for answer in good]),
        "answer_seconds": _percentiles([answer.ended - answer.began for answer in good]),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 100) if ordered}


def requests(models: list[str], *, skewed: bool, tokens: int, seed: int = 7) -> Bodies:
    """Endless bodies: models in turn, or with weights 1, 1/2, 1/3, … (Zipf); questions that are all different."""
    pick = random.Random(seed)
    weights = [1 / rank for rank in range(1, len(models) + 1)]
    for i in itertools.count():
        model = pick.choices(models, weights)[0] if skewed else models[i % len(models)]
        yield body(model, question(i), tokens)


def question(i: int) -> str:
    """The i-th question: of about forty tokens, and answered at length."""
    things = ("the sea", "a clock", "two trains", "an old map", "bread", "the moon", "a bridge", "snow")
    return f"Write a long story about {things[i % 8]} in {i + 3} parts, then solve {i + 2}x + {3 * i + 1} = {7 * i + 40} step by step."


def body(model: str, asked: str, tokens: int) -> dict[str, Any]:
    """A greedy request that says its system prompt, so that every template renders the same tokens."""
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": asked}]
    return {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0}
