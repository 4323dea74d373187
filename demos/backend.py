"""The server behind the demo: the one that runs already, or `truemark serve`, started and ended with the demo."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from truemark import background
from truemark.console import say
from truemark.errors import EngineError
from truemark.shelf import newest_adapter


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
