"""The main story with nothing replaced: `truemark demo math` starts the real server with the trained adapter, and a person asks.

The picture in the README is this test's:

    TRUEMARK_SCREENSHOT=docs/demo-math.png python -m pytest -m slow tests/test_demos_story.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from domains import get
from tests.conftest import ROOT
from tests.demos_helpers import answers, browser, free_port, tab, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

JUDGED = ".tm-badge:is(.tm-right, .tm-wrong, :has-text('not verified'))"


@pytest.mark.slow
@pytest.mark.timeout(3600)  # the first slow test of a run pays for the quickstart
def test_a_person_asks_the_trained_adapter(quickstart_dir: Path, tmp_path: Path) -> None:
    port, server = free_port(), free_port()
    url = f"http://127.0.0.1:{server}/v1"
    command = [sys.executable, "-m", "truemark", "demo", "math", "--no-browser", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRUEMARK_URL": url}
    with (tmp_path / "output.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=quickstart_dir, env=environment, stdout=output, stderr=output)
    said = (tmp_path / "output.txt").read_text
    try:
        wait_until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/"), 240)
        assert process.poll() is None, said()
        with browser() as chrome, tab(chrome, f"http://127.0.0.1:{port}/") as page:
            shows_the_adapter_beside_the_base(page)
            picture(page, Path(os.environ.get("TRUEMARK_SCREENSHOT") or tmp_path / "demo-math.png"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert "starting one: truemark serve" in said()
    assert not answers(f"http://127.0.0.1:{server}/health"), "the server outlived the demo that started it"


def shows_the_adapter_beside_the_base(page: Page) -> None:
    """Ask the card's examples until one is answered as the README shows it: the adapter verified, the base not."""
    seen = []
    for question in sorted(
        get("math").CARD.examples, key=len
    ):  # short ones make a picture that is taken in at a glance
        page.fill("#question textarea", question)
        page.keyboard.press("Enter")
        page.wait_for_selector("#stop:enabled")
        page.wait_for_selector(f".tm-adapter {JUDGED}", timeout=120_000)
        page.wait_for_selector(f".tm-base {JUDGED}", timeout=120_000)
        page.wait_for_selector("#stop:disabled")
        assert len(page.inner_text(".tm-adapter .tm-answer")) > 10
        assert len(page.inner_text(".tm-base .tm-answer")) > 10
        adapter, base = page.inner_text(".tm-adapter .tm-badge"), page.inner_text(".tm-base .tm-badge")
        seen.append(f"{question}: adapter {adapter}; base {base}")
        if adapter.startswith("✓") and base.startswith("✗"):
            assert "SymPy’s own solution" in page.inner_text(".tm-solution")
            return
    pytest.fail("no example with the adapter right and the base wrong:\n" + "\n".join(seen))


def picture(page: Page, path: Path) -> None:
    """What a person sees, down to the end of the page's content."""
    page.locator("h1").click()  # takes the cursor out of the question
    end = page.evaluate("document.querySelector('.tm-answers').getBoundingClientRect().bottom + scrollY")
    page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": 1440, "height": int(end) + 40})
    assert 10_000 < path.stat().st_size < 300_000
