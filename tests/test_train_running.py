"""What is said before a run and after it, what can stop it, and that nothing of that costs more than the steps since a checkpoint."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from domains import get
from tests import tiny
from tests.conftest import ROOT
from train import adapter as adapters
from train import checkpoints, estimate, failures, network
from truemark import artifacts, compute
from truemark import recipe as recipes
from truemark.errors import MissingDependency, TruemarkError
from truemark.files import sha256_file, write_jsonl

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tiny.shared(tmp_path_factory) / "base"
    for name in ("train", "dev"):
        write_jsonl(tmp_path / f"{name}.jsonl", _split()[name])
    values = {
        "name": "tiny", "domain": "math", "base": str(base), "lora": {"rank": 4, "alpha": 8},
        "optim": {"steps": 6, "batch_size": 4, "warmup_steps": 2}, "run": {"save_every": 2, "precision": "fp32", "track": "none"},
    }  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


@cache
def _split() -> dict[str, list[Any]]:
    return {
        name: [dict(row) for row in rows][: 24 if name == "train" else 4]
        for name, rows in get("math").build(3, 24).items()
    }


def load(home: Path, *changes: str) -> recipes.Recipe:
    return recipes.load(str(home / "tiny.yaml"), changes=changes)


def run(home: Path, *changes: str, out: str = "tiny", **options: Any) -> artifacts.Artifact:
    return adapters.train_adapter(load(home, *changes), home / "train.jsonl", home / "runs" / out, **options)


def command(home: Path, *changes: str, out: str) -> list[str]:
    words = [word for change in changes for word in ("--set", change)]
    return [sys.executable, "-m", "truemark", "train", str(home / "tiny.yaml"), "--data", str(home / "train.jsonl"), "--out",
            str(home / "runs" / out), *words]  # fmt: skip


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


# --- the estimate -----------------------------------------------------------------------------------------------------


def test_an_estimate_counts_what_is_there(home: Path) -> None:
    recipe = load(home)
    found = estimate.dry_run(recipe, home / "train.jsonl")
    artifact = run(home)
    trained = sum(
        tensor_bytes for name, tensor_bytes in _tensor_bytes(artifact.path / WEIGHTS).items() if ".lora_" in name
    )
    assert found.memory["adapter"] == trained // 2 * estimate.TRAINED, "saved in half precision: two bytes each"
    weights = sum(_tensor_bytes(Path(recipe.base) / "model.safetensors").values())
    assert found.memory["base"] == pytest.approx(weights, rel=0.01)
    report = json.loads((artifact.path / "training.json").read_text())
    assert (found.work.steps, found.work.tokens, found.work.loss_tokens) == (6, report["tokens"], report["loss_tokens"])
    assert found.seconds > 0 and {"--set optim.accumulate=2", "--set optim.batch_size=2"} <= set(found.knobs)
    assert all(peak < found.peak for peak in found.knobs.values())
    less = estimate.dry_run(
        load(home, "lora.top_layers=1", "optim.accumulate=2", "run.keep=best"), home / "train.jsonl"
    )
    assert less.memory["activations"] < 0.5 * found.memory["activations"]
    assert less.memory["adapter"] == found.memory["adapter"] // 2
    assert not list((home / "runs" / ".work").glob("*")), "a dry run and a finished one leave nothing"
    told = report["estimate"]
    assert told["measured"]["seconds_error"] == pytest.approx(
        told["measured"]["seconds"] / told["estimated"]["seconds"] - 1, abs=0.01
    )
    assert told["measured"]["peak"] > 100e6


def _tensor_bytes(path: Path) -> dict[str, int]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).nbytes for name in file.keys()}  # noqa: SIM118 - not a dict


def test_a_dry_run_needs_only_config_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = home / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((Path(load(home).base) / "config.json").read_bytes())
    found = estimate.dry_run(load(home, f"base={bare}"), home / "train.jsonl")
    assert found.memory["base"] > 12e6 and found.work.tokens == pytest.approx(2460, rel=0.4)
    assert "tokens are guessed" in found.notes[1] and "truemark models pull" in found.notes[2]
    with pytest.raises(TruemarkError, match="no weights"):
        run(home, f"base={bare}")


def test_dry_run_on_the_command_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from truemark.cli import run as cli

    assert cli(["train", str(home / "tiny.yaml"), "--data", str(home / "train.jsonl"), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["peak"] == sum(found["memory"].values())


def test_what_is_not_known_before_is_timed_by_its_first_steps(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TruemarkError, match="its first 3 steps are timed"):
        estimate.dry_run(load(home, "method=dpo"), home / "train.jsonl")
    monkeypatch.setattr(estimate, "announce", lambda *_, **__: None)  # as for a method that does not lay its work out
    artifact = run(home)
    assert "estimate, by the first 3 steps of sft: about" in capsys.readouterr().err
    told = json.loads((artifact.path / "training.json").read_text())["estimate"]
    assert told["estimated"]["seconds"] > 0 and "peak_error" not in told["measured"]


# --- what stops a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["the loss", "the gradient's norm"])
def test_a_number_that_is_not_finite_stops_the_run_with_its_batch(
    home: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    import torch

    from train import sft

    real = sft.completion_loss
    calls = 0

    class Spoiled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Any) -> Any:
            return value.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * float("nan")

    def spoiled(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        value = real(*arguments, **options)
        if calls < 4:
            return value
        return Spoiled.apply(value) if words != "the loss" else value * float("inf")

    monkeypatch.setattr(sft, "completion_loss", spoiled)
    with pytest.raises(TruemarkError, match=f"{words} at step 4 is (nan|inf); its batch is math-") as error:
        run(home)
    assert error.value.message.count("math-") == 4
    assert checkpoints.steps_done(home / "runs" / ".work" / "tiny") == 2, "no checkpoint of the spoiled weights"


def test_another_trainers_batch_is_named_by_its_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.shared(tmp_path_factory) / "base")
    ids = tokenizer(["2 + 2 = 4", "3 + 3 = 6"], return_tensors="pt")["input_ids"]
    assert failures._names({"prompt_input_ids": ids}, tokenizer) == ["'…2 + 2 = 4'", "'…3 + 3 = 6'"]
    assert failures._names([{"prompt": "Solve x"}], tokenizer) == ["Solve x"]


def test_out_of_memory_names_the_knobs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from train import sft

    def greedy(*_: Any, **__: Any) -> Any:
        return torch.empty(1 << 56, dtype=torch.uint8)  # more than an address space: torch's own allocator refuses it

    monkeypatch.setattr(sft, "completion_loss", greedy)
    with pytest.raises(TruemarkError, match="out of memory: the estimate was a peak of about") as error:
        run(home)
    assert re.search(r"optim.accumulate=2 \([\d.]+ [MG]B\)", str(error.value.mend))
    for raised in (torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), OSError(12, "Cannot allocate memory")):
        assert failures.is_out_of_memory(raised)
    assert not failures.is_out_of_memory(RuntimeError("shapes do not match"))


def test_a_full_disk_keeps_the_last_whole_checkpoint(home: Path) -> None:
    """RLIMIT_FSIZE: the kernel itself refuses to make optimizer.pt longer, in the middle of the checkpoint of step 4."""
    whole = run(home, out="whole")
    work = home / "runs" / ".work" / "full"

    script = (
        "import sys, resource; from train import trainer, checkpoints; from pathlib import Path; import transformers;"
        "old = transformers.Trainer._save_optimizer_and_scheduler\n"
        "def save(self, path):\n"
        "    if path.endswith('-4'): resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))\n"
        "    return old(self, path)\n"
        "transformers.Trainer._save_optimizer_and_scheduler = save\n"
        "from truemark.cli import main; main()"
    )
    line = command(home, out="full")
    process = subprocess.run(
        [line[0], "-c", script, *line[3:]],
        cwd=home,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert process.returncode == 2 and "Traceback" not in process.stderr, process.stderr
    assert "no space left" in process.stderr and "checkpoint of step 2 is whole" in process.stderr
    assert [path.name for path in work.glob("checkpoint-*")] == ["checkpoint-2"], (
        "the cut-off one is gone: it took room"
    )
    again = run(home, out="full", resume=True)
    assert sha256_file(again.path / WEIGHTS) == sha256_file(whole.path / WEIGHTS)


def test_sigterm_says_how_to_continue_and_costs_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from train import sft

    whole = run(home, out="whole")
    real, calls = sft.completion_loss, 0

    def stopped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **options)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sft, "completion_loss", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(home, out="stopped")
    assert "the checkpoint of step 2 is whole, the same command continues from it" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    again = run(home, out="stopped", resume=True)
    assert sha256_file(again.path / WEIGHTS) == sha256_file(whole.path / WEIGHTS)


# --- kill -9 ----------------------------------------------------------------------------------------------------------

HARD = {
    "packing, accumulate": ["data.packing=true", "data.max_length=256", "optim.accumulate=2", "lora.dropout=0.1"],
    "curriculum, NEFTune, best": ["data.order=curriculum", "optim.neftune=5", "run.keep=best", "lora.dropout=0.1"],
}
KILLS = {
    "in a step": "transformers.Trainer, 'training_step', lambda self, *_: self.state.global_step == 3",
    "while a checkpoint is written": "transformers.Trainer, '_save_optimizer_and_scheduler', lambda self, path: path.endswith('-4')",
    "before its marker": "transformers.trainer_callback.CallbackHandler, 'on_save', lambda self, args, state, control: state.global_step == 4",
}
"""Of which class, which method, and when."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ("packing, accumulate", "in a step"),
        ("curriculum, NEFTune, best", "while a checkpoint is written"),
        ("packing, accumulate", "before its marker"),
    ],
)
def test_killed_anywhere_it_continues_to_the_same_weights(home: Path, changes: str, place: str) -> None:
    whole = run(home, *HARD[changes], out="whole")
    script = (
        f"import os, signal, transformers, transformers.trainer_callback\nowner, name, when = {KILLS[place]}\n"
        "old = getattr(owner, name)\n"
        "def cut(self, *a, **k):\n"
        "    if when(self, *a): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return old(self, *a, **k)\n"
        "setattr(owner, name, cut)\n"
        "from truemark.cli import main; main()"
    )
    line = command(home, *HARD[changes], out="killed")
    process = subprocess.run(
        [line[0], "-c", script, *line[3:]], cwd=home, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert checkpoints.steps_done(home / "runs" / ".work" / "killed") == 2
    again = run(home, *HARD[changes], out="killed", resume=True)
    assert sha256_file(again.path / WEIGHTS) == sha256_file(whole.path / WEIGHTS)
    if "best" in changes:
        scored = [json.loads((path / "training.json").read_text())["log"] for path in (whole.path, again.path)]
        assert [entry.get("dev_score") for entry in scored[0]] == [entry.get("dev_score") for entry in scored[1]]


# --- tracking ---------------------------------------------------------------------------------------------------------


def test_a_resumed_run_continues_its_own_curves(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from train import sft

    real, calls = sft.completion_loss, 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(sft, "completion_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(home, "run.track=tensorboard")
    monkeypatch.setattr(sft, "completion_loss", real)
    artifact = run(home, "run.track=tensorboard")
    place = home / "runs" / "tensorboard" / "tiny"
    assert len(list(place.glob("events.*"))) == 2
    curves = EventAccumulator(str(place)).Reload()
    log = json.loads((artifact.path / "training.json").read_text())["log"]
    for tag, key in (
        ("train/loss", "loss"),
        ("train/grad_norm", "grad_norm"),
        ("train/learning_rate", "learning_rate"),
    ):
        points = {event.step: event.value for event in curves.Scalars(tag)}
        assert [event.step for event in curves.Scalars(tag)] == [1, 2, 3, 4, 5, 6], "each step once, step 3 too"
        assert [points[entry["step"]] for entry in log] == pytest.approx([entry[key] for entry in log], rel=1e-5)


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed(home: Path, tracker: str) -> None:
    import importlib.util

    if importlib.util.find_spec(tracker):
        pytest.skip(f"{tracker} is installed")
    with pytest.raises(MissingDependency, match=f"run.track: {tracker} is not installed"):
        run(home, f"run.track={tracker}")


# --- the device -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cuda", "bf16", "mps", "flags", "expected"),
    [
        (True, True, False, set(), ("cuda", "bfloat16")),
        (True, False, False, set(), ("cuda", "float16")),
        (False, False, True, set(), ("mps", "float16")),
        (False, False, False, {"avx2"}, ("cpu", "float32")),
        (False, False, False, {"avx2", "avx512_bf16"}, ("cpu", "bfloat16")),
        (False, False, False, {"amx_bf16"}, ("cpu", "bfloat16")),
    ],
)
def test_the_choice_of_device(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    cuda: bool,
    bf16: bool,
    mps: bool,
    flags: set[str],
    expected: tuple[str, str],
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "H100")
    monkeypatch.setattr(torch, "get_device_module", lambda *_: torch.cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(compute, "_cpu_flags", lambda: flags)
    recipe = load(home, "run.precision=auto", "run.quantize=4bit")
    device, dtype = expected
    words = network.describe(recipe)
    assert words.startswith(f"training on {device} in {dtype}, base in 4bit (bitsandbytes)")
    assert ("H100" in words) == (device == "cuda") and ("threads" in words) == (device == "cpu")
    assert "float32" in network.describe(load(home, "run.precision=fp32")), "a recipe's own choice holds"
