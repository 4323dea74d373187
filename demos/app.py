"""The Gradio application: the pages asked for, one theme, nothing from outside this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import demos
from demos.client import Server
from truemark.errors import MissingDependency, PortInUse

if TYPE_CHECKING:
    from gradio import Blocks

STYLE = Path(__file__).parent / "style.css"
AT_ONCE = 32
"""People whose answers stream at the same time; the next ones wait in Gradio's queue."""


def build(domains: Sequence[str], server: Server) -> Blocks:
    """Blocks with one page per domain: the first at `/`, the others at `/NAME` in the navigation bar.

    Raises UnknownName for a domain without a page, MissingDependency without Gradio.
    """
    pages = [(name, demos.get(name)) for name in domains]
    try:
        import gradio as gr
    except ImportError:
        raise MissingDependency.extra("gradio", "demo") from None
    title = f"Truemark · {domains[0]}" if len(domains) == 1 else "Truemark"
    blocks = gr.Blocks(title=title, analytics_enabled=False)
    for index, (name, page) in enumerate(pages):
        with blocks if index == 0 else blocks.route(name, f"/{name}"):
            page(server)
    return blocks.queue(max_size=4 * AT_ONCE, default_concurrency_limit=AT_ONCE)


def launch(blocks: Blocks, port: int, *, browser: bool) -> str:
    """Serve `blocks` on the loopback and return the address. `blocks.close()` ends it. Raises PortInUse."""
    require_free(port)
    try:
        _, address, _ = blocks.launch(
            server_name="127.0.0.1",
            server_port=port,
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            max_file_size="1kb",  # no page takes files
            theme=theme(),
            css_paths=STYLE,
        )
    except OSError as error:
        raise PortInUse(f"the demo cannot listen on port {port}: {error}", mend="truemark demo --port PORT") from None
    return str(address)


def require_free(port: int) -> None:
    """Raise PortInUse unless `port` of the loopback can be bound."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortInUse(
                f"the demo cannot listen on 127.0.0.1:{port}: {error.strerror}", mend="truemark demo --port PORT"
            ) from None


def theme() -> Any:
    """Gradio's base theme with the fonts of the reader's system (its default theme would bring web fonts)."""
    import gradio as gr

    base = gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"],
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#0b1220",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )
