"""The real domain and real runtimes: math questions, SymPy's verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domains import get
from truemark import cli, runtimes
from truemark.files import write_jsonl


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = get("math").build(11, 10)["test"]
    write_jsonl(Path("data/math/test.jsonl"), [dict(example) for example in test])


def test_a_trivial_baseline_and_a_solver(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "math", "--model", "rule:copy", "--model", "rule:sympy", "--limit", "12", "--json"]
    assert cli.run(words) == 0
    rows = {(row["ref"], row["slice"]): row for row in json.loads(capsys.readouterr().out)["rows"]}
    copy, solver = rows["rule:copy", "all"], rows["rule:sympy", "all"]
    assert copy["n"] == solver["n"] == 12 and copy["tokens_per_second"] is None
    assert copy["accuracy"]["value"] < 0.3 < solver["accuracy"]["value"]
    assert cli.run(["leaderboard"]) == 0
    page = Path("leaderboard/index.html").read_text()
    assert get("math").SLICES["wording"] in page and "rule:sympy" in page


def test_an_unknown_rule_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["eval", "math", "--model", "rule:copi"]) == 2
    assert "did you mean 'copy'" in capsys.readouterr().err
    assert not list(Path().rglob("predictions/*"))


def test_an_endpoint_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("truemark.runtimes.http.RETRIES", 0)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert cli.run(["eval", "math", "--model", "openai:math", "--model", "rule:copy", "--limit", "2"]) == 2
    out, err = capsys.readouterr()
    assert "openai:math: http://127.0.0.1:9/v1 did not answer" in err and "rule:copy" in out


@pytest.mark.slow
def test_the_embedded_base_answers_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "math", "--model", "smollm2-135m", "--limit", "3", "--max-tokens", "8", "--json"]
    assert cli.run(words) == 0
    first = json.loads(capsys.readouterr().out)["rows"]
    assert first[-1]["engine"] == "torch" and first[-1]["tokens_per_second"] > 0
    monkeypatch.setitem(runtimes.RUNTIMES, "torch", "no_such_module:Runtime")
    assert cli.run(words) == 0
    again = json.loads(capsys.readouterr().out)["rows"]
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in first]
