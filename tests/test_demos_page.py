"""The math page as a person meets it, in headless Chromium: its story, its errors, and hostile output that stays text.

The models here are a small server that says fixed texts on cue; `test_demos_story.py` has the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import demos
from tests.demos_helpers import Speaker, browser, demo, free_port, speaking, tab, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

QUESTION = "Solve for x: 3x + 7 = 22"
RIGHT = "Subtract 7 from both sides: 3x = 15\nDivide both sides by 3: x = 5\nAnswer: x = 5"
WRONG = "We add 7 to both sides, so 3x = 29.\nAnswer: x = 29/3"
HOSTILE = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>\n"
    "</div></section><iframe srcdoc='<script>parent.pwned = 3</script>'></iframe>\n"
    "[click](javascript:window.pwned=4) ![x](http://198.51.100.7/leak.png) <a href='javascript:window.pwned=5'>here</a>\n"
    "${window.pwned = 6} {{value}} {{#each this}}{{constructor}}{{/each}} `${window.pwned = 7}`\n"
    "$$\\href{javascript:window.pwned=8}{x}$$ <style>body{display:none}</style>\n"
    "Answer: x = 5"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Speaker]:
    with speaking() as speaker:
        yield speaker


@pytest.fixture(scope="module")
def address(server: Speaker) -> Iterator[str]:
    with demo(server.url) as address:
        yield address


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture
def speaker(server: Speaker) -> Speaker:
    server.says = {"math": RIGHT, "smollm2-135m": WRONG}
    server.status, server.breaks_after, server.pause = 200, None, 0.01
    server.asked.clear()
    server.left.clear()
    return server


@pytest.fixture
def page(speaker: Speaker, address: str, chrome: Browser) -> Iterator[Page]:
    with tab(chrome, address) as page:
        yield page


def ask(page: Page, question: str = QUESTION) -> None:
    page.fill("#question textarea", question)
    page.keyboard.press("Enter")


def test_answer_verdict_and_the_base_beside_it(page: Page, speaker: Speaker) -> None:
    ask(page)
    page.wait_for_selector(".tm-adapter .tm-right")
    page.wait_for_selector(".tm-base .tm-wrong")
    assert page.inner_text(".tm-adapter .tm-answer") == RIGHT
    assert page.inner_text(".tm-adapter .tm-badge") == "✓ verified by SymPy"
    assert page.inner_text(".tm-base .tm-answer") == WRONG
    assert page.inner_text(".tm-base .tm-badge").startswith("✗ SymPy disagrees: expected x = 5")
    assert {body["model"] for body in speaker.asked} == {"math", "smollm2-135m"}
    adapter, base = page.locator(".tm-adapter").bounding_box(), page.locator(".tm-base").bounding_box()
    assert adapter is not None
    assert base is not None
    assert adapter["y"] == base["y"]
    assert base["x"] > adapter["x"] + adapter["width"]
    page.wait_for_selector("#stop:disabled")
    page.click(".tm-solution summary")
    assert "x = 5" in page.inner_text(".tm-solution .tm-words")


def test_an_example_is_one_click(page: Page) -> None:
    example = page.locator(".tm-examples button").first
    text = example.inner_text()
    example.click()
    page.wait_for_selector(".tm-adapter .tm-badge")
    assert page.input_value("#question textarea") == text


def test_hostile_output_stays_text(page: Page, speaker: Speaker) -> None:
    speaker.says = {"math": HOSTILE, "smollm2-135m": HOSTILE}
    ask(page, "<img src=x onerror='window.pwned = 9'> Solve for x: 3x + 7 = 22")
    page.wait_for_selector(".tm-adapter .tm-badge:not(:has-text('checking'))")
    page.wait_for_selector(".tm-base .tm-badge:not(:has-text('checking'))")
    assert page.inner_text(".tm-adapter .tm-answer") == HOSTILE
    assert page.evaluate("window.pwned") is None
    inside = "script, img, a, iframe, style"
    assert page.locator(f".tm-answers :is({inside})").count() == 0
    assert page.locator("a[href^='javascript:']").count() == 0


def test_a_question_the_solver_cannot_read_is_not_verified(page: Page) -> None:
    ask(page, "Why is the sky blue?")
    page.wait_for_selector(".tm-adapter .tm-badge:has-text('not verified')")
    assert page.locator(".tm-right").count() == 0


def test_stop_leaves_what_came(page: Page, speaker: Speaker) -> None:
    speaker.says = {"math": "step " * 400, "smollm2-135m": "word " * 400}
    speaker.pause = 0.05
    ask(page)
    page.wait_for_selector(".tm-adapter .tm-answer:has-text('step step')")
    page.click("#stop")
    page.wait_for_selector(".tm-adapter .tm-badge:has-text('stopped')")
    wait_until(lambda: speaker.left == ["math"])
    assert "step step" in page.inner_text(".tm-adapter .tm-answer")
    assert "✓" not in page.inner_text(".tm-answers")


def test_the_next_question_replaces_the_running_one(page: Page, speaker: Speaker) -> None:
    speaker.says = {"math": "first " * 400, "smollm2-135m": "first " * 400}
    speaker.pause = 0.05
    ask(page)
    page.wait_for_selector(".tm-adapter .tm-answer:has-text('first')")
    speaker.says = {"math": RIGHT, "smollm2-135m": WRONG}
    ask(page)
    page.wait_for_selector(".tm-adapter .tm-right")
    page.wait_for_timeout(500)
    assert page.inner_text(".tm-adapter .tm-answer") == RIGHT
    wait_until(lambda: speaker.left == ["math"])


def test_busy_half_a_stream_and_nothing_asked_in_words(page: Page, speaker: Speaker) -> None:
    page.click("#ask")
    page.wait_for_selector(".tm-adapter .tm-error:has-text('no question')")
    speaker.status = 503
    ask(page)
    page.wait_for_selector(".tm-adapter .tm-error:has-text('busy')")
    page.wait_for_selector(".tm-base .tm-error:has-text('busy')")
    speaker.status, speaker.breaks_after = 200, 2
    ask(page)
    page.wait_for_selector(".tm-adapter .tm-error:has-text('broke off half-way')")
    assert page.inner_text(".tm-adapter .tm-answer").startswith(RIGHT[:14])


def test_a_server_without_the_adapter_in_words(page: Page, speaker: Speaker) -> None:
    speaker.says = {"smollm2-135m": WRONG}
    ask(page)
    page.wait_for_selector(".tm-adapter .tm-error:has-text('no math adapter')")
    assert "truemark serve --adapter math=" in page.inner_text(".tm-adapter .tm-error")


def test_one_more_page_is_one_more_row(monkeypatch: pytest.MonkeyPatch, speaker: Speaker, chrome: Browser) -> None:
    monkeypatch.setitem(demos.PAGES, "again", "demos.pages.math:page")
    with demo(speaker.url, "math", "again") as address, tab(chrome, f"{address}again") as page:
        ask(page)
        page.wait_for_selector(".tm-adapter .tm-right")


def test_server_down_in_words(chrome: Browser) -> None:
    with demo(f"http://127.0.0.1:{free_port()}/v1") as address, tab(chrome, address) as page:
        ask(page)
        page.wait_for_selector(".tm-adapter .tm-error:has-text('No server answers')")
        assert "truemark serve" in page.inner_text(".tm-adapter .tm-error")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_has_no_sideways_scrolling(speaker: Speaker, address: str, chrome: Browser, dark: bool) -> None:
    with tab(chrome, address, width=390, height=844, dark=dark) as page:
        ask(page)
        page.wait_for_selector(".tm-base .tm-badge:not(:has-text('checking'))")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        adapter, base = page.locator(".tm-adapter").bounding_box(), page.locator(".tm-base").bounding_box()
        assert adapter is not None
        assert base is not None
        assert base["y"] > adapter["y"] + adapter["height"]
