"""The server behind the demo: the one that runs already, or `truemark serve` started as a user would and ended with the demo."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from truemark import artifacts
from truemark.console import duration, say
from truemark.errors import EngineError, InvalidArtifact, ModelNotFound

SHELVES = (Path("runs"), Path("adapters"))
"""Where adapters lie, relative to the working directory."""
START_LIMIT = 300.0
"""Seconds for a server to come up: the first start converts the adapter."""
STOP_LIMIT = 10.0
"""Seconds between the request to end and the end by force."""


@contextlib.contextmanager
def running(url: str, domains: Sequence[str], *, start: bool) -> Iterator[None]:
    """A healthy server at `url` inside the block; with `start`, our own where none answers on this machine.

    Raises EngineError when there is none (or ours does not come up), ModelNotFound without an adapter to serve.
    """
    if healthy(url):
        say(f"server: {url}")
        yield
        return
    if not start or urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
        raise EngineError(f"no server answers at {url}", mend="truemark serve --adapter NAME=PATH")
    adapters = [f"{name}={newest_adapter(name)}" for name in domains]
    port = urlsplit(url).port or 80
    command = [sys.executable, "-m", "truemark", "serve", "--port", str(port)]
    for adapter in adapters:
        command += ["--adapter", adapter]
    say(f"no server at {url}; starting one: truemark {' '.join(command[3:])}")
    with tempfile.TemporaryFile() as log:
        # A session of its own, so that its engine processes end with it.
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            _wait_healthy(url, process, log)
            yield
        finally:
            _end(process)


def healthy(url: str) -> bool:
    """Whether the server at `url` (with the `/v1` suffix) says that it is ready."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/').removesuffix('/v1')}/health", timeout=3)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return answer.status_code == 200


def newest_adapter(domain: str) -> Path:
    """The adapter artifact of `domain` made last, below ./runs or ./adapters. Raises ModelNotFound."""
    found = []
    for shelf in SHELVES:
        for manifest in sorted(shelf.glob(f"*/{artifacts.MANIFEST}")):
            try:
                artifact = artifacts.open_artifact(manifest.parent, verify=False)  # the server hashes it
            except InvalidArtifact:
                continue
            if artifact.manifest.kind == "adapter" and artifact.manifest.domain == domain:
                found.append((artifact.manifest.created, str(artifact.path)))
    if not found:
        looked = " and ".join(str(shelf.absolute()) for shelf in SHELVES)
        raise ModelNotFound(f"no {domain} adapter to show: looked in {looked}", mend=f"truemark train {domain}")
    return Path(max(found)[1])


def _wait_healthy(url: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    began = told = time.monotonic()
    while not healthy(url):
        now = time.monotonic()
        if process.poll() is not None:
            raise EngineError(f"`truemark serve` ended with exit code {process.returncode}:\n{_tail(log)}")
        if now - began > START_LIMIT:
            raise EngineError(f"the server was not ready after {duration(START_LIMIT)}:\n{_tail(log)}")
        if now - told >= 5:
            told = now
            say(f"waiting for the server: {duration(now - began)}")
        time.sleep(0.2)
    say(f"server ready after {duration(time.monotonic() - began)}")


def _tail(log: IO[bytes], lines: int = 15) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what is left of its group; its session began with it
    process.wait()
