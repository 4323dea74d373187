"""An evaluation from refs to rows, through the command line."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import domains
from evalsuite.evaluations import Evaluation
from tests import evalsuite_helpers as toy
from truemark import cli, runtimes
from truemark.errors import InvalidData, ModelNotFound, UnknownName
from truemark.files import read_jsonl, write_jsonl

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a test set, a base that is seldom right and an adapter that mostly is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
    monkeypatch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{toy.__name__}:ToyRuntime")
    toy.write_data(Path("data/toy/test.jsonl"))
    toy.checkpoint(Path("base"), rate=0.1)
    toy.adapter(Path("runs/a"), Path("base"), rate=0.8, seed=1)
    return tmp_path


def evaluate(*words: str, code: int = 0) -> None:
    assert cli.run(["eval", "toy", "--runtime", "toy", *words]) == code


def rows(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
    capsys.readouterr()
    evaluate(*words, "--json", code=code)
    return {(row["ref"], row["slice"]): row for row in json.loads(capsys.readouterr().out)["rows"]}


def snapshot() -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(Path("results").rglob("predictions/*.jsonl"))}


def test_rows_per_slice_and_overall(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "--model", "base", "--model", "runs/a")
    assert [part for ref, part in found if ref == "base"] == ["numbers", "wording", "all"]
    base, adapter = found["base", "all"], found["runs/a", "all"]
    assert adapter["n"] == 40 and base["difference"] is None
    d = adapter["difference"]
    assert d["value"] == pytest.approx(adapter["accuracy"]["value"] - base["accuracy"]["value"])
    assert d["baseline"] == "base" and d["families"] == 6
    assert d["mcnemar"] < 1e-4 and d["p"] == d["p_holm"] == 2 / 2**6, "six families cannot say more"
    assert d["significant"] and d["detectable"] is None and (adapter["group"], base["group"]) == ("a", "b")
    assert d["interval"]["low"] < d["value"] < d["interval"]["high"]
    assert adapter["accuracy"]["low"] < adapter["accuracy"]["value"] < adapter["accuracy"]["high"]


def test_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate("--model", "base", "--model", "runs/a")
    out = capsys.readouterr().out
    for text in ("numbers", "overall", "accuracy [95 % CI]", "baseline", "a@", "McNemar", "sign-flip test by family"):
        assert text in out


def test_a_second_run_asks_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first = rows(capsys, "--model", "base", "--model", "runs/a")
    before = snapshot()
    monkeypatch.setattr(toy.ToyRuntime, "__init__", lambda *_: pytest.fail("opened a model for nothing"))
    second = rows(capsys, "--model", "base", "--model", "./runs/a")
    assert snapshot() == before
    assert second["./runs/a", "all"]["accuracy"] == first["runs/a", "all"]["accuracy"]


def test_a_larger_sample_keeps_the_smaller(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "--model", "runs/a", "--limit", "10")
    assert {part: row["n"] for (_, part), row in found.items()} == {"numbers": 5, "wording": 5, "all": 10}
    few = {row["id"] for row in read_jsonl(Path(next(iter(snapshot()))))}
    rows(capsys, "--model", "runs/a", "--limit", "25")
    many = [row["id"] for row in read_jsonl(Path(next(iter(snapshot()))))]
    assert len(many) == len(set(many)) == 25 and few < set(many)


def test_sigkill_loses_nothing_and_asks_nothing_twice(here: Path) -> None:
    toy.checkpoint(here / "slow", rate=0.5, delay=0.05)
    code = (
        "from tests.evalsuite_helpers import install; install(); from truemark.cli import run; "
        "run(['eval', 'toy', '--runtime', 'toy', '--model', 'slow'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT), "PATH": ""})
    deadline = time.monotonic() + 60
    while sum(content.count(b"\n") for content in snapshot().values()) < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [(path, before)] = snapshot().items()
    assert 5 <= before.count(b"\n") < 40
    with Path(path).open("ab") as stream:
        stream.write(before[:100])  # and the last line cut in half
    evaluate("--model", "slow")
    after = Path(path).read_bytes()
    assert after.startswith(before)
    ids = [row["id"] for row in read_jsonl(Path(path))]
    assert len(ids) == len(set(ids)) == 40


def test_a_full_disk_is_said_and_the_next_run_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = os.write
    written = 0

    def full(descriptor: int, content: bytes) -> int:
        nonlocal written
        written += 1
        if written > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[: 100 if written == 10 else None])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        evaluate("--model", "base", code=2)
    assert "base: no space left while writing results/toy/predictions/base" in capsys.readouterr().err
    evaluate("--model", "base")
    err = capsys.readouterr().err
    assert "cut by an interruption" in err and "31 of 40 to answer" in err


def test_one_model_that_fails_does_not_lose_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    toy.checkpoint(Path("broken"), rate=0.5, broken=True)
    toy.checkpoint(Path("dies"), rate=0.5, fail_at=20)
    refs = [word for ref in ("broken", "base", "no-such", "dies", "runs/a") for word in ("--model", ref)]
    found = rows(capsys, *refs, code=2)
    assert {ref for ref, _ in found} == {"base", "runs/a"}
    evaluate(*refs, code=2)
    err = capsys.readouterr().err
    assert "broken: toy failed: RuntimeError: size mismatch" in err
    assert "dies: toy failed: RuntimeError: out of memory" in err
    assert "no-such: no model 'no-such'" in err
    assert "baseline broken has no scores: compared with base" in err
    assert len(read_jsonl(next(Path("results").rglob("predictions/dies*.jsonl")))) == 19


def test_an_adapter_that_answers_like_its_base_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    toy.adapter(Path("runs/same"), Path("base"), rate=0.1)
    found = rows(capsys, "--model", "base", "--model", "runs/same", "--model", "runs/a", code=1)
    assert {ref for ref, _ in found} == {"base", "runs/a"}
    evaluate("--model", "runs/same", code=1)
    assert "this eval ran the base: all 40 answers of same@" in capsys.readouterr().err
    assert not list(Path("results").rglob("scores/*/same*"))


def test_same_model_twice_is_evaluated_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "--model", "base", "--model", "./base", "--model", "base")
    assert {ref for ref, _ in found} == {"base"}


def test_a_base_is_told_the_prompt_that_an_adapter_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, set[str]] = {}
    answer = toy.ToyRuntime.generate

    def spy(self: toy.ToyRuntime, prompts: Any, sampling: Any) -> Any:
        asked[str(self.skill["rate"])] = {messages[0]["role"] for messages in prompts}
        assert all(messages[-1]["role"] == "user" for messages in prompts)
        return answer(self, prompts, sampling)

    monkeypatch.setattr(toy.ToyRuntime, "generate", spy)
    evaluate("--model", "base", "--model", "runs/a")
    assert asked == {"0.1": {"system"}, "0.8": {"user"}}


def test_scores_come_from_predictions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed check needs no new answer."""
    evaluate("--model", "runs/a")
    monkeypatch.setattr(toy, "check", lambda text, example: toy.Verdict(1.0, True, "ok"))
    monkeypatch.setattr(toy.ToyRuntime, "__init__", lambda *_: pytest.fail("opened a model to score"))
    evaluate("--model", "runs/a")
    evaluation = Evaluation.model_validate_json(next(Path("results").rglob("scores/*/a@*.json")).read_bytes())
    assert all(verdict.passed for verdict in evaluation.verdicts)


