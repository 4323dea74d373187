"""Preference, reinforcement, rejection-sampling and teacher methods on a tiny model: what they learn from, and that a kill costs nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from domains import get
from domains.base import Verdict, asked
from domains.passes import pass_at_k
from domains.samples import Settings, draw
from tests import tiny
from train import adapter as adapters
from train import dpo, grpo, rft
from train.methods import Job
from truemark import artifacts, models
from truemark import recipe as recipes
from truemark.errors import EngineError, InvalidConfig, InvalidData, MissingDependency, ModelNotFound, TruemarkError
from truemark.files import read_jsonl, sha256_file, write_jsonl
from truemark.runtimes import open_runtime
from truemark.runtimes.base import Completion

WEIGHTS = "adapter_model.safetensors"


def longish(text: str, example: Any) -> Verdict:
    """About half of a random model's answers pass."""
    return Verdict(1.0, True, "ok") if len(text) % 2 else Verdict(0.0, False, "wrong_value")


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with training data."""
    tiny.shared(tmp_path_factory)
    monkeypatch.setattr(
        adapters, "plot", lambda *_, **__: None
    )  # seconds of matplotlib a run; tests/test_train.py draws it
    rows = get("math").build(3, 20, ["basics"])["train"]
    write_jsonl(tmp_path / "train.jsonl", [dict(row) for row in rows])
    write_jsonl(
        tmp_path / "pairs.jsonl",
        [
            {
                "id": f"p{i}",
                "prompt": asked(row),
                "chosen": row["messages"][-1]["content"],
                "rejected": f"Answer: {i}",
                "meta": {},
            }
            for i, row in enumerate(rows)
        ],
    )
    return tmp_path


def recipe(home: Path, factory: pytest.TempPathFactory, method: str, **changes: Any) -> recipes.Recipe:
    """6 steps on the tiny base; `changes` by section."""
    values: dict[str, Any] = {
        "name": "tiny", "domain": "math", "base": str(tiny.shared(factory) / "base"), "method": method,
        "lora": {"rank": 4, "alpha": 8}, "optim": {"steps": 6, "batch_size": 2, "warmup_steps": 1}, "run": {"save_every": 2, "track": "none"},
    }  # fmt: skip
    for section, change in changes.items():
        values[section] = {**values[section], **change} if isinstance(values.get(section), dict) else change
    (home / "tiny.yaml").write_text(yaml.safe_dump(values))
    return recipes.load(str(home / "tiny.yaml"))


def run(home: Path, wanted: recipes.Recipe, data: str = "train.jsonl", out: str = "out") -> artifacts.Artifact:
    return adapters.train_adapter(wanted, home / data, home / "runs" / out)


def training(artifact: artifacts.Artifact) -> Any:
    return json.loads((artifact.path / "training.json").read_text())


def interrupted_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Ctrl-C in the middle of step `step` of any trainer; the result makes it stop."""
    from transformers import Trainer

    real = Trainer.training_step

    def cut(self: Any, *args: Any, **options: Any) -> Any:
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return real(self, *args, **options)

    monkeypatch.setattr(Trainer, "training_step", cut)
    return lambda: monkeypatch.setattr(Trainer, "training_step", real)


