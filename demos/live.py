"""Several models answering one question, one after another, each answer checked as soon as it is whole.

turn = Turn(server, domain, panels)
async for _ in turn.run("Solve for x: 3x + 7 = 22"):
    ...                       # the same Panel objects, a little fuller each time
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from demos.client import Server
from domains.base import Domain, Solution, Verdict, judge
from truemark.errors import TruemarkError

FRAME = 0.06
"""Seconds between two updates of the page, however fast the tokens come."""
State = Literal["empty", "asking", "writing", "checking", "done", "stopped", "failed"]


@dataclass
class Panel:
    """One model's side of the page."""

    role: Literal["adapter", "base"]
    title: str
    solver: str
    """Who checks, as a person would say it: `SymPy`."""
    unread: frozenset[str] = frozenset()
    """The domain's reasons for which the solver compared nothing."""
    model: str = ""
    """Its name at the server."""
    artifact: str = ""
    """`name@sha12` of what answers, where the server tells."""
    state: State = "empty"
    text: str = ""
    """As far as the model has come. Untrusted."""
    cut: bool = False
    """The answer reached the limit of its length."""
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


class Turn:
    """One question being answered in one browser tab, until it is stopped or the next one takes its place."""

    def __init__(self, server: Server, domain: Domain, panels: Sequence[Panel]) -> None:
        self.server = server
        self.domain = domain
        self.panels = panels
        self.replaced = False
        self._stopped = asyncio.Event()
        self._news = asyncio.Event()
        # An engine on few cores shares its time badly between an adapter and its base: side by side, a rambling
        # base kept a short adapter's answer waiting for six seconds. So the first panel has the engine first.
        self._engine = asyncio.Lock()

    def stop(self) -> None:
        """End it and show how far it came."""
        self._stopped.set()
        self._news.set()

    def replace(self) -> None:
        """End it without another word: the page belongs to the next question."""
        self.replaced = True
        self.stop()

    async def run(self, question: str) -> AsyncIterator[None]:
        """Fill the panels, yielding whenever there is something new to show, until all are done or it is stopped.

        Errors end up in the panel they belong to. Leaving the iterator ends the requests.
        """
        for panel in self.panels:
            panel.state = "asking"
        solving = asyncio.create_task(asyncio.to_thread(self.domain.solve, question))
        answering = [asyncio.create_task(self._answer(panel, question, solving)) for panel in self.panels]
        try:
            while not all(task.done() for task in answering) and not self._stopped.is_set():
                await self._news.wait()
                self._news.clear()
                yield
                await asyncio.sleep(FRAME)
        finally:
            for task in answering:
                task.cancel()
            ends = await asyncio.gather(*answering, return_exceptions=True)
            for panel, end in zip(self.panels, ends, strict=True):
                if isinstance(end, Exception):  # a fault of ours, shown rather than waited for
                    panel.fail(TruemarkError(f"The demo itself failed: {type(end).__name__}: {end}"))
                elif panel.running:
                    panel.state = "stopped"

    async def _answer(self, panel: Panel, question: str, solving: asyncio.Task[Solution | None]) -> None:
        try:
            async with self._engine:
                began = time.monotonic()
                async for piece, cut in self.server.stream(panel.model, self.domain.messages(question)):
                    panel.state = "writing"
                    panel.text += piece
                    panel.cut = cut
                    panel.seconds = time.monotonic() - began
                    self._news.set()
            panel.state = "checking"
            self._news.set()
            expected = await asyncio.shield(solving)
            panel.verdict = await self._judge(question, panel.text, expected)
            panel.expected = expected
            panel.state = "done"
        except TruemarkError as error:
            panel.fail(error)
        finally:
            self._news.set()

    async def _judge(self, question: str, answer: str, expected: Solution | None) -> Verdict | None:
        """The domain's verdict against the solver's own answer; None where there is none to compare with."""
        if expected is None:
            return None
        return await asyncio.to_thread(judge, self.domain, question, answer, expected)
