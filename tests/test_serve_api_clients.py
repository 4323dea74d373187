"""Other people's clients, unchanged, against a real llama-server on a tiny model: Node, LangChain, `llm`, lm-eval.

Each runs in a process of its own. LangChain and `llm` come from this environment or from the one whose Python
TRUEMARK_CLIENTS names; lm-eval as for `truemark eval --lm-eval`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from domains import get
from domains.lm_eval import write_task
from evalsuite import harness
from evalsuite.run import model_of
from tests.serve_api_helpers import HELLO, Gateway, running, tiny_catalog
from truemark.files import publish_directory, sha256_file, write_jsonl
from truemark.models import resolve
from truemark.settings import cache_dir

HERE = Path(__file__).parent
LOCK = HERE / "node" / "openai" / "package-lock.json"
CLIENTS = "TRUEMARK_CLIENTS"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tiny_catalog(tmp_path_factory)) as made:
        yield made


def chat(gateway: Gateway, n: int = 10) -> str:
    answer = gateway.client.chat.completions.create(model="one", messages=HELLO, max_tokens=n, temperature=0)
    return answer.choices[0].message.content or ""


def complete(gateway: Gateway) -> str:
    return gateway.client.completions.create(model="one", prompt="3x + 7", max_tokens=5, temperature=0).choices[0].text


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a client."""
    without_keys = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "LANG"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd, env=without_keys | environment, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def clients_python(module: str) -> str:
    """The interpreter that has `module`."""
    if other := os.environ.get(CLIENTS):
        return other
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed here, and {CLIENTS} names no other Python")
    return sys.executable


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """`openai` as package-lock.json pins it, installed once in the cache."""
    out = cache_dir() / f"openai-node-{sha256_file(LOCK)[:12]}"
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("the Node client needs node and npm")
    if not out.is_dir():
        try:
            with publish_directory(out) as tmp:
                for name in ("package.json", "package-lock.json"):
                    shutil.copyfile(LOCK.with_name(name), tmp / name)
                npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
                subprocess.run(npm, cwd=tmp, check=True, timeout=600, capture_output=True)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"openai for Node cannot be installed here: {error}")
    return out / "node_modules"


@pytest.mark.xdist_group("node")
def test_the_official_client_for_node(gateway: Gateway, node_modules: Path, tmp_path: Path) -> None:
    shutil.copyfile(LOCK.with_name("client.mjs"), tmp_path / "client.mjs")
    (tmp_path / "node_modules").symlink_to(node_modules)
    said: dict[str, Any] = json.loads(run("node", "client.mjs", gateway.url, "one", cwd=tmp_path))
    assert said["models"] == ["one", "two", "base"]
    assert said["texts"] == [chat(gateway)] * 2
    assert said["streamed"] == said["whole"] == chat(gateway)
    assert said["usage"]["completion_tokens"] == 10 and said["logprobs"] > 0
    assert 0 <= said["parsed"]["x"] <= 99
    assert said["completion"] == complete(gateway)
    assert said["errors"] == [
        ["NotFoundError", 404, "model_not_found", "model", True],
        ["BadRequestError", 400, "unsupported", None, True],
        ["BadRequestError", 400, "invalid_value", "temperature", True],
    ]


def test_langchain(gateway: Gateway, tmp_path: Path) -> None:
    python = clients_python("langchain_openai")
    said: dict[str, Any] = json.loads(
        run(python, HERE / "clients" / "with_langchain.py", gateway.url, "one", cwd=tmp_path)
    )
    assert said["invoke"] == said["stream"] == chat(gateway) and said["finish"] == "length"
    assert said["batch"] == [chat(gateway)] * 2
    assert sum(said["usage"]) == 10 and said["logprobs"] > 0
    assert 0 <= said["parsed"] <= 99
    assert said["completion"] == said["batch_of_completions"] == complete(gateway)


def test_llm(gateway: Gateway, tmp_path: Path) -> None:
    row = {"model_id": "tiny", "model_name": "one", "api_base": gateway.url}
    (tmp_path / "extra-openai-models.yaml").write_text(
        yaml.safe_dump([row, row | {"model_id": "raw", "completion": True}])
    )
    options = ["-o", "max_tokens", "10", "-o", "temperature", "0", "--no-log"]
    python = clients_python("llm")
    for stream in ([], ["--no-stream"]):
        words = [python, "-m", "llm", "prompt", "-m", "tiny", HELLO[0]["content"], *options, *stream]
        assert run(*words, cwd=tmp_path, LLM_USER_PATH=str(tmp_path)).rstrip("\n") == chat(gateway).rstrip("\n")
    schema = (
        '{"type": "object", "properties": {"x": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["x"]}'
    )
    row["supports_schema"] = True  # type: ignore[assignment]
    (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump([row]))
    words = [
        python,
        "-m",
        "llm",
        "prompt",
        "-m",
        "tiny",
        "hi",
        "--schema",
        schema,
        *options[:1],
        "max_tokens",
        "60",
        "--no-log",
    ]
    assert set(json.loads(run(*words, cwd=tmp_path, LLM_USER_PATH=str(tmp_path)))) == {"x"}


@pytest.mark.skipif(
    not (os.environ.get(harness.PYTHON) or importlib.util.find_spec("lm_eval")),
    reason="lm_eval is not installed: pip install 'truemark[harness]'",
)
def test_lm_evals_local_chat_completions(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", gateway.url)
    math = get("math")
    write_jsonl(tmp_path / "test.jsonl", [dict(example) for example in math.build(7, 40, ["basics"])["test"][:3]])
    tasks = write_task(math, tmp_path / "test.jsonl", tmp_path / "tasks").parent
    ref = resolve("openai:one")
    found = harness.run(ref, model_of(ref), "math", ["truemark_math"], tmp_path / "results", include=tasks)
    assert "local-chat-completions" in found.command
    assert {(row.metric, row.n) for row in found.rows} == {("passed", 3), ("score", 3)}
