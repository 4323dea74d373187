"""Prediction files as they come back from a crash, an editor or another day: mended where that is certain, else named and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import domains
from evalsuite.predictions import Prediction, PredictionStore, Run
from tests import evalsuite_helpers as toy
from truemark import cli, runtimes
from truemark.errors import InvalidData
from truemark.runtimes.base import Completion, Sampling
from truemark.runtimes.text import prompt_hash


class Rendering(toy.ToyRuntime):
    """The toy with a template: token ids of a prompt are its bytes after those of TEMPLATE."""

    TEMPLATE = "<user>"

    def prompt_ids(self, messages: Sequence[Any]) -> list[int]:
        return list(f"{self.TEMPLATE}{messages[-1]['content']}".encode())

    def _answer(self, question: str) -> Completion:
        ids = self.prompt_ids([{"content": question}])
        return Completion("1", "stop", (1,), len(ids), prompt_hash(ids), 0.01)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten answers; the next run has thirty to ask."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
    monkeypatch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{__name__}:Rendering")
    toy.write_data(Path("data/toy/test.jsonl"))
    toy.checkpoint(Path("base"), rate=0.5)
    assert evaluate("--limit", "10") == 0
    return next(Path("results").rglob("predictions/*.jsonl"))


def evaluate(*words: str) -> int:
    return cli.run(["eval", "toy", "--runtime", "toy", "--model", "base", *words])


def test_answers_to_two_templates_are_not_mixed(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_bytes()
    monkeypatch.setattr(Rendering, "TEMPLATE", "<user> 22 Nov: ")
    assert evaluate() == 2
    assert "was asked with other prompt tokens than its template gives now (11 then, 20 now)" in capsys.readouterr().err
    assert file.read_bytes() == before
    monkeypatch.undo()


def test_another_version_of_the_engine_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Rendering, "describe", lambda self: {"engine": "toy", "version": "2"})
    assert evaluate() == 0
    assert "10 stored answers came from toy in another version" in capsys.readouterr().err


def edited(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        rows = change([json.loads(line) for line in content.splitlines()])
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    return apply


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.replace(b"\n", b"\n\n", 1), "jsonl:2: expected a prediction, found ''"),
        (lambda c: c[:400] + b"\n" + c[400:], "jsonl:1: expected a prediction"),
        (lambda c: b"\xff\xfe" + c, "jsonl:1: expected a prediction"),
        (lambda c: b"[]\n" + c, "jsonl:1: expected a prediction"),
        (edited(lambda rows: [*rows, {**rows[0], "text": "another"}]), "jsonl:11: a second, different answer to"),
        (edited(lambda rows: [{**rows[0], "key": rows[1]["key"]}, *rows[1:]]), "jsonl:1: a prediction of"),
        (edited(lambda rows: [{**rows[0], "text": 3}, *rows[1:]]), "jsonl:1: expected a prediction"),
        (edited(lambda rows: [{**rows[0], "more": 3}, *rows[1:]]), "jsonl:1: expected a prediction"),
    ],
)  # fmt: skip
def test_what_is_no_prediction_is_named(
    file: Path, change: Callable[[bytes], bytes], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(change(file.read_bytes()))
    before = file.read_bytes()
    assert evaluate() == 2
    assert words in capsys.readouterr().err
    assert file.read_bytes() == before


def test_windows_line_ends_and_repeated_rows_are_harmless(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") + content)
    assert evaluate() == 0
    assert len({json.loads(line)["id"] for line in file.read_bytes().splitlines()}) == 40


RUN = Run("toy", "base", "base", "aa" * 32, "toy", Sampling())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 2000), tail=st.binary(max_size=40))
def test_a_file_cut_anywhere_is_mended_or_named(tmp_path: Path, cut: int, tail: bytes) -> None:
    """Never another answer than the one that was written, whatever a crash leaves at the end."""
    store = PredictionStore(tmp_path, RUN)
    store.path.unlink(missing_ok=True)
    rows = [
        Prediction.of(RUN, f"e{n}", f"sha{n}", "ee", Completion(f"answer {n}", "stop", (1,), 3, "pp", 0.1))
        for n in range(3)
    ]
    with store.appending() as (_, append):
        for row in rows:
            append(row)
    content = store.path.read_bytes()
    store.path.write_bytes(content[:cut] + tail)
    try:
        with store.appending() as (done, _):
            found = dict(done)
    except InvalidData:
        return
    assert [row.model_dump_json() for row in found.values()] == [row.model_dump_json() for row in rows[: len(found)]]
    assert len(found) >= content[:cut].count(b"\n")