def same_after_interruption(
    home: Path, wanted: recipes.Recipe, monkeypatch: pytest.MonkeyPatch, data: str = "train.jsonl"
) -> artifacts.Artifact:
    """Train twice, once cut off in step 5 (checkpoint at 4): the weights are the same. Returns the uninterrupted one."""
    whole = run(home, wanted, data)
    mend = interrupted_at(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(home, wanted, data, "again")
    assert not (home / "runs" / "again").exists()
    mend()
    again = run(home, wanted, data, "again")
    assert sha256_file(again.path / WEIGHTS) == sha256_file(whole.path / WEIGHTS)
    return whole


# dpo


def test_dpo_tokens_are_those_that_are_served(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tiny.shared(tmp_path_factory)
    from train.network import load_tokenizer

    tokenizer = load_tokenizer(models.resolve(place / "base"), get("math").SYSTEM_PROMPT)
    rows = read_jsonl(home / "pairs.jsonl")[:3]
    with open_runtime(str(place / "tuned")) as runtime:
        runtime.template = tokenizer.chat_template  # type: ignore[attr-defined]
        for pair, row in zip(dpo.pairs(rows, tokenizer), rows, strict=True):
            assert pair.prompt == runtime.prompt_ids(row["prompt"])
            assert tokenizer.decode(pair.chosen) == row["chosen"] + tokenizer.eos_token
            assert tokenizer.decode(pair.rejected) == row["rejected"] + tokenizer.eos_token
    for bad in ({"prompt": "x", "chosen": "a", "rejected": "b"}, {"prompt": rows[0]["prompt"], "chosen": "a"}, {}):
        with pytest.raises(InvalidData, match="expected `prompt`"):
            dpo.pairs([bad], tokenizer)


def test_dpo_widens_the_margin_and_resumes(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = str(tiny.shared(tmp_path_factory) / "tuned")
    wanted = recipe(
        home, tmp_path_factory, "dpo", options={"sft_weight": 0.1}, start=start, optim={"learning_rate": 5e-3}
    )
    log = training(same_after_interruption(home, wanted, monkeypatch, "pairs.jsonl"))["log"]
    assert log[0]["margin"] == pytest.approx(0, abs=1e-5), "the policy begins as its own reference"
    assert log[-1]["margin"] > 0.05 and log[-1]["accuracy"] == 1
    assert not [path for path in (home / "runs" / "out").glob("*") if path.is_dir()], "no reference beside the adapter"


def test_dpo_losses(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for options, losses in (
        ({}, ["sigmoid"]), ({"loss": "ipo"}, ["ipo"]), ({"sft_weight": 0.5}, ["sigmoid", "sft"]), ({"label_smoothing": 0.1}, ["robust"]),
    ):  # fmt: skip
        wanted = recipe(home, tmp_path_factory, "dpo", options=options)
        job = Job(wanted, get("math"), models.resolve(wanted.base), [], [], home)
        assert dpo._arguments(job, job.options(dpo.Options), 3).loss_type == losses


# grpo


def speaks_letters(path: Path) -> Path:
    """A tiny base that answers in the letters of the alphabet: with a whole vocabulary to draw from, no token comes twice to learn from."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny.checkpoint(path)
    letters = AutoTokenizer.from_pretrained(path).convert_tokens_to_ids(list("abcdefghijklmnopqrstuvwxyz"))
    network = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        rows = network.get_input_embeddings().weight
        rows[letters] *= 8  # their logits stand out on either side; the rest stays near zero
    network.save_pretrained(path)
    return path


def test_grpo_raises_a_reward_that_can_be_won_and_resumes(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_jsonl(home / "train.jsonl")
    said = [
        {**row, "id": row["id"] + word, "messages": [*asked(row), {"role": "assistant", "content": word}]}  # type: ignore[arg-type]
        for row in rows
        for word in ("yes", "no")
    ]
    write_jsonl(home / "said.jsonl", said)
    lora = {"rank": 8, "alpha": 16}
    optim = {"learning_rate": 1e-2, "schedule": "constant", "steps": 12, "batch_size": 8}
    start = run(home, recipe(home, tmp_path_factory, "sft", lora=lora, optim=optim), "said.jsonl", "start")
    monkeypatch.setattr(get("math"), "check", lambda text, _: Verdict(float("yes" in text), "yes" in text, "ok"))
    wanted = recipe(
        home, tmp_path_factory, "grpo", start=str(start.path), lora=lora, options={"group": 8, "max_tokens": 4},
        optim={**optim, "steps": 10, "batch_size": 16, "accumulate": 2},
    )  # fmt: skip
    report = training(same_after_interruption(home, wanted, monkeypatch))
    rewards = [entry["reward"] for entry in report["log"]]
    assert sum(rewards[-4:]) / 4 > sum(rewards[:3]) / 3 + 0.1
    assert {"reward", "reward_std", "no_signal", "length", "cut"} <= set(report["log"][0]) and report["last"][
        "length"
    ] <= 4


def test_grpo_updates_twice_on_the_same_answers(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str] = []

    def check(text: str, example: Any) -> Verdict:
        asked_for.append(text)
        return longish(text, example)

    monkeypatch.setattr(get("math"), "check", check)
    options = {"group": 4, "max_tokens": 6, "updates": 2, "loss": "grpo", "ends": 0.5, "beta": 0.01}
    artifact = run(home, recipe(home, tmp_path_factory, "grpo", options=options, optim={"steps": 4, "batch_size": 8}))
    assert len(asked_for) == 2 * 8, "4 steps, 2 samplings of 8 answers"
    assert "kl" in training(artifact)["log"][-1] and not (artifact.path / "ref").exists()


def test_grpo_refuses_what_cannot_be(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for options, words in (
        ({"group": 3}, "multiple of options.group = 3"),
        ({"group": 4, "updates": 3}, "run.save_every 2"),
        ({"group": 4, "use_vllm": True}, "needs a CUDA device"),
        ({"group": 1, "cli": 2}, "2 errors"),
    ):
        with pytest.raises((InvalidConfig, MissingDependency), match=words):
            run(home, recipe(home, tmp_path_factory, "grpo", options=options, optim={"batch_size": 4}))
    with pytest.raises(InvalidConfig, match="leaves 256 tokens"):
        run(home, recipe(home, tmp_path_factory, "grpo", options={"group": 2}, data={"max_length": 64}))


# rft


def test_rft_keeps_what_passed_once_and_resumes(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get("math"), "check", longish)
    start = str(tiny.shared(tmp_path_factory) / "tuned")
    options = {"n": 3, "max_tokens": 6, "questions": 20, "engine": "torch", "gold": False}
    wanted = recipe(home, tmp_path_factory, "rft", start=start, options=options)
    report = training(same_after_interruption(home, wanted, monkeypatch))["samples"]
    assert report["questions"] == 20 and report["asked"] == 60 and 0 < report["kept"] <= report["passed"] < 60
    assert report["pass_at_k"]["1"] == pytest.approx(report["passed"] / 60, abs=1e-4)
    assert report["pass_at_k"]["3"] == pytest.approx(report["solved"] / 20, abs=1e-4)
    assert sum(level["kept"] for level in report["levels"].values()) == report["kept"]


def test_rft_selection() -> None:
    example: Any = {
        "id": "e", "messages": [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "Answer: 7"}],
        "reference": "7", "meta": {"kind": "linear", "level": "basics"},
    }  # fmt: skip

    class Stub:
        def check(self, text: str, example: Any) -> Verdict:
            return Verdict(float(text.startswith("Answer: 7")), text.startswith("Answer: 7"), "ok")

    texts = [
        "Answer: 7",
        "Answer: 7  ",
        "Answer: 8",
        "Answer: 7\nyes",
        "Answer: 7 yes",
        "Answer: 7, of course",
        "",
        "Answer: 7 no",
    ]
    kept, report = rft.select(Stub(), [example], texts, rft.Options(n=8, keep=2))  # type: ignore[arg-type]
    assert [row["messages"][-1]["content"] for row in kept] == ["Answer: 7 no", "Answer: 7\nyes"], (
        "not the gold one, none twice"
    )
    assert report["levels"] == {"basics": {"questions": 1, "asked": 8, "passed": 6, "solved": 1, "kept": 2}}
    assert (
        pass_at_k([1], 4, 1) == 0.25 and pass_at_k([1], 4, 4) == 1 and pass_at_k([2, 0], 4, 2) == pytest.approx(5 / 12)
    )


def test_rft_without_any_pass_says_what_to_do(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get("math"), "check", lambda text, example: Verdict(0.0, False, "wrong_value"))
    wanted = recipe(home, tmp_path_factory, "rft", options={"n": 2, "max_tokens": 4, "questions": 4, "engine": "torch"})
    with pytest.raises(TruemarkError, match="none of 8 answers"):
        run(home, wanted)


class Echo:
    """A runtime that counts what it is asked and answers with its seed."""

    name = "echo"

    def __init__(self, fail_after: int | None = None) -> None:
        self.calls, self.fail_after = 0, fail_after

    def generate(self, prompts: Any, sampling: Any) -> Iterator[tuple[int, Completion]]:
        for index in range(len(prompts)):
            if self.fail_after is not None and self.calls >= self.fail_after:
                raise KeyboardInterrupt
            self.calls += 1
            yield index, Completion(f"seed {sampling.seed + index}", "stop", (1,), 1, "", 0.0)


def test_samples_go_on_where_they_were_cut(home: Path) -> None:
    examples: Any = read_jsonl(home / "train.jsonl")
    settings = Settings(n=2)
    whole = draw(Echo(), examples, home / "a.jsonl", settings, model="m")  # type: ignore[arg-type]
    assert len(whole) == 2 * len(examples)
    with pytest.raises(KeyboardInterrupt):
        draw(Echo(fail_after=36), examples, home / "b.jsonl", settings, model="m")  # type: ignore[arg-type]
    with (home / "b.jsonl").open("a") as stream:
        stream.write('{"id": "cut of')
    rest = Echo()
    assert draw(rest, examples, home / "b.jsonl", settings, model="m") == whole  # type: ignore[arg-type]
    assert rest.calls == len(whole) - 32, "the first block of 16 questions is not asked again"
    assert (home / "a.jsonl").read_bytes() == (home / "b.jsonl").read_bytes()
    with pytest.raises(InvalidData, match="other settings"):
        draw(rest, examples, home / "b.jsonl", Settings(n=2, temperature=0.3), model="m")  # type: ignore[arg-type]


@pytest.mark.slow
def test_both_engines_sample_the_same_model(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Greedy answers of the adapter on disk and of the same one in memory, by llama.cpp and by PyTorch."""
    pytest.importorskip("llama_cpp")
    from train import network, samples
    from truemark.runtimes.base import Sampling

    place = tiny.shared(tmp_path_factory)
    wanted = recipe(home, tmp_path_factory, "rft", start=str(place / "tuned"))
    base, start = models.resolve(place / "base"), models.resolve(place / "tuned")
    (home / "work").mkdir()
    job = Job(wanted, get("math"), base, read_jsonl(home / "train.jsonl"), [], home / "work", start)
    tokenizer = network.load_tokenizer(base, get("math").SYSTEM_PROMPT)
    model = network.load(wanted, base, tokenizer, start)
    prompts = [samples.prompt_ids(tokenizer, asked(row)) for row in job.rows[:4] for _ in range(2)]
    found = []
    for engine, memory in (("torch", None), ("torch", model), ("llamacpp", None), ("llamacpp", model)):
        with samples.open_sampler(job, tokenizer, engine, model=memory) as runtime:  # type: ignore[arg-type]
            found.append([text.text for _, text in sorted(dict(runtime.generate(prompts, Sampling(8))).items())])
    assert found[0] == found[1] and found[2] == found[3], "on disk and in memory"
    same = sum(torch == llama for torch, llama in zip(found[0], found[2], strict=True))
    assert same >= len(prompts) // 2, "but for a tie of a random model that half precision decides otherwise"
    for texts in found:
        assert texts[::2] == texts[1::2], "a prompt that is read once for two answers is read right"


# distill


class Teacher:
    """A real HTTP server that speaks the chat protocol, well or badly."""

    def __init__(self, behave: Callable[[str], Any]) -> None:
        self.asked: list[str] = []
        teacher = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert body["messages"][0]["role"] == "system"
                question = body["messages"][-1]["content"]
                teacher.asked.append(question)
                answer = behave(question)
                status, content = answer if isinstance(answer, tuple) else (200, answer)
                if isinstance(content, str):
                    message = {"role": "assistant", "content": content}
                    content = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "t",
                                          "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()  # fmt: skip
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("x-should-retry", "false")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def gold(home: Path) -> dict[str, str]:
    """The right answer to each question."""
    return {row["messages"][0]["content"]: row["messages"][-1]["content"] for row in read_jsonl(home / "train.jsonl")}


@pytest.fixture
def teach(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[str], Any]], Teacher]]:
    """Starts teachers; without waits between tries."""
    import truemark.runtimes.http

    monkeypatch.setattr(truemark.runtimes.http, "RETRIES", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running: list[Teacher] = []

    def start(behave: Callable[[str], Any]) -> Teacher:
        running.append(Teacher(behave))
        return running[-1]

    yield start
    for teacher in running:
        teacher.close()


def test_distill_keeps_what_the_check_passes_and_asks_nothing_twice(
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    gold: dict[str, str],
    teach: Any,
) -> None:
    lies = sorted(gold)[:6]
    teacher = teach(
        lambda question: (
            "Answer: 123456" if question in lies else "\ud800" if question == sorted(gold)[7] else gold[question]
        )
    )
    wanted = recipe(home, tmp_path_factory, "distill", options={"teacher": "t", "base_url": teacher.url})
    mend = interrupted_at(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(home, wanted)
    mend()
    assert len(teacher.asked) == len(set(teacher.asked)) == len(gold)
    report = training(run(home, wanted))["teacher"]
    assert len(teacher.asked) == len(gold), "the killed run's answers are not asked for again"
    assert report["kept"] == len(gold) - 7 and report["asked"] == len(gold) and report["failed"] == 0


def test_distill_bears_a_few_failures_and_goes_on_after_many(
    home: Path, tmp_path_factory: pytest.TempPathFactory, gold: dict[str, str], teach: Any
) -> None:
    bad: dict[str, Any] = dict(
        zip(
            sorted(gold)[10:14],
            [(500, b"{}"), (200, b"<html>busy</html>"), (200, b'{"choices": []}'), (200, b"[1]")],
            strict=True,
        )
    )
    teacher = teach(lambda question: bad.get(question, gold[question]))
    options = {"teacher": "t", "base_url": teacher.url, "missing": 0.1, "workers": 1}
    with pytest.raises(EngineError, match=r"requests to t failed, more than options.missing = 10%"):
        run(home, recipe(home, tmp_path_factory, "distill", options=options))
    wanted = recipe(home, tmp_path_factory, "distill", options={**options, "missing": 0.2})
    report = training(run(home, wanted, out="more"))["teacher"]
    assert report["failed"] == 4 and report["kept"] == len(gold) - 4 and report["reasons"]["no answer"] == 4


def test_distill_stops_early_where_nobody_answers(
    home: Path, tmp_path_factory: pytest.TempPathFactory, teach: Any
) -> None:
    teacher = teach(lambda _: time.sleep(0.4) or "late")
    options = {"teacher": "t", "base_url": teacher.url, "missing": 1.0, "timeout": 0.05}
    with pytest.raises(EngineError, match="requests to t failed"):
        run(home, recipe(home, tmp_path_factory, "distill", options=options))
    assert len(teacher.asked) <= 8
    useless = teach(lambda _: "I do not know")
    with pytest.raises(TruemarkError, match="no answer of t passes the check of math"):
        run(home, recipe(home, tmp_path_factory, "distill", options={"teacher": "t", "base_url": useless.url}))


# recipes


@pytest.mark.parametrize(
    "name", [f"{domain}-smollm2-{method}" for domain in ("math", "asp") for method in ("rft", "dpo", "grpo")]
)
def test_shipped_recipes_read_and_say_what_they_start_from(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipes.load(name)
    domain, _, method = name.partition("-smollm2-")
    assert recipes.load(domain, method=method).name == name
    monkeypatch.chdir(home)
    with pytest.raises(ModelNotFound, match=f"truemark train {domain}-smollm2, then this again"):
        adapters.train_adapter(wanted, home / "train.jsonl", home / "runs" / "x")
    assert grpo.Options.model_validate(wanted.options) if method == "grpo" else True
