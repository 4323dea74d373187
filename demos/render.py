"""What a model wrote, as HTML that holds it as text.

Model output is hostile input. `text` is the only way it reaches a page: escaped, stripped of control and
bidirectional-override characters, line breaks kept by CSS. The HTML goes into `gr.HTML` by its default
template (`${value}`), which hands it over as data; a template of our own with `{{value}}` in it would run
a `${…}` that a model wrote.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Collection

from demos.live import Panel
from domains.base import Solution, Verdict

_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def text(untrusted: str) -> str:
    """HTML that shows `untrusted` literally."""
    kept = (
        c for c in untrusted if c in "\n\t" or not (c in _BIDI or unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn"))
    )
    return html.escape("".join(kept), quote=True)


def panel(shown: Panel, hint: str) -> str:
    """The card of one model: its name, its answer as far as it has come, the solver's verdict of it."""
    live = shown.state in ("asking", "writing")
    if shown.state == "empty":
        body = f'<p class="tm-hint">{text(hint)}</p>'
    else:
        caret = '<span class="tm-caret" aria-hidden="true"></span>' if live else ""
        words = f'<div class="tm-words" aria-busy="{str(live).lower()}">{answer(shown.text)}{caret}</div>'
        body = f'<div class="tm-answer{" tm-live" if live else ""}" tabindex="0">{words}</div>'
    return (
        f'<section class="tm-card tm-{shown.role}" aria-label="{text(shown.title)}">'
        f'<header><h2>{text(shown.title)}</h2><code>{text(shown.artifact or shown.model)}</code><span class="tm-time">{_time(shown)}</span></header>'
        f"{body}<footer role='status'>{_footer(shown)}</footer></section>"
    )


def answer(untrusted: str) -> str:
    """Lines as they are; the final answer's line stands out."""
    lines = untrusted.rstrip().split("\n")
    out = [text(line) for line in lines]
    if lines[-1].lower().startswith(("answer:", "final answer")):
        out[-1] = f"<strong>{out[-1]}</strong>"
    return "\n".join(out)


def solution(found: Solution | None, solver: str) -> str:
    """The solver's own worked answer, folded away."""
    if found is None or not found.text:
        return ""
    return f'<details class="tm-solution"><summary>{text(solver)}’s own solution</summary><div class="tm-words">{answer(found.text)}</div></details>'


def badge(verdict: Verdict | None, expected: Solution | None, solver: str, unread: Collection[str] = ()) -> str:
    """`✓ verified by SymPy`, `✗ SymPy disagrees: expected x = 5`, or `not verified` and why.

    `unread` are the reasons for which nothing was compared: those are no disagreement.
    """
    if verdict is None or expected is None:
        return _unverified(f"{solver} cannot read this question, so nobody checked the answer")
    if verdict.passed:
        return f'<span class="tm-badge tm-right">✓ verified by {text(solver)}</span>'
    said = str(verdict.detail.get("message") or verdict.reason)
    if verdict.reason in unread:
        return _unverified(f"{solver} expected {expected.reference}: {said}")
    return (
        f'<span class="tm-badge tm-wrong">✗ {text(solver)} disagrees: expected {text(expected.reference)}</span>'
        f'<span class="tm-why">{text(said)}</span>'
    )


def _unverified(why: str) -> str:
    return f'<span class="tm-badge tm-unknown">not verified</span><span class="tm-why">{text(why)}</span>'


def _footer(shown: Panel) -> str:
    match shown.state:
        case "failed":
            mend = f"<br><span>{text(shown.mend)}</span>" if shown.mend else ""
            return f'<div class="tm-error" role="alert"><strong>{text(shown.error)}</strong>{mend}</div>'
        case "stopped":
            return '<span class="tm-badge tm-unknown">stopped</span><span class="tm-why">not checked</span>'
        case "checking":
            return '<span class="tm-badge tm-unknown">checking …</span>'
        case "done":
            return badge(shown.verdict, shown.expected, shown.solver, shown.unread)
    return ""


def _time(shown: Panel) -> str:
    match shown.state:
        case "asking":
            return "waiting …"
        case "writing":
            return "writing …"
        case "checking" | "done" | "stopped":
            return f"{shown.seconds:.1f} s" + (", cut off" if shown.cut else "")
    return ""


def heading(title: str, description: str) -> str:
    """The top of a page."""
    return f'<div class="tm-heading"><p class="tm-eyebrow">Truemark</p><h1>{text(title)}</h1><p>{text(description)}</p></div>'
