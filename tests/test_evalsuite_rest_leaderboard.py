"""What stands beside the leaderboard's rows: further sets, lm_eval's rows, and what people prefer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import domains
from evalsuite import harness, html, judgement
from evalsuite.evaluations import Model
from evalsuite.judgement import judge
from tests import evalsuite_helpers as toy
from tests import evalsuite_other as other
from truemark import cli, runtimes
from truemark.errors import InvalidData, MissingDependency
from truemark.files import write_json
from truemark.votes import open_store

pytest.importorskip("sqlalchemy", reason="needs the extra `votes`")
HOSTILE = "<script>alert(1)</script>|`x`"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A base and an adapter with further sets, votes and rows of lm_eval."""
    folder = tmp_path_factory.mktemp("beside")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(domains, "DOMAINS", {toy.NAME: toy.__name__, other.NAME: other.__name__})
        patch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{other.__name__}:ObedientRuntime")
        toy.write_data(Path("data/toy/test.jsonl"))
        toy.checkpoint(Path("base"), rate=0.3, obeys=0.9)
        toy.adapter(Path("runs/a"), Path("base"), rate=0.9, seed=1, obeys=0.4)
        words = ["--model", "base", "--model", "runs/a", "--also", "stability,drift"]
        assert cli.run(["eval", "toy", "--runtime", "toy", *words]) == 0
        assert cli.run(["votes", "toy", "--offer", "base", "--offer", "runs/a"]) == 0
        with open_store() as store:
            for annotator in ("ada", "bob"):
                for number, task in enumerate(store.queue(annotator, 99)):
                    left = any(c.isdigit() for c in task.left) ^ (annotator == "bob" and number % 5 == 0)
                    ratings = {"rating_left": 4 if left else 2, "rating_right": 2 if left else 5}
                    store.add(annotator, task.item, "left" if left else "right", **ratings)
        lm_eval()
        yield folder


@pytest.fixture(autouse=True)
def here(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test changes a copy of its own."""
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)


def lm_eval(created: str = "2026-01-01T00:00:00+00:00", value: float = 0.5, name: str = "one") -> None:
    """As a run of lm_eval leaves it; the task's name is hostile."""
    row = {"task": HOSTILE, "metric": "acc", "filter": "none", "value": value, "stderr": 0.05, "n": 100, "shots": 0, "version": "1", "better": "higher"}  # fmt: skip
    model = Model(ref="runs/a", label="a@0", name="a", kind="adapter", format="peft", sha256="0" * 64)
    run = harness.HarnessRun(
        domain="toy", model=model, lm_eval="0.4.13", command="lm_eval run --tasks x", limit=None, created=created,
        machine="m", libraries={}, rows=[row, {**row, "metric": "em", "filter": "strict", "stderr": None}],
    )  # fmt: skip
    write_json(Path("results/toy/harness") / f"{name}.json", run.model_dump())


def leaderboard(*words: str) -> tuple[dict[str, Any], str, str]:
    assert cli.run(["leaderboard", *words]) == 0
    folder = Path("leaderboard")
    board: dict[str, Any] = json.loads((folder / "leaderboard.json").read_text())
    return board, (folder / "LEADERBOARD.md").read_text(), (folder / "index.html").read_text()


def test_json_is_as_its_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(
        json.loads((Path(html.__file__).parent / "leaderboard.schema.json").read_text())
    )
    board, _, _ = leaderboard()
    validator.validate(board)
    [domain] = board["domains"]
    assert [one["name"] for one in domain["sets"]] == ["stability", "drift"]
    [run] = domain["harness"]
    assert [row["interval"] and row["interval"]["low"] for row in run["tasks"]] == [
        pytest.approx(0.402, abs=1e-3),
        None,
    ]
    found = domain["judgement"]
    assert found["votes"] == 66 and found["alpha"]["value"] < 1 and found["standings"][0]["ref"] == "runs/a"
    assert found["standings"][0]["sha256"] in {row["sha256"] for row in board["rows"]}
    assert found["standings"][0]["rating"] > 3 and found["rating_alpha"]["level"] == "ordinal"
    assert {row["canary"] for row in board["rows"]} == {"absent", "unasked"}
    for change in ({"judgement": {}}, {"sets": None}, {"harness": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**board, "domains": [{**domain, **change}]})


def test_markdown_and_page_show_them() -> None:
    _, markdown, page = leaderboard()
    for text in (markdown.replace("\\", ""), unescape(page)):
        for words in ("Stability", "Drift", "lm-evaluation-harness", "What people prefer", "Krippendorff's α", "lost", "[0.402, 0.598]", "mean rating"):  # fmt: skip
            assert words in text, words
    assert "<script>alert" not in markdown and "<script>alert" not in page
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    for line, below in pairwise(tables):
        if below.startswith("|---"):
            assert line.replace("\\|", "").count("|") == below.count("|")


def test_nobody_voted_and_nothing_further() -> None:
    shutil.rmtree("results/toy/also")
    shutil.rmtree("results/toy/harness")
    Path("results/votes.sqlite").unlink()
    board, markdown, _ = leaderboard()
    [domain] = board["domains"]
    assert (domain["sets"], domain["harness"], domain["judgement"]) == ([], [], None)
    assert "What people prefer" not in markdown
    with pytest.raises(InvalidData, match="no votes at elsewhere"):
        cli.run(["leaderboard", "--votes", "elsewhere.sqlite"])


def test_votes_without_the_extra_are_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingDependency.extra("sqlalchemy", "votes")

    monkeypatch.setattr("truemark.votes.open_store", missing)
    board, _, _ = leaderboard()
    assert board["domains"][0]["judgement"] is None
    assert any("votes in votes.sqlite are not shown: 'sqlalchemy' is not installed" in note for note in board["notes"])
    with pytest.raises(MissingDependency):
        cli.run(["leaderboard", "--votes", "results/votes.sqlite"])


def test_the_last_of_two_same_runs_is_shown() -> None:
    lm_eval("2026-02-01T00:00:00+00:00", 0.7, "two")
    board, _, _ = leaderboard()
    [run] = board["domains"][0]["harness"]
    assert run["tasks"][0]["value"] == 0.7


def test_two_groups_are_told_apart() -> None:
    with open_store() as store:
        found = judge("toy", 1, store.votes("toy"))
    assert judgement.plain(found).rows[0][0].startswith("a@") and "−" in judgement.plain(found).rows[-1][1]
