"""`--executor ray`: on two nodes of a cluster the same bytes come out as here, and one budget holds for all."""

from __future__ import annotations

import json
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import domains
from domains.base import question
from evalsuite import executor
from evalsuite.data import example_sha256, sample
from evalsuite.executor import RayHttpRuntime
from evalsuite.scoring import measure_files
from tests.evalsuite_texts import answer
from truemark import cli
from truemark.errors import MissingDependency, TruemarkError, UnknownName
from truemark.files import read_jsonl, write_jsonl
from truemark.models import resolve
from truemark.runtimes.base import Sampling
from truemark.runtimes.retries import Budget, BudgetSpent, NoAnswer

NAMES = ("accuracy", "bleu", "rouge_l", "self_bleu", "calibration", "latency_p95")


def test_an_unknown_executor_and_one_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="did you mean 'ray'"):
        executor.named("rey")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingDependency) as caught:
        executor.named("ray")
    assert "truemark[ray]" in str(caught.value.mend)
    assert executor.named("local") == "local"


def test_errors_survive_the_way_from_another_process() -> None:
    for error in (UnknownName("metric", "bleo", ["bleu"], mend="x"), NoAnswer("m", mend="y", again=True, after=2.0)):
        found = pickle.loads(pickle.dumps(error))
        assert (type(found), str(found)) == (type(error), str(error))


@pytest.mark.slow
def test_no_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'truemark[ray]'")
    if ray.is_initialized():
        pytest.skip("connected to the cluster of the tests above")
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(TruemarkError, match="no Ray cluster"), executor.cluster():
        pass


class Half(BaseHTTPRequestHandler):
    """Knows every second answer; of some questions it says nothing at first, or never."""

    answers: dict[str, str]
    asked: Counter[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        self.asked[text] += 1
        if text.startswith("never") or (self.asked[text] == 1 and len(text) % 5 == 0):
            self.send_error(503)
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": self.answers.get(text, "no idea")}, "finish_reason": "stop"}  # fmt: skip
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        content = json.dumps({"id": "1", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine, of one processor each."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'truemark[ray]'")
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False})  # fmt: skip
    nodes.add_node(num_cpus=1, object_store_memory=100_000_000)
    patch.setenv("RAY_ADDRESS", nodes.address)
    nodes.wait_for_nodes()
    with executor.cluster():
        yield ray
    nodes.shutdown()
    patch.undo()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Half]]:
    examples = domains.get("devops").build(7, 1)["test"]
    Half.answers = {question(one): one["messages"][-1]["content"] for one in examples[::2]}
    Half.asked = Counter()
    with ThreadingHTTPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        yield Half
        server.shutdown()


def write_run(folder: Path, n: int) -> tuple[Path, Path]:
    """A test set of the devops domain and half right answers to it."""
    stock = domains.get("devops").build(7, 1)["test"]
    rows, predictions = [], []
    for number in range(n):
        example = {**stock[number % len(stock)], "id": f"q{number}"}
        gold = example["messages"][-1]["content"]
        text = gold if number % 2 else f"{gold} perhaps\nConfidence: {number % 100}%"
        row = answer(text, gold, id=f"q{number}", seconds=(number % 7) / 3).prediction
        rows.append(dict(example))
        predictions.append(row.model_copy(update={"example_sha256": example_sha256(example)}).model_dump())
    write_jsonl(folder / "test.jsonl", rows)
    write_jsonl(folder / "run.jsonl", predictions)
    return folder / "test.jsonl", folder / "run.jsonl"


@pytest.mark.slow
def test_scores_are_the_same_bytes(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test, run = write_run(tmp_path, 1300)
    command = ["score", "devops", str(run), "--data", str(test), "--json", *(word for name in NAMES for word in ("--metric", name))]  # fmt: skip
    assert cli.run(command) == 0
    here = capsys.readouterr().out
    assert cli.run([*command, "--executor", "ray"]) == 0
    assert capsys.readouterr().out == here and json.loads(here)["n"] == 1300
    values = [
        measure_files(NAMES, "devops", test, run, values=True, executor=where).values for where in executor.EXECUTORS
    ]
    assert all(values[0][name].tobytes() == values[1][name].tobytes() for name in values[0])


@pytest.mark.slow
def test_work_is_done_on_both_nodes_and_comes_back_in_order(cluster: Any) -> None:
    found = list(executor.spread(_where, range(40)))
    assert [number for number, _ in found] == list(range(40)) and len({node for _, node in found}) == 2
    with pytest.raises(UnknownName, match="unknown metric"):
        list(executor.spread(_fails, range(3)))


def _where(number: int) -> tuple[int, str]:
    import time

    import ray

    time.sleep(0.05)
    return number, ray.get_runtime_context().get_node_id()


def _fails(number: int) -> None:
    raise UnknownName("metric", "bleo", ["bleu"])


@pytest.mark.slow
def test_an_eval_over_http_says_the_same(
    cluster: Any,
    endpoint: type[Half],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("test.jsonl"), [dict(one) for one in sample(domains.get("devops").build(7, 1)["test"], 40)])
    found, stored = {}, {}
    for where in executor.EXECUTORS:
        words = ["--model", "openai:half", "--data", "test.jsonl", "--results", where, "--executor", where, "--json"]
        assert cli.run(["eval", "devops", *words]) == 0
        [row] = [row for row in json.loads(capsys.readouterr().out)["rows"] if row["slice"] == "all"]
        found[where] = {
            name: value for name, value in row.items() if name not in ("date", "tokens_per_second", "metrics")
        }
        [file] = Path(where).rglob("predictions/*.jsonl")
        rows = sorted(read_jsonl(file), key=lambda one: one["id"])
        stored[where] = json.dumps([{name: value for name, value in one.items() if name != "seconds"} for one in rows])
    assert found["local"] == found["ray"] and stored["local"] == stored["ray"]
    assert 0 < found["ray"]["accuracy"]["value"] < 1


@pytest.mark.slow
def test_one_budget_for_all_nodes_and_reasons_come_back(cluster: Any, endpoint: type[Half]) -> None:
    def ask(budget: Budget, *questions: str) -> list[Any]:
        found = []
        with RayHttpRuntime(resolve("openai:half"), budget=budget, workers=4, timeout=10) as runtime:
            try:
                found += [one for _, one in runtime.attempt([[{"role": "user", "content": text}] for text in questions], Sampling(max_tokens=5))]  # fmt: skip
            except BudgetSpent as error:
                found.append(error)
        return found

    spent = Budget(tokens=120)
    found = ask(spent, *(f"ask {number:03d}." for number in range(30)))
    assert isinstance(found[-1], BudgetSpent) and 0 < spent.spent_in + spent.spent_out <= 120
    free = Budget()
    [one] = ask(free, "never answered")
    assert isinstance(one, NoAnswer) and "tries: 5" in one.message and endpoint.asked["never answered"] == 5
