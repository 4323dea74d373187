"""A server of ours as a child process: started as a user would type it, waited for, and ended with the block.

with background.server(["serve", "--adapter", "math=runs/math-smollm2"], "http://127.0.0.1:8017/health"):
    ...
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO

from truemark.console import duration, say
from truemark.errors import EngineError

READY_SECONDS = 300
STOP_SECONDS = 15
"""Between the request to end and the end by force."""
TELL_EVERY = 5.0
"""Seconds between two lines while waiting."""
TAIL_LINES = 15


@contextlib.contextmanager
def server(arguments: Sequence[str], health: str) -> Iterator[None]:
    """`truemark ARGUMENTS` for the length of the block, from the moment `health` answers 200.

    Its messages are shown when it fails. Raises EngineError when it ends early or is not ready in time.
    """
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C reaches us alone, and whatever it started ends with it.
        process = subprocess.Popen(
            [sys.executable, "-m", "truemark", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(process, health, log)
            yield
            if process.poll() is not None:
                say(f"the server had ended by itself with exit code {process.returncode}:\n{_tail(log)}")
        finally:
            _end(process)


def healthy(health: str) -> bool:
    """Whether `health` (a URL) answers 200, asked with the key in `TRUEMARK_API_KEY` where there is one."""
    import httpx

    key = os.environ.get("TRUEMARK_API_KEY")
    try:
        answer = httpx.get(health, timeout=3, headers={"Authorization": f"Bearer {key}"} if key else None)
        return answer.status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _wait(process: subprocess.Popen[bytes], health: str, log: IO[bytes]) -> None:
    began = told = time.monotonic()
    while not healthy(health):
        now = time.monotonic()
        if process.poll() is not None:
            raise EngineError(f"the server ended with exit code {process.returncode}, saying:\n{_tail(log)}")
        if now - began > READY_SECONDS:
            raise EngineError(f"the server was not ready after {duration(READY_SECONDS)}, saying:\n{_tail(log)}")
        if now - told >= TELL_EVERY:
            told = now
            say(f"waiting for the server: {duration(now - began)}")
        time.sleep(0.2)
    say(f"server ready after {duration(time.monotonic() - began)}")


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-TAIL_LINES:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what is left of its session
    process.wait()
