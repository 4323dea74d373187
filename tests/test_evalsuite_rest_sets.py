"""Further sets of examples: stability and drift, from `--also` to a table; and their metrics by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import domains
from domains.base import Example, Verdict
from domains.examples import refuse_bad_row
from evalsuite import metrics, sets
from evalsuite.also import tables
from evalsuite.data import example_sha256, examples_sha256
from evalsuite.metrics import Answer
from evalsuite.sets import general
from evalsuite.sets.drift import EACH, Outside
from evalsuite.sets.stability import QUESTIONS, SEEDS, WORDINGS, Wordings
from tests import evalsuite_helpers as toy
from tests import evalsuite_other as other
from tests.evalsuite_texts import answer
from truemark import cli, runtimes
from truemark.errors import UnknownName


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two toy domains and no other; a base and an adapter of the first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(domains, "DOMAINS", {toy.NAME: toy.__name__, other.NAME: other.__name__})
    monkeypatch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{other.__name__}:ObedientRuntime")
    toy.write_data(Path("data/toy/test.jsonl"))
    toy.checkpoint(Path("base"), rate=0.3, obeys=0.9)
    toy.adapter(Path("runs/a"), Path("base"), rate=0.9, seed=1, obeys=0.4)
    return tmp_path


def evaluate(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.run(["eval", "toy", "--runtime", "toy", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def said(text: str, *, of: str, wording: int, passed: bool = False, **detail: Any) -> Answer:
    row = answer(text, "gold", id=f"{of}.w{wording}")
    example: Example = {**row.example, "meta": {"stability": {"of": of, "wording": wording}}}
    return Answer(example, row.prediction, Verdict(float(passed), passed, "ok", detail))


def test_stability_by_hand() -> None:
    metric = metrics.get("stability")
    answers = [
        said("x = 5", of="q", wording=0, passed=True),
        said("it is 5.", of="q", wording=0, passed=True),  # right in other words agrees
        said("so\nAnswer:  Seven", of="q", wording=1),
        said("Answer: seven", of="q", wording=1),
        said("7", of="p", wording=0, answer="7"),
        said("seven, I think", of="p", wording=1, answer="7"),
    ]
    found = metric.score(answers)
    assert found.value == pytest.approx((2 / 6 + 1) / 2) and found.interval is None
    assert found.table == ({"within_wording": 1.0, "across_wordings": pytest.approx(1 / 5)},)
    values = metric.values(answers)
    assert values is not None and values[0] == pytest.approx(1 / 3) and values[4] == 1
    assert metrics.get("stability").score(answers[:1]).value is None
    shuffled = [answers[i] for i in (3, 5, 0, 4, 2, 1)]
    assert metric.score(shuffled).value == pytest.approx(found.value)


def test_drift_by_hand() -> None:
    def one(own: bool, base: bool | None, text: str = "x") -> Answer:
        row = answer(text, "gold")
        before = None if base is None else Answer(row.example, answer("x", "gold").prediction, Verdict(0.0, base, "ok"))
        return Answer(row.example, row.prediction, Verdict(0.0, own, "ok"), before)

    metric = metrics.get("drift")
    found = metric.score([one(False, True, "y"), one(False, True), one(True, False), one(True, True), one(True, None)])
    assert found.value == -0.25
    assert found.table == ({"lost": 0.5, "gained": 0.25, "same_text": 0.75, "base_right": 0.75},)
    assert metric.score([one(True, None)]).value is None, "nothing to compare with"


def test_three_wordings_hold_the_question() -> None:
    found = Wordings("toy").examples(toy.examples(40))
    assert len(found) == QUESTIONS * len(WORDINGS) and found == Wordings("toy").examples(toy.examples(40))
    assert len({example_sha256(example) for example in found}) == len(found)
    questions = {example["id"]: example["messages"][0]["content"] for example in toy.examples(40)}
    for example in found:
        refuse_bad_row(example["id"], dict(example))
        assert questions[example["meta"]["stability"]["of"]] in example["messages"][0]["content"]
        assert toy.check(example["reference"], example).passed and example["messages"][-1]["role"] == "assistant"


def test_outside_is_the_others_and_the_same_each_time() -> None:
    found = Outside("toy").examples([])
    assert examples_sha256(found) == examples_sha256(Outside("toy").examples(toy.examples(3)))
    by_slice = {name: [one for one in found if one["meta"]["slice"] == name] for name in (other.NAME, general.NAME)}
    assert len(by_slice[other.NAME]) == EACH and len(by_slice[general.NAME]) == 4 * general.EACH
    assert sum(map(len, by_slice.values())) == len(found), "nothing of its own domain"
    assert all(one["messages"][0]["role"] == "system" for one in found)
    assert len({one["id"] for one in found}) == len(found)


def test_gold_passes_and_a_refusal_does_not() -> None:
    for one in Outside("toy").examples([]):
        assert Outside("toy").check(one["messages"][-1]["content"], one).passed
        assert not Outside("toy").check("I would rather not.", one).passed
        assert not Outside("toy").check("", one).passed


def test_from_also_to_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = evaluate(capsys, "--model", "base", "--model", "runs/a", "--also", "stability,drift")
    stable, drift = found["sets"]
    rows = {row["ref"]: row for row in stable["rows"]}
    assert stable["n"] == QUESTIONS * len(WORDINGS) and rows["runs/a"]["answers"] == stable["n"] * len(SEEDS)
    assert 0 < rows["runs/a"]["value"] < 1 and rows["runs/a"]["interval"]["low"] < rows["runs/a"]["value"]
    assert rows["base"]["difference"] is None and rows["runs/a"]["difference"]["baseline"] == "base"
    assert rows["runs/a"]["difference"]["n"] == QUESTIONS and "seed" not in rows["base"]["sampling"]
    [row] = [row for row in drift["rows"] if row["ref"] == "runs/a" and row["slice"] == "all"]
    assert row["value"] < -0.2 and row["difference"]["significant"] and row["of"]["lost"] > row["of"]["gained"]
    assert row["difference"]["value"] == pytest.approx(row["value"])
    assert {row["slice"] for row in drift["rows"]} == {other.NAME, general.NAME, "all"}
    assert drift["examples_sha256"] == examples_sha256(Outside("toy").examples([]))
    assert found["rows"][0]["n"] == 20, "the leaderboard's own rows are of the test set alone"

    monkeypatch.setattr(other.ObedientRuntime, "__init__", lambda *_: pytest.fail("opened a model for nothing"))
    again = evaluate(capsys, "--model", "base", "--model", "runs/a", "--also", "drift,stability")
    assert [one["name"] for one in again["sets"]] == ["drift", "stability"]
    assert again["sets"][0]["rows"][0]["value"] == drift["rows"][0]["value"]
    assert [one.set.name for one in tables(Path("results"), "toy")] == ["stability", "drift"]
    assert cli.run(["eval", "toy", "--runtime", "toy", "--model", "runs/a", "--also", "drift"]) == 0
    out = capsys.readouterr().out
    for word in ("Drift: questions outside the domain", "lost", "base right", "general", "greedy"):
        assert word in out


def test_the_base_is_asked_for_drift_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate(capsys, "--model", "runs/a", "--also", "drift")
    assert {row["ref"] for row in found["rows"]} == {"runs/a"}
    assert {row["ref"] for row in found["sets"][0]["rows"]} == {"base", "runs/a"}
    files = sorted(str(path.parent) for path in Path("results").rglob("predictions/base*.jsonl"))
    assert files == ["results/toy/also/drift/predictions"]


def test_a_model_is_opened_once_for_all_it_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    begin = other.ObedientRuntime.__init__
    monkeypatch.setattr(
        other.ObedientRuntime, "__init__", lambda self, model: (opened.append(model.text), begin(self, model))[1]
    )
    evaluate(capsys, "--model", "runs/a", "--model", "base", "--also", "stability,drift")
    assert opened == ["runs/a", "base"]


def test_a_set_that_fails_leaves_the_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    say = other.ObedientRuntime._say

    def fails(self: Any, question: str, sampling: Any) -> Any:
        if sampling.temperature:
            raise RuntimeError("this engine cannot sample")
        return say(self, question, sampling)

    monkeypatch.setattr(other.ObedientRuntime, "_say", fails)
    assert cli.run(["eval", "toy", "--runtime", "toy", "--model", "runs/a", "--also", "drift,stability", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [row["ref"] for row in found["rows"]] == ["runs/a"] * 3 and "cannot sample" in found["failures"]["runs/a"]
    assert [one["name"] for one in found["sets"]] == ["drift"]
    assert {row["ref"] for row in found["sets"][0]["rows"]} == {"base", "runs/a"}, "the base is asked for drift alone"


def test_what_has_no_base_has_no_drift(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["eval", "toy", "--runtime", "toy", "--model", "base", "--also", "drift", "--json"]) == 0
    told = capsys.readouterr()
    assert "base has no base here: nothing to say of its drift" in told.err and json.loads(told.out)["sets"] == []


def test_an_unknown_set_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(UnknownName, match="did you mean 'stability'"):
        cli.run(["eval", "toy", "--model", "base", "--also", "stabilty"])
    assert not Path("results").exists()


def test_every_set_has_its_metric() -> None:
    for name in sets.SETS:
        found = sets.get(name, "toy")
        assert found.name == name and found.metric in metrics.METRICS and found.about and found.title
