"""`truemark ask`: which server and model answer, and what is said of the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from domains import get
from domains.review import review
from serve import ask, catalog, engines, server
from tests.conftest import truemark
from tests.serve_helpers import tiny_export, tiny_models
from truemark import shelf
from truemark.errors import EngineError, ModelNotFound, TruemarkError

QUESTION = "Solve for x: 3x + 7 = 22"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """A server with one math adapter named `one`."""
    models = catalog.read([f"one={home / 'one'}"])
    with server.background(models, engines.create("llamacpp", models.base.ref, models.adapters)) as (address, _):
        yield address


def said(question: str, answer: str) -> tuple[str, str]:
    math = get("math")
    found = review(math, math.messages(question), answer)
    return found.outcome, ask.in_words(found, "SymPy")


def test_a_right_answer_is_verified() -> None:
    assert said(QUESTION, "3x = 15\nx = 5\nAnswer: x = 5") == ("verified", "✓ verified with SymPy: x = 5")


def test_a_wrong_answer_falls_back_to_the_solver_and_says_so() -> None:
    outcome, words = said(QUESTION, "Answer: x = 6")
    assert outcome == "wrong"
    assert words.startswith("✗ the model is wrong")
    assert "SymPy's own solution" in words
    assert words.endswith("Answer: x = 5")


def test_a_question_that_the_solver_cannot_read_is_not_verified() -> None:
    assert said("Why is the sky blue?", "Answer: 5") == (
        "unchecked",
        "not verified: SymPy cannot read this question",
    )


def test_of_such_a_question_the_steps_are_checked() -> None:
    question = "How old is my cat, who is 3 + 4 in dog years?"
    outcome, words = said(question, "3 + 4 = 7\nAnswer: 7")
    assert (outcome, words[:12]) == ("unrefuted", "not verified")
    outcome, words = said(question, "3 + 4 = 8\nAnswer: 8")
    assert (outcome, words) == ("wrong", "✗ the model is wrong: line 1 is wrong, 3 + 4 is not 8: 3 + 4 = 8")


def test_the_running_server_is_asked(url: str, tmp_path: Path) -> None:
    run = truemark("ask", "math", QUESTION, "--url", url, "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    row = json.loads(run.stdout)
    assert row["model"] == "one"  # by its domain
    assert row["reference"] == "x = 5"
    assert row["outcome"] == "wrong"  # random weights
    run = truemark("ask", "math", QUESTION, "--url", url, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.rstrip().endswith("Answer: x = 5")


def test_without_a_server_one_is_started_for_the_adapter_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRUEMARK_URL", "http://127.0.0.1:9/v1")
    ask.ask("math", QUESTION, model=None, url=None, adapter=str(home / "two"), as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out)["model"] == "math"
    assert "starting one for" in err


def test_without_server_and_adapter_the_command_that_trains_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEMARK_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setattr(shelf, "SHELVES", ())
    with pytest.raises(ModelNotFound, match="no math adapter") as caught:
        ask.ask("math", QUESTION, model=None, url=None, adapter=None, as_json=True)
    assert (caught.value.mend, caught.value.exit_code) == ("truemark train math", 2)


def test_what_cannot_be_asked(url: str, home: Path) -> None:
    with pytest.raises(EngineError, match="no server is ready"):
        ask.ask("math", QUESTION, model=None, url="http://127.0.0.1:9/v1", adapter=None, as_json=True)
    with pytest.raises(EngineError, match="404: no model 'nobody'"):
        ask.ask("math", QUESTION, model="nobody", url=url, adapter=None, as_json=True)
    with pytest.raises(TruemarkError, match="the question is empty"):
        ask.ask("math", "  ", model=None, url=url, adapter=None, as_json=True)
    with pytest.raises(TruemarkError, match="neither --url nor --model"):
        ask.ask("math", QUESTION, model=None, url=url, adapter=str(home / "one"), as_json=True)


def test_a_server_without_a_model_of_the_domain(home: Path, tmp_path: Path) -> None:
    other = tiny_export(tmp_path / "other", home / "base.gguf", seed=9, domain="asp")
    models = catalog.read([f"other={other}"])
    with (
        server.background(models, engines.create("llamacpp", models.base.ref, models.adapters)) as (address, _),
        pytest.raises(ModelNotFound, match="0 math models among: other, base"),
    ):
        ask.ask("math", QUESTION, model=None, url=address, adapter=None, as_json=True)


def test_an_answer_cannot_drive_the_terminal() -> None:
    assert ask._harmless("a\x1b[2Jb\r\x9bc\n\td½") == "a�[2Jb��c\n\td½"
