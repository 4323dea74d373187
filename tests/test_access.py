"""Gated and missing models: explained before a download and after a refusal, against a real HTTP server that answers as the Hub does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import ROOT, truemark
from truemark import access, models
from truemark.errors import ModelNotFound

ANSWERS = {
    "meta-llama": (401, "GatedRepo", "Access to model is restricted"),
    "waiting": (403, "GatedRepo", "Your request is awaiting a review"),
    "nobody": (404, "RepoNotFound", "Repository not found"),
    "broken": (500, "", "oops"),
}


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            owner = next((name for name in ANSWERS if f"/{name}/" in self.path), "nobody")
            status, code, words = ANSWERS[owner]
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", words)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


EXPECTED = {
    "waiting/for-it": ["waiting/for-it is gated", "no access yet", "hf auth login"],
    "nobody/nothing": ["the Hub has no nobody/nothing, or it is private"],
    "broken/model": ["cannot fetch broken/model"],
    "not a name": ["expected OWNER/NAME"],
}


def test_a_gated_model_is_refused(hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["Llama 3.2 Community License", "you are not logged in", "hf auth login", "accept the licence"]
    _pull(monkeypatch, tmp_path, hub, "meta-llama/Llama-3.2-1B-Instruct", words)


def test_what_else_the_hub_answers(hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process of its own: the client reads its endpoint from the environment once."""
    _elsewhere(monkeypatch, tmp_path, hub)
    script = (
        "import sys\nfrom truemark.cli import run\nfrom truemark.errors import ModelNotFound\n"
        "for name in sys.argv[1:]:\n"
        "    try: run(['models', 'pull', 'hf:' + name])\n"
        "    except ModelNotFound as error: print('=' + name, error, sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *EXPECTED]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    told = dict(part.split("\n", 1) for part in result.stdout.split("=")[1:])
    for name, expected in EXPECTED.items():
        for words in expected:
            assert words in told[name], told[name]


def test_a_pull_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _pull(monkeypatch, tmp_path, "http://127.0.0.1:9", "google/gemma-3-270m-it", ["the Hub cannot be reached"])
    assert out.index("Gemma Terms of Use") < out.index("error:"), "what is asked is said before the download"


def _elsewhere(monkeypatch: pytest.MonkeyPatch, home: Path, endpoint: str) -> None:
    values = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    for key, value in values.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def _pull(monkeypatch: pytest.MonkeyPatch, home: Path, endpoint: str, name: str, expected: list[str]) -> str:
    _elsewhere(monkeypatch, home, endpoint)
    result = truemark("models", "pull", f"hf:{name}", cwd=home)
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    for words in expected:
        assert words in result.stderr, result.stderr
    return result.stderr


def test_training_on_a_gated_model_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "train.jsonl").write_text("{}\n")
    result = truemark(
        "train", "math", "--set", "base=hf:meta-llama/Llama-3.1-8B-Instruct", "--data", "train.jsonl", cwd=tmp_path
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr
    for words in (
        "not in the local Hub cache",
        "Llama 3.1 Community License",
        "hf auth login",
        "truemark models pull hf:meta-llama/Llama-3.1-8B-Instruct",
    ):
        assert words in result.stderr, result.stderr


def test_families() -> None:
    for name, licence in {
        "meta-llama/Meta-Llama-3-8B-Instruct": "Meta Llama 3 Community License", "meta-llama/Llama-3.3-70B-Instruct": "Llama 3.3 Community License",
        "meta-llama/Meta-Llama-3.1-8B": "Llama 3.1 Community License", "google/gemma-2-2b": "Gemma Terms of Use",
    }.items():  # fmt: skip
        assert access.family(name).licence == licence  # type: ignore[union-attr]
    assert access.family("Qwen/Qwen2.5-7B-Instruct") is None
    with pytest.raises(ModelNotFound, match="not in the local Hub cache") as error:
        models.resolve("hf:Qwen/Qwen2.5-0.5B-nowhere")
    assert error.value.mend == "truemark models pull hf:Qwen/Qwen2.5-0.5B-nowhere"
    assert (ROOT / "truemark" / "gated.yaml").is_file()
