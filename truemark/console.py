"""What a person sees while something runs: a bar with an ETA on a terminal, plain lines elsewhere.

    with progress("train", total=300) as step:
        for ...:
            step(1, f"loss {loss:.3f}")

Everything goes to standard error, so standard output stays for results (`--json`).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from truemark.settings import main_process

PLAIN_EVERY = 10.0
"""Seconds between plain progress lines."""


def say(text: str) -> None:
    """One line for a person; of processes that train together the main one speaks."""
    if main_process():
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[..., None]]:
    """Yield `advance(n=1, note="")`. On a terminal a Rich bar; elsewhere a line every PLAIN_EVERY seconds, and a last one."""
    if not main_process():
        yield lambda n=1, note="": None
    elif sys.stderr.isatty():
        with _rich_bar(label, total) as advance:
            yield advance
    else:
        with _plain_lines(label, total) as advance:
            yield advance


@contextlib.contextmanager
def _rich_bar(label: str, total: int) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, note="")

        def advance(n: int = 1, note: str = "") -> None:
            bar.update(task, advance=n, note=note)

        yield advance


@contextlib.contextmanager
def _plain_lines(label: str, total: int) -> Iterator[Callable[..., None]]:
    began = last = time.monotonic()
    done = 0

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= PLAIN_EVERY and done < total:
            last = now
            eta = (now - began) / max(done, 1) * (total - done)
            say(f"{label}: {done}/{total}, eta {duration(eta)} {note}".rstrip())

    yield advance
    say(f"{label}: {done}/{total} in {duration(time.monotonic() - began)}")


def duration(seconds: float) -> str:
    """`83` → `1m23s`."""
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
