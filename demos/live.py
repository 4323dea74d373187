"""Several models answering one question at once, each answer checked as soon as it is whole.

async for panels in ask(server, domain, question, panels, turn.ended):
    ...                       # the same Panel objects, a little fuller each time
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from demos.client import Server
from domains.base import Domain, Solution, Verdict
from truemark.errors import TruemarkError

FRAME = 0.06
"""Seconds between two updates of the page, however fast the tokens come."""
State = Literal["empty", "asking", "writing", "checking", "done", "stopped", "failed"]


class Turn:
    """One question being answered in one browser tab, until it is stopped or the next one takes its place."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.replaced = False

    def stop(self) -> None:
        """End it and show how far it came."""
        self.ended.set()

    def replace(self) -> None:
        """End it without another word: the page belongs to the next question."""
        self.replaced = True
        self.ended.set()


@dataclass
class Panel:
    """One model's side of the page."""

    role: Literal["adapter", "base"]
    title: str
    solver: str
    """Who checks, as a person would say it: `SymPy`."""
    model: str = ""
    """Its name at the server."""
    state: State = "empty"
    text: str = ""
    """As far as the model has come. Untrusted."""
    error: str = ""
    mend: str = ""
    """After `failed`: what happened, and what to do."""
    seconds: float = 0.0
    """Wall time from the question to the last piece."""
    expected: Solution | None = None
    """The solver's own answer; None where it cannot read the question."""
    verdict: Verdict | None = None

    @property
    def running(self) -> bool:
        """Whether more is to come."""
        return self.state in ("asking", "writing", "checking")

    def fail(self, error: TruemarkError) -> None:
        """Show an error in place of a verdict."""
        self.state, self.error, self.mend = "failed", error.message, error.mend or ""


async def ask(
    server: Server, domain: Domain, question: str, panels: Sequence[Panel], stop: asyncio.Event
) -> AsyncIterator[None]:
    """Fill `panels`, yielding whenever there is something new to show, until all are done or `stop` is set.

    Errors end up in the panel they belong to. Leaving the iterator ends the requests.
    """
    news = asyncio.Event()
    for panel in panels:
        panel.state = "asking"
    solving = asyncio.create_task(asyncio.to_thread(domain.solve, question))
    answering = [asyncio.create_task(_answer(server, domain, question, panel, solving, news)) for panel in panels]
    stopping = asyncio.create_task(_stop(stop, panels, answering, news))
    try:
        while any(panel.running for panel in panels):
            await news.wait()
            news.clear()
            yield
            await asyncio.sleep(FRAME)
        yield
    finally:
        for task in (*answering, stopping):
            task.cancel()
        await asyncio.gather(*answering, stopping, solving, return_exceptions=True)


async def _answer(
    server: Server,
    domain: Domain,
    question: str,
    panel: Panel,
    solving: asyncio.Task[Solution | None],
    news: asyncio.Event,
) -> None:
    began = time.monotonic()
    try:
        async for piece in server.stream(panel.model, domain.messages(question)):
            panel.state = "writing"
            panel.text += piece
            panel.seconds = time.monotonic() - began
            news.set()
        panel.state = "checking"
        news.set()
        panel.expected = await asyncio.shield(solving)
        panel.verdict = await judge(domain, question, panel.text, panel.expected)
        panel.state = "done"
    except TruemarkError as error:
        panel.fail(error)
    finally:
        news.set()


async def judge(domain: Domain, question: str, answer: str, expected: Solution | None) -> Verdict | None:
    """The domain's verdict of `answer` against the solver's own, or None where there is none to compare with."""
    if expected is None:
        return None
    messages = domain.messages(question)
    example = {"id": "demo", "messages": messages, "reference": expected.reference, "meta": {}}
    return await asyncio.to_thread(domain.check, answer, example)  # type: ignore[arg-type]


async def _stop(
    stop: asyncio.Event, panels: Sequence[Panel], answering: Sequence[asyncio.Task[None]], news: asyncio.Event
) -> None:
    await stop.wait()
    for panel, task in zip(panels, answering, strict=True):
        task.cancel()
        if panel.running:
            panel.state = "stopped"
    news.set()