def test_a_changed_test_set_is_named_and_asked_anew(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate("--model", "runs/a")
    data = toy.examples(40)
    data[3]["messages"][0]["content"] = "7 + 7"
    write_jsonl(Path("data/toy/test.jsonl"), [dict(example) for example in data[:39]])
    evaluate("--model", "runs/a")
    err = capsys.readouterr().err
    assert "the test set has changed: 1 stored answers (first 'toy-3')" in err
    assert "1 stored answers (first 'toy-39') are to examples that this test set does not have" in err
    assert "1 of 39 to answer" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[4]], "1 ids occur more than once, first 'toy-4'"),
        (lambda rows: [], "is empty"),
        (lambda rows: [rows[0], {"id": "x"}], "example 2: expected 'messages' to be list, found nothing"),
        (lambda rows: [{**rows[0], "reference": 4}], "expected 'reference' to be str, found int"),
        (lambda rows: [{**rows[0], "messages": []}], "no message of the user"),
        (lambda rows: [{**rows[0], "messages": [{"role": "user"}]}], "expected messages of"),
    ],
)
def test_a_bad_test_set_is_refused(change: Any, message: str) -> None:
    write_jsonl(Path("data/toy/test.jsonl"), change([dict(example) for example in toy.examples(6)]))
    with pytest.raises(InvalidData, match=message):
        evaluate("--model", "base")
    assert not Path("results").exists()


def test_wrong_names() -> None:
    with pytest.raises(UnknownName, match="did you mean 'toy'"):
        cli.run(["eval", "toi", "--model", "base"])
    with pytest.raises(UnknownName, match="did you mean 'torch'"):
        cli.run(["eval", "toy", "--model", "base", "--runtime", "torsh"])
    with pytest.raises(InvalidData, match="no data at"):
        evaluate("--model", "base", "--data", "elsewhere.jsonl")
    evaluate("--model", "base")
    with pytest.raises(ModelNotFound, match="was not evaluated on this test set: there are base"):
        cli.run(["leaderboard", "--baseline", "runs/b"])
