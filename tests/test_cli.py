"""The command line: light, and a user's mistake is one line with its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, truemark
from tests.test_floors import HEAVY
from truemark.cli import VERBS


def test_help_is_light_and_lists_every_verb(tmp_path: Path) -> None:
    code = ("import sys, time; sys.argv = ['truemark', '--help']; from truemark.cli import main\n"
            "try: main()\nexcept SystemExit: pass\n"
            "import json; print(json.dumps([time.process_time(), sorted({name.split('.')[0] for name in sys.modules})]), file=sys.stderr)")  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(4)
    ]
    for verb in VERBS:
        assert f"\n  {verb} " in runs[0].stdout
    reports = [json.loads(run.stderr.splitlines()[-1]) for run in runs]
    assert not HEAVY & set(reports[0][1])
    assert min(seconds for seconds, _ in reports) < 0.5


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, tmp_path: Path) -> None:
    run = truemark(verb, "--help", cwd=tmp_path)
    assert run.returncode == 0 and "Usage: truemark" in run.stdout


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["trian", "math"], 2, "did you mean 'train'"),
        (["train"], 2, "recipe"),
        (["train", "math", "--lr", "1"], 2, "--lr"),
        (["train", "moth"], 2, "did you mean 'math'"),
        (["train", "math"], 2, "truemark data build math"),
        (["data", "build", "maths"], 2, "did you mean 'math'"),
        (["data", "build", "math", "--n", "0"], 2, "--n"),
        (["export", "nowhere"], 2, "no model 'nowhere'"),
        (["verify", "nowhere"], 2, "no artifact at nowhere"),
        (["eval", "math", "--model", "rule:copy"], 2, "truemark data build math"),
        (["leaderboard"], 2, "truemark eval"),
        (["models", "pull", "smollm2"], 2, "hf:OWNER/NAME"),
        (["ask", "math", "2 + 2?", "--adapter", "nowhere"], 2, "nowhere"),
        (["serve", "--adapter", "math=nowhere"], 2, "nowhere"),
        (["demo", "maths"], 2, "did you mean 'math'"),
    ],
)
def test_mistakes_are_one_line_and_a_code(line: list[str], code: int, words: str, tmp_path: Path) -> None:
    run = truemark(*line, cwd=tmp_path)
    assert run.returncode == code, run.stderr
    assert words in run.stderr and "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    run = truemark("train", "moth", "--debug", cwd=tmp_path)
    assert "Traceback" in run.stderr and "UnknownName" in run.stderr


def test_an_unwritable_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    run = truemark("data", "build", "math", "--n", "5", cwd=tmp_path)
    assert run.returncode == 2 and "cannot write data/math" in run.stderr


def test_interrupt_is_130_and_nothing_half_written(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "truemark", "data", "build", "math", "--n", "14000"], cwd=tmp_path, env=environment,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 130 and "nothing half-written" in message
    assert not list(tmp_path.rglob("*.jsonl"))


def test_models_lists_what_is_here(tmp_path: Path) -> None:
    rows = json.loads(truemark("models", "--json", cwd=tmp_path).stdout)
    assert [row["ref"] for row in rows] == ["smollm2-135m"]


def test_version() -> None:
    from truemark import __version__

    assert truemark("--version", cwd=ROOT).stdout == f"truemark {__version__}\n"


def test_more_data_than_there_are_questions_is_said(tmp_path: Path) -> None:
    run = truemark("data", "build", "math", "--n", "100000", cwd=tmp_path)
    assert run.returncode == 2 and "a smaller --n" in run.stderr and list(tmp_path.iterdir()) == []
