"""lm-evaluation-harness: our domains as its tasks, its results in ours. What runs it for real is slow."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from domains import get
from domains.base import question
from domains.lm_eval import write_task
from evalsuite import harness
from evalsuite.run import model_of
from tests import tiny
from truemark.errors import EngineError, InvalidData, MissingDependency, ModelNotFound
from truemark.files import write_jsonl
from truemark.models import resolve

needs_lm_eval = pytest.mark.skipif(
    not (os.environ.get(harness.PYTHON) or importlib.util.find_spec("lm_eval")),
    reason="lm_eval is not installed: pip install 'truemark[harness]'",
)
MATH = get("math")
EXAMPLES = MATH.build(7, 40, ["basics"])["test"][:6]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "test.jsonl", [dict(example) for example in EXAMPLES])
    return write_task(MATH, tmp_path / "test.jsonl", tmp_path / "tasks").parent


def test_a_task_holds_the_test_set_and_calls_the_check(tasks: Path) -> None:
    folder = tasks / "truemark_math"
    text = (folder / "truemark_math.yaml").read_text()
    config = yaml.safe_load(text.replace("!function ", ""))
    assert config["description"] == MATH.SYSTEM_PROMPT and config["task"] == "truemark_math"
    names: dict[str, object] = {"__file__": str(folder / "truemark_math.py")}
    exec(compile((folder / "truemark_math.py").read_text(), "task", "exec"), names)
    rows = names["dataset"]()["test"]  # type: ignore[operator]
    assert [row["question"] for row in rows] == [question(example) for example in EXAMPLES]
    right = names["process_results"](rows[0], [EXAMPLES[0]["messages"][-1]["content"]])  # type: ignore[operator]
    assert right == {"passed": 1.0, "score": 1.0}
    assert names["process_results"](rows[0], ["no idea"])["passed"] == 0.0  # type: ignore[operator]


def test_conversations_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room = get("asp")
    examples = room.build(7, 40)["test"]
    single = [example for example in examples if sum(m["role"] != "system" for m in example["messages"]) == 2]
    write_jsonl(tmp_path / "test.jsonl", [dict(example) for example in examples])
    folder = write_task(room, tmp_path / "test.jsonl", tmp_path / "tasks")
    assert len((folder / "test.jsonl").read_text().splitlines()) == len(single) < len(examples)
    assert f"left out {len(examples) - len(single)} of {len(examples)}" in capsys.readouterr().err


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = resolve("rule:copy")
    with pytest.raises(InvalidData, match="the name of an lm_eval task"):
        harness.run(rule, model_of(rule), "math", ["gsm8k --model_args x"], tmp_path)
    with pytest.raises(ModelNotFound, match="lm_eval cannot open rule"):
        harness.run(rule, model_of(rule), "math", ["gsm8k"], tmp_path)
    monkeypatch.delenv(harness.PYTHON, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency) as caught:
        harness.python()
    assert "truemark[harness]" in str(caught.value.mend)
    (tmp_path / "math" / "harness").mkdir(parents=True)
    (tmp_path / "math" / "harness" / "x.json").write_text('{"rows": 3}')
    with pytest.raises(InvalidData, match="is no run of lm_eval"):
        harness.runs(tmp_path, "math")


class Gold(BaseHTTPRequestHandler):
    """Knows every second answer."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = {question(example): example["messages"][-1]["content"] for example in EXAMPLES[::2]}
        text = answers.get(body["messages"][-1]["content"], "no idea")
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        content = json.dumps(
            {"id": "1", "object": "chat.completion", "model": body["model"], "choices": [choice]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Gold) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        yield
        server.shutdown()


@pytest.mark.slow
@needs_lm_eval
def test_an_endpoint_that_knows_half_scores_half(tasks: Path, tmp_path: Path, endpoint: None) -> None:
    ref = resolve("openai:half")
    found = harness.run(ref, model_of(ref), "math", ["truemark_math"], tmp_path / "results", include=tasks)
    assert {(row.metric, row.value, row.n) for row in found.rows} == {("passed", 0.5, 6), ("score", 0.5, 6)}
    assert found.lm_eval.startswith("0.4.") and "truemark_math" in found.command
    assert harness.runs(tmp_path / "results", "math") == [found]
    assert "0.500 ± " in harness.table([found])


@pytest.mark.slow
@needs_lm_eval
def test_a_checkpoint_is_opened_once_and_an_unknown_task_is_said(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = resolve(str(tiny.checkpoint(tmp_path / "tiny")))

    def run() -> harness.HarnessRun:
        return harness.run(ref, model_of(ref), "math", ["truemark_math"], tmp_path / "results", limit=2, include=tasks)

    found = run()
    assert {row.n for row in found.rows} == {2} and all(row.value == 0 for row in found.rows)
    monkeypatch.setattr(harness, "_call", lambda words: pytest.fail("asked twice"))
    assert run() == found
    monkeypatch.undo()
    with pytest.raises(EngineError, match="lm_eval ended with"):
        harness.run(ref, model_of(ref), "math", ["no_such_task"], tmp_path / "results", include=tasks)
