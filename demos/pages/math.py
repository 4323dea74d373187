"""The math page: a question, the adapter's steps and the base's beside them, and what SymPy says of both."""

# No `from __future__ import annotations`: Gradio resolves the handlers' annotations in this module's globals.
from collections.abc import AsyncIterator
from typing import Any

from demos import render
from demos.client import Model, Server
from demos.live import Panel, Turn
from domains import get
from truemark.errors import EngineError
from truemark.models import ALIASES

DOMAIN = "math"
CHECKER = get(DOMAIN).CARD.checker
UNREAD = frozenset({"no_answer", "unparsable", "too_large", "timeout"})
"""Verdicts that compared nothing: the page says `not verified`, not that SymPy disagrees."""
BASE = next(iter(ALIASES))
MAX_QUESTION = 500
"""Characters."""


def page(server: Server) -> None:
    """Lay out the page inside the Blocks being built."""
    import gradio as gr

    domain = get(DOMAIN)
    card = domain.CARD
    gr.HTML(render.heading(card.title, card.description), apply_default_css=False)
    with gr.Row(elem_classes="tm-ask"):
        question = gr.Textbox(
            label="Question",
            placeholder="Type a question, or click one below",
            lines=1,
            max_lines=4,
            max_length=MAX_QUESTION,
            autofocus=True,
            scale=6,
            elem_id="question",
        )
        send = gr.Button("Ask", variant="primary", scale=0, min_width=96, elem_id="ask")
        halt = gr.Button("Stop", variant="secondary", scale=0, min_width=96, elem_id="stop", interactive=False)
    with gr.Row(elem_classes="tm-examples"):
        examples = [gr.Button(example, size="sm", min_width=0) for example in card.examples]
    with gr.Row(elem_classes="tm-answers"):
        adapter, base = (_card(panel) for panel in _panels())
        with gr.Column():
            cards = [gr.HTML(adapter, apply_default_css=False)]
            solution = gr.HTML("", apply_default_css=False)
        with gr.Column():
            cards.append(gr.HTML(base, apply_default_css=False))
    current = gr.State()

    async def ask(text: str, before: Turn | None) -> AsyncIterator[dict[Any, Any]]:
        if before is not None:
            before.replace()
        panels = _panels()
        turn = Turn(server, domain, panels)

        def show(*, running: bool) -> dict[Any, Any]:
            shown: dict[Any, Any] = {where: _card(panel) for where, panel in zip(cards, panels, strict=True)}
            shown[solution] = render.solution(panels[0].expected, CHECKER)
            shown[halt] = gr.update(interactive=running)
            return shown

        yield {current: turn, **show(running=True)}
        try:
            asked = _checked(text)
            for panel, model in zip(panels, _models(await server.models()), strict=True):
                panel.model, panel.artifact = model.name, model.artifact
            async for _ in turn.run(asked):
                if not turn.replaced:
                    yield show(running=True)
        except EngineError as error:
            panels[0].fail(error)
        if not turn.replaced:
            yield show(running=False)

    async def stop(turn: Turn | None) -> None:
        if turn is not None:
            turn.stop()

    asking: dict[str, Any] = {
        "fn": ask,
        "inputs": [question, current],
        "outputs": [*cards, solution, halt, current],
        "show_progress": "hidden",
        "trigger_mode": "multiple",
        "api_visibility": "private",
    }
    gr.on([send.click, question.submit], **asking)
    for button in examples:
        button.click(str, button, question, queue=False, api_visibility="private").then(**asking)
    halt.click(stop, current, None, queue=False, api_visibility="private")


def _panels() -> list[Panel]:
    return [
        Panel("adapter", "Adapter", CHECKER, UNREAD, model=DOMAIN),
        Panel("base", "Base model", CHECKER, UNREAD, model=BASE),
    ]


def _card(panel: Panel) -> str:
    hints = {
        "adapter": "The trained adapter answers here, step by step.",
        "base": "The untrained base, for comparison.",
    }
    return render.panel(panel, hints[panel.role])


def _checked(question: str) -> str:
    asked = question.strip()
    if not asked:
        raise EngineError("There is no question yet.", mend="Type one, or click an example.")
    if len(asked) > MAX_QUESTION:
        raise EngineError(f"The question is longer than {MAX_QUESTION} characters.", mend="Ask a shorter one.")
    return asked


def _models(served: list[Model]) -> tuple[Model, Model]:
    """The server's adapter for this domain (the one named like it, else the first trained for it) and its base."""
    fitting = [model for model in served if model.name == DOMAIN] + [
        model for model in served if model.domain == DOMAIN
    ]
    if not fitting:
        names = ", ".join(model.name for model in served)
        raise EngineError(
            f"The server has no {DOMAIN} adapter; it serves: {names or 'nothing'}.",
            mend=f"truemark serve --adapter {DOMAIN}=PATH",
        )
    wanted = fitting[0].base or BASE
    return fitting[0], next((model for model in served if model.name == wanted), Model(wanted))
