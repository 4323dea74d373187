"""The leaderboard in a real browser: with its script and without, at phone and desktop width, light and dark, by axe's rules."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import domains
from evalsuite import metrics
from tests import evalsuite_helpers as toy
from tests.test_evalsuite_leaderboard import HOSTILE, frontier
from tests.test_evalsuite_leaderboard import __name__ as board
from tests.test_evalsuite_rest_leaderboard import lm_eval
from truemark import cli, runtimes, system
from truemark.files import publish_directory, sha256_file
from truemark.settings import cache_dir

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.slow
LOCK = Path(__file__).parent / "node" / "axe" / "package-lock.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaderboard of a base, two adapters and a hostile model, with a frontier, rows of lm_eval and a further metric."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
        patch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{toy.__name__}:ToyRuntime")
        patch.setitem(metrics.METRICS, "length", f"{board}:Length")
        toy.write_data(Path("data/toy/test.jsonl"), 120)
        toy.checkpoint(Path("base"), rate=0.1)
        toy.adapter(Path("runs/a"), Path("base"), rate=0.8, seed=1)
        toy.adapter(Path("runs/b"), Path("base"), rate=0.75, seed=2)
        toy.checkpoint(Path("hostile"), rate=0.0, text=HOSTILE)
        refs = [word for ref in ("base", "runs/a", "runs/b", "hostile") for word in ("--model", ref)]
        assert cli.run(["eval", "toy", "--runtime", "toy", *refs]) == 0
        frontier()
        lm_eval()
        assert cli.run(["leaderboard", "--metric", "length"]) == 0
    return folder / "leaderboard" / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    chromium = system.chromium()
    if chromium is None:
        pytest.skip("no Chromium here: truemark doctor says how to install it")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core's script as package-lock.json pins it, installed once in the cache."""
    out = cache_dir() / f"axe-{sha256_file(LOCK)[:12]}"
    if not out.is_dir():
        if not shutil.which("npm"):
            pytest.skip("axe-core needs npm")
        try:
            with publish_directory(out) as tmp:
                for name in ("package.json", "package-lock.json"):
                    shutil.copyfile(LOCK.with_name(name), tmp / name)
                npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
                subprocess.run(npm, cwd=tmp, check=True, timeout=600, capture_output=True)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"axe-core cannot be installed here: {error}")
    return (out / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def opened(browser: Browser, path: Path, width: int = 1440, scheme: str = "light", script: bool = True) -> Page:
    page = browser.new_page(
        viewport={"width": width, "height": 900},
        java_script_enabled=script,
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page.on("console", lambda message: pytest.fail(message.text))
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("dialog", lambda dialog: pytest.fail("a model's answer ran as a script"))
    page.on("request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or pytest.fail(request.url))
    page.goto(path.as_uri())
    return page


def names(page: Page) -> list[str]:
    """Names of the shown rows of the last table, in order."""
    rows = page.locator("table.board").last.locator("tr.row:not(.out) .name")
    return list(rows.all_inner_texts())


def row(page: Page, name: str) -> Locator:
    return (
        page.locator("table.board")
        .last.locator("tr.row")
        .filter(has=page.locator(".name").filter(has_text=re.compile(f"^{name}$")))
    )


@pytest.mark.parametrize("width", [390, 1440])
def test_without_its_script(written: Path, browser: Browser, width: int) -> None:
    page = opened(browser, written, width, script=False)
    picture = page.locator("img.frontier")
    assert picture.evaluate("picture => picture.naturalWidth") > 1, "the page's own policy lets its picture through"
    for element in (page.locator("main"), page.locator("table").first, page.locator("td.plot svg").first, picture):
        box = element.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert not page.locator("#tools").is_visible(), "no button that does nothing"
    answers = page.locator("tr.more").first
    assert not answers.is_visible()
    page.locator("summary").first.click()
    assert answers.is_visible() and "Reference:" in answers.inner_text() and "greedy" in answers.inner_text()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_by_the_rules_of_axe(written: Path, browser: Browser, axe: str, width: int, scheme: str) -> None:
    page = opened(browser, written, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "no sideways scroll"
    row(page, "a").locator("summary").click()
    page.get_by_label("Compare with").select_option(label="hostile")
    page.locator("article.full").first.wait_for()
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [(one["id"], one["help"], [node["html"][:90] for node in one["nodes"][:2]]) for one in found["violations"]]
    assert told == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_sorts_and_filters(written: Path, browser: Browser) -> None:
    page = opened(browser, written)
    assert names(page) == ["a", "b", "base", "hostile"]
    table = page.locator("table.board").last
    table.get_by_role("button", name="Model").click()
    assert names(page) == ["a", "b", "base", "hostile"]
    table.get_by_role("button", name="Model").press("Enter")
    assert names(page) == ["hostile", "base", "b", "a"]
    assert table.locator("th").first.get_attribute("aria-sort") == "descending"
    table.get_by_role("button", name="length").click()
    assert names(page)[0] == "hostile"
    assert page.locator("#count").inner_text() == "12 rows"
    page.get_by_label("Filter rows").fill("peft")
    assert sorted(names(page)) == ["a", "b"] and page.locator("#count").inner_text() == "6 of 12 rows"
    page.get_by_label("Filter rows").fill("")
    page.get_by_label("Format").select_option("checkpoint")
    assert sorted(names(page)) == ["base", "hostile"]
    page.close()


def test_all_examples_of_a_row_wrong_first_and_the_difference_of_two(written: Path, browser: Browser) -> None:
    page = opened(browser, written)
    row(page, "a").locator("td").nth(2).click()
    shown = page.locator("article.full")
    shown.first.wait_for()
    panel = page.locator("tr.more:visible")
    assert "Adapter" in panel.inner_text() and "Template" not in panel.inner_text()
    assert {"fail"} == {one.get_attribute("class") for one in shown.locator(".verdict b").all()}
    assert "unparsable" in shown.first.inner_text() and "no number in the answer" in shown.first.inner_text()
    page.get_by_label("Show").select_option("all")
    verdicts = [one.get_attribute("class") for one in shown.locator(".verdict b").all()]
    assert len(verdicts) == 25 and verdicts == sorted(verdicts)
    page.get_by_role("button", name="Show 25 more of 95").click()
    assert shown.count() == 50
    page.get_by_label("Compare with").select_option(label="base")
    page.get_by_label("Show").select_option("gained")
    first = shown.first
    assert first.locator(".pair .answer").count() == 2
    assert first.locator("del").first.inner_text().isdigit() and "I" in first.locator("ins").all_inner_texts()
    page.close()


def test_by_keyboard(written: Path, browser: Browser) -> None:
    page = opened(browser, written)
    summary = row(page, "b").locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("article.full").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") in ("SELECT", "BUTTON", "SUMMARY")
    summary.focus()
    page.keyboard.press("Enter")
    assert not page.locator("tr.more:visible").count()
    page.close()


def test_hostile_answers_stay_text(written: Path, browser: Browser) -> None:
    page = opened(browser, written)
    row(page, "hostile").locator("summary").click()
    page.locator("article.full").first.wait_for()
    assert "<script>alert(1)</script>" in page.locator("article.full pre").first.inner_text()
    assert page.locator("article.full img, article.full script").count() == 0
    page.close()
