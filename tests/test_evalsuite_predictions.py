"""Nothing lost, nothing asked twice, nothing mixed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from evalsuite.predictions import Prediction, PredictionStore, Run
from truemark.errors import InvalidData, TruemarkError
from truemark.runtimes.base import Completion, Sampling

RUN = Run("toy", "runs/a", "a@0123", "aa" * 32, "torch", Sampling())


def row(id: str, text: str = "x = 5", run: Run = RUN) -> Prediction:
    return Prediction.of(run, id, f"sha-{id}", "ee" * 32, Completion(text, "stop", (1, 2), 9, "pp", 0.5))


@pytest.fixture
def store(tmp_path: Path) -> PredictionStore:
    return PredictionStore(tmp_path, RUN)


def fill(store: PredictionStore, *rows: Prediction) -> None:
    with store.appending() as (_, append):
        for one in rows:
            append(one)


@pytest.mark.parametrize("text", ["x = 5", "", "a\nb\r\n\u2028c\x00", "é 🙂", '{"key": 1}\n', "y" * 200_000])
def test_what_is_written_is_read(store: PredictionStore, text: str) -> None:
    fill(store, row("1", text), row("2"))
    assert [one.text for one in store.read().values()] == [text, "x = 5"]


def test_a_lone_surrogate_becomes_a_question_mark(store: PredictionStore) -> None:
    fill(store, row("1", "a\ud800b"))
    assert store.read()["sha-1"].text == "a?b"


def test_address_is_content(store: PredictionStore, tmp_path: Path) -> None:
    fill(store, row("1"))
    other_name = dataclasses.replace(RUN, ref="./runs/a", label="./runs/a")
    assert "sha-1" in PredictionStore(tmp_path, other_name).read()
    for change in (
        {"model_sha256": "bb" * 32},
        {"engine": "llamacpp"},
        {"sampling": Sampling(max_tokens=8)},
        {"system": "Be brief."},
        {"domain": "asp"},
    ):
        assert PredictionStore(tmp_path, dataclasses.replace(RUN, **change)).read() == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [1, 40, -2])
def test_a_cut_last_line_is_asked_again(store: PredictionStore, kept: int, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, row("1"), row("2"))
    whole = store.path.read_bytes()
    first, second = whole.splitlines(keepends=True)
    store.path.write_bytes(first + second[:kept])
    assert list(store.read()) == ["sha-1"]
    with store.appending() as (done, append):
        assert list(done) == ["sha-1"]
        append(row("2"))
    assert store.path.read_bytes() == whole
    assert "cut by an interruption" in capsys.readouterr().err


def test_a_whole_line_without_its_newline_is_kept(store: PredictionStore) -> None:
    fill(store, row("1"), row("2"))
    store.path.write_bytes(store.path.read_bytes()[:-1])
    assert list(store.read()) == ["sha-1", "sha-2"]
    fill(store, row("3"))
    assert list(store.read()) == ["sha-1", "sha-2", "sha-3"]


def test_a_bad_line_in_the_middle_is_named(store: PredictionStore) -> None:
    fill(store, row("1"), row("2"))
    lines = store.path.read_text().splitlines()
    store.path.write_text("\n".join([lines[0], lines[0][:50], lines[1]]) + "\n")
    with pytest.raises(InvalidData, match=r"jsonl:2: expected a prediction") as caught:
        store.read()
    assert caught.value.mend and "sed -i 2d" in caught.value.mend


def test_predictions_of_another_run_are_refused(store: PredictionStore) -> None:
    fill(store, row("1"), row("2", run=dataclasses.replace(RUN, label="b@4567", model_sha256="bb" * 32)))
    with pytest.raises(InvalidData, match=r"jsonl:2: a prediction of b@4567"):
        store.read()


def test_an_edited_example_hash_is_refused(store: PredictionStore) -> None:
    fill(store, row("1"))
    edited = json.loads(store.path.read_text()) | {"example_sha256": "sha-2"}
    store.path.write_text(json.dumps(edited) + "\n")
    with pytest.raises(InvalidData, match="jsonl:1: a prediction of"):
        store.read()


def test_the_same_row_twice_is_one_and_a_contradiction_is_named(store: PredictionStore) -> None:
    fill(store, row("1"), row("1"))
    assert list(store.read()) == ["sha-1"]
    fill(store, row("1", "x = 6"))
    with pytest.raises(InvalidData, match="jsonl:3: a second, different answer to '1'"):
        store.read()


def test_two_writers_at_once_are_refused(store: PredictionStore, tmp_path: Path) -> None:
    with store.appending(), pytest.raises(TruemarkError, match="another process is writing"):
        fill(PredictionStore(tmp_path, RUN), row("1"))
    fill(store, row("1"))
