"""`truemark demo` on the command line: what it finds, what it refuses, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, truemark
from tests.demos_helpers import answers, free_port, speaking, wait_until
from truemark import artifacts, background, shelf
from truemark.errors import EngineError, ModelNotFound


def make(path: Path, **fields: Any) -> None:
    """An artifact directory with nothing but a manifest that says `fields`."""
    manifest = {"kind": "adapter", "domain": "math", "format": "peft", "name": path.name, **fields}
    created = manifest.pop("created")
    base = artifacts.Base(ref="smollm2-135m", sha256="0" * 64)
    content = artifacts.Manifest(**manifest, base=base, created=created)
    path.mkdir(parents=True)
    (path / artifacts.MANIFEST).write_text(content.model_dump_json())


def test_what_was_trained_here_comes_before_what_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shelf, "SHELVES", shelf.SHELVES[:2])
    with pytest.raises(ModelNotFound, match="no math adapter") as caught:
        shelf.newest_adapter("math")
    assert caught.value.mend == "truemark train math"
    make(tmp_path / "adapters" / "shipped", created="2026-01-08T00:00:00+00:00")
    assert shelf.newest_adapter("math") == Path("adapters/shipped")
    make(tmp_path / "runs" / "old", created="2026-01-01T00:00:00+00:00")
    make(tmp_path / "runs" / "new", created="2026-01-03T00:00:00+00:00")
    make(tmp_path / "runs" / "other", created="2026-01-09T00:00:00+00:00", domain="asp")
    make(tmp_path / "runs" / "old.fp16", created="2026-01-09T00:00:00+00:00", kind="export", format="fp16")
    make(tmp_path / "runs" / "half", created="2026-01-09T00:00:00+00:00")
    (tmp_path / "runs" / "half" / artifacts.MANIFEST).write_text('{"kind": "adap')
    assert shelf.newest_adapter("math") == Path("runs/new")


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    unknown = truemark("demo", "mth", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "did you mean 'math'?" in unknown.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = truemark("demo", "math", "--no-browser", "--port", str(port), cwd=tmp_path)
    assert busy.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in busy.stderr
    assert "truemark demo --port" in busy.stderr
    down = truemark("demo", "--no-browser", "--port", str(free_port()), "--url", "http://127.0.0.1:9/v1", cwd=tmp_path)
    assert down.returncode == 2
    assert "no server answers" in down.stderr
    for run in (unknown, busy, down):
        assert "Traceback" not in run.stderr


def test_a_server_that_ends_at_once_is_quoted() -> None:
    with (
        pytest.raises(EngineError, match="exit code 2") as caught,
        background.server(["serve", "--no-such"], "http://127.0.0.1:9/"),
    ):
        pass
    assert "--no-such" in caught.value.message


def test_runs_until_it_is_told_to_end(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    with speaking(says={"math": "x", "smollm2-135m": "y"}) as speaker:
        command = [sys.executable, "-m", "truemark", "demo", "math", "--no-browser"]
        process = subprocess.Popen(
            [*command, "--port", str(port), "--url", speaker.url],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: process.poll() is not None or answers(address), 120)
            page = httpx.get(address).text
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, said
    assert f"demo: {address}" in said
    assert "Traceback" not in said
    assert "<title>" in page or "gradio" in page
    assert list(tmp_path.iterdir()) == []  # nothing left where the user stands
