"""The server behind the demo: the one that runs already, or `truemark serve`, started and ended with the demo."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from truemark import artifacts, background
from truemark.console import say
from truemark.errors import EngineError, InvalidArtifact, ModelNotFound

SHELVES = (Path("runs"), Path("adapters"))
"""Where adapters lie, relative to the working directory."""


@contextlib.contextmanager
def running(url: str, domains: Sequence[str], *, start: bool) -> Iterator[None]:
    """A healthy server at `url` inside the block; with `start`, our own where none answers on this machine.

    Raises EngineError when there is none (or ours does not come up), ModelNotFound without an adapter to serve.
    """
    health = f"{url.rstrip('/').removesuffix('/v1')}/health"
    if background.healthy(health):
        say(f"server: {url}")
        yield
        return
    address = urlsplit(url)
    if not start or address.hostname not in ("127.0.0.1", "localhost"):
        raise EngineError(f"no server answers at {health}", mend="truemark serve --adapter NAME=PATH")
    arguments = ["serve", "--port", str(address.port or 80)]
    for name in domains:
        arguments += ["--adapter", f"{name}={newest_adapter(name)}"]
    say(f"no server at {url}; starting one: truemark {' '.join(arguments)}")
    with background.server(arguments, health):
        yield


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
