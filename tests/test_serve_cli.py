"""`truemark serve` as a process: what it prints, what it refuses, and that nothing outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, truemark
from tests.serve_helpers import children, runs, tiny_models, wait_until


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


@contextmanager
def serving(home: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running `truemark serve` with one adapter on a free port, and what it printed when ready."""
    command = [sys.executable, "-m", "truemark", "serve", "--adapter", f"one={home / 'one'}", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, *more],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_server_and_engine(home: Path, number: int, code: int) -> None:
    with serving(home) as (process, said):
        assert [row["id"] for row in said["models"]] == ["one", "base"]
        assert httpx.get(said["url"].replace("/v1", "/health")).json()["status"] == "ok"
        (engine,) = children(process.pid)
        process.send_signal(number)
        assert process.wait(15) == code
        assert not runs(engine)


def test_a_running_answer_ends_before_the_server(home: Path) -> None:
    with serving(home) as (process, said):
        body = {"model": "one", "messages": [{"role": "user", "content": "x"}], "max_tokens": 400, "stream": True}
        with httpx.stream("POST", f"{said['url']}/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            assert list(lines)[-2] == "data: [DONE]"
        assert process.wait(15) == 0


def test_the_engine_does_not_outlive_a_killed_server(home: Path) -> None:
    with serving(home) as (process, _):
        (engine,) = children(process.pid)
        process.kill()
        process.wait()
        assert wait_until(lambda: not runs(engine), 5)
        left = Path(tempfile.gettempdir()) / "truemark-engine-"
        assert list(left.parent.glob(f"{left.name}{process.pid}-*"))
    with serving(home):  # the next one sweeps
        assert not list(left.parent.glob(f"{left.name}{process.pid}-*"))


def test_a_port_in_use_is_said_before_any_engine_starts(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        run = truemark("serve", "--adapter", f"one={home / 'one'}", "--port", str(port), cwd=home)
    assert run.returncode == 2
    assert f"error: port {port} of 127.0.0.1 is in use" in run.stderr
    assert f"--port {port + 1}" in run.stderr
    assert "starting" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "truemark keys create NAME"),
        (["--adapter", "nonsense"], "expected NAME=PATH"),
        (["--adapter", "math=runs/nowhere"], "no model 'runs/nowhere'"),
        (["--engine", "vlm"], "unknown engine 'vlm'"),
        (["--port", "99999"], "--port"),
        (["--base", "rule:copy"], "serves a base as GGUF"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    run = truemark("serve", "--port", "0", *arguments, cwd=tmp_path)
    assert run.returncode == 2
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_what_is_printed_when_ready_can_be_typed(home: Path) -> None:
    """The curl line and the Python snippet work as they stand."""
    process = subprocess.Popen(
        [sys.executable, "-m", "truemark", "serve", "--adapter", f"one={home / 'one'}", "--port", "0"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
        text = "".join(lines)
        assert "applied: moves the next token by" in text
        curl = next(line for line in lines if line.startswith("curl "))
        answer = subprocess.run(curl, shell=True, capture_output=True, text=True, timeout=60, check=True)
        assert json.loads(answer.stdout)["model"] == "one"
        snippet = text[text.index("from openai import") :]
        answer = subprocess.run(
            [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=120, check=True
        )
        assert answer.stdout.strip()
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close() if process.stdout else None
