"""`truemark demo`: the pages in a browser, and a server behind them where none runs yet."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from demos import PAGES


def demo(
    domains: Annotated[
        list[str] | None, typer.Argument(help=f"Which pages: {', '.join(PAGES)}. All of them by default.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server that runs already, with its /v1 suffix.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where the pages are served, on this machine only.")
    ] = 7860,
    browser: Annotated[bool, typer.Option(help="Open the default browser.")] = True,
) -> None:
    """Ask a trained adapter in the browser: its answer, the solver's verdict, and the base model's answer beside it.

    Talks to the server at TRUEMARK_URL (default http://127.0.0.1:8017/v1). Where none answers, it starts
    `truemark serve` with the adapter trained last under ./runs, else the one that ships, and ends it with the demo.
    """
    import threading

    from demos import app, backend, get
    from demos.client import Server
    from truemark.console import say
    from truemark.settings import server_url

    names = list(dict.fromkeys(domains or PAGES))
    address = url or server_url()
    for name in names:
        get(name)
    # whatever can be refused is refused before a server is started
    app.require_free(port)
    blocks = app.build(names, Server(address))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that our server is ended too
    with backend.running(address, names, start=url is None):
        try:
            say(f"demo: {app.launch(blocks, port, browser=browser)}   (Ctrl-C ends it)")
            threading.Event().wait()
        except KeyboardInterrupt:
            say("\nending")
        finally:
            blocks.close(verbose=False)
