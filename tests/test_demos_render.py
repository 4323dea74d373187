"""What a model wrote stays text, and the verdict says what the solver found."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from demos import render
from demos.live import Panel
from demos.pages.math import UNREAD
from domains import get
from domains.base import Solution, Verdict

EXPECTED = Solution("3x = 15\nAnswer: x = 5", "x = 5")


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(
    st.text()
    | st.sampled_from(["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</div><a href='javascript:1'>"])
)
def test_no_text_becomes_markup(hostile: str) -> None:
    assert Tags(render.text(hostile)).tags == []
    around = Tags(render.panel(Panel("adapter", "Adapter", "SymPy"), "")).tags
    shown = Panel(
        "adapter", hostile, hostile, model=hostile, state="done", text=hostile, expected=Solution(hostile, hostile)
    )
    shown.verdict = Verdict(0.0, False, hostile, {"message": hostile})
    assert set(Tags(render.panel(shown, hostile)).tags) <= {*around, "div", "strong"}


def test_text_is_kept_and_tricks_are_not() -> None:
    assert render.text("a < b & c > d\n\tx²") == "a &lt; b &amp; c &gt; d\n\tx²"
    assert render.text("x = \u202e5\u0000\u001b[31m") == "x = 5[31m"


def test_badges() -> None:
    right = render.badge(Verdict(1.0, True, "ok"), EXPECTED, "SymPy")
    assert "✓ verified by SymPy" in right
    wrong = render.badge(Verdict(0.0, False, "wrong_value", {"message": "x = 4 is not x = 5"}), EXPECTED, "SymPy")
    assert "✗ SymPy disagrees: expected x = 5" in wrong
    assert "x = 4 is not x = 5" in wrong
    assert "✓" not in wrong
    unread = render.badge(Verdict(0.0, False, "unparsable", {"message": "no"}), EXPECTED, "SymPy", {"unparsable"})
    assert "not verified" in unread
    assert "expected x = 5" in unread
    assert "✗" not in unread
    unknown = render.badge(None, None, "SymPy")
    assert "not verified" in unknown
    assert "✓" not in unknown


def test_only_a_whole_checked_answer_is_called_verified() -> None:
    shown = Panel("adapter", "Adapter", "SymPy", text="x = 5", expected=EXPECTED, verdict=Verdict(1.0, True, "ok"))
    for state in ("empty", "asking", "writing", "checking", "stopped", "failed"):
        shown.state = state  # type: ignore[assignment]
        assert "verified by" not in render.panel(shown, ""), state
    shown.state = "done"
    assert "✓ verified by SymPy" in render.panel(shown, "")


def test_the_solvers_own_solution_is_folded() -> None:
    assert "<details" in render.solution(EXPECTED, "SymPy")
    assert "SymPy’s own solution" in Tags(render.solution(EXPECTED, "SymPy")).text
    assert render.solution(None, "SymPy") == ""


def test_the_math_pages_reasons_are_the_domains() -> None:
    assert set(UNREAD) < set(get("math").REASONS)
