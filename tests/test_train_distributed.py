"""Several processes that train one adapter: the shipped configurations, what is refused, and FSDP for real over two processes on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from domains import get
from tests import tiny
from tests.conftest import ROOT
from train import distributed
from truemark import console, models, settings
from truemark import recipe as recipes
from truemark.errors import InvalidConfig, MissingDependency, UnknownName
from truemark.files import write_jsonl
from truemark.recipe import Recipe

RECIPE: dict[str, Any] = {
    "name": "tiny", "domain": "math", "lora": {"rank": 4, "alpha": 8}, "optim": {"steps": 4, "batch_size": 4, "accumulate": 2, "warmup_steps": 2},
    "run": {"save_every": 2, "precision": "fp32", "track": "none", "save": "fp32"},
}  # fmt: skip


@pytest.mark.parametrize("name", distributed.configs())
def test_accelerate_reads_the_shipped_configurations(name: str) -> None:
    """By its own class, and as the arguments of its own launcher: an unknown key raises there."""
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(distributed.CONFIGS / f"{name}.yaml"))
    assert config.num_processes == 2 and config.mixed_precision == "no"
    if "fsdp" in name:
        assert config.distributed_type == "FSDP" and config.fsdp_config["fsdp_version"] == 2
    else:
        assert config.distributed_type == "DEEPSPEED" and config.deepspeed_config["zero_stage"] == int(name[-1])


@pytest.mark.parametrize("name", distributed.configs())
def test_the_launcher_takes_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `accelerate launch` would set for a process. The keys are checked by the plugins that read them."""
    from accelerate.commands import launch
    from accelerate.utils import launch as environments

    parser = launch.launch_command_parser()
    args = parser.parse_args(["--config_file", str(distributed.CONFIGS / f"{name}.yaml"), "-m", "truemark"])
    monkeypatch.setattr(launch, "is_deepspeed_available", lambda: True)
    args, _, _ = launch._validate_launch_command(args)
    if "fsdp" in name:
        found = environments.prepare_multi_gpu_env(args)
        assert found["ACCELERATE_USE_FSDP"] == "true" and found["FSDP_VERSION"] == "2"
        from accelerate.utils import FullyShardedDataParallelPlugin

        for key, value in found.items():
            if key.startswith("FSDP_"):
                monkeypatch.setenv(key, value)
        plugin = FullyShardedDataParallelPlugin()
        assert plugin.reshard_after_forward is True and plugin.cpu_ram_efficient_loading is True
    else:
        args.deepspeed_fields_from_accelerate_config = ""  # as launch_command fills it in
        _, found = environments.prepare_deepspeed_cmd_env(args)
        assert found["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == name[-1]


def test_a_batch_is_over_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(base="x", **RECIPE)
    assert distributed.rows_each(recipe) == 2
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.rows_each(recipe) == 1
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InvalidConfig, match="not a multiple of 3 processes × accumulate 2") as error:
        distributed.rows_each(recipe)
    assert error.value.mend == "--set optim.batch_size=6"


def test_only_the_main_process_speaks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        console.say(f"I am {rank}")
        with console.progress("train", total=1) as advance:
            advance()
    assert "I am 0" in (told := capsys.readouterr().err) and "I am 1" not in told and told.count("train: 1/1") == 1
    monkeypatch.delenv("WORLD_SIZE")
    assert settings.main_process(), "a stray RANK without other processes"


def test_what_cannot_be_launched() -> None:
    with pytest.raises(UnknownName, match="zero2"):
        distributed.launch("zero4", [])
    import importlib.util

    if importlib.util.find_spec("deepspeed") is None:
        with pytest.raises(MissingDependency, match="deepspeed"):
            distributed.launch("zero2", [])


@pytest.mark.slow
def test_fsdp_over_two_processes_trains_the_same_adapter(tmp_path: Path) -> None:
    """Losses within 1e-4 of one process's, weights within 1e-5; stopped after step 2 and continued; the adapter merges."""
    import torch
    from safetensors.torch import load_file

    from truemark import adapters

    tiny.checkpoint(tmp_path / "base")
    write_jsonl(tmp_path / "train.jsonl", [dict(row) for row in get("math").build(3, 24)["train"]])
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, "base": str(tmp_path / "base")}))

    def train(out: str, *words: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
        start = ["-c", script] if script else ["-m", "truemark"]
        command = [
            sys.executable,
            *start,
            "train",
            "tiny.yaml",
            "--data",
            "train.jsonl",
            "--out",
            f"runs/{out}",
            *words,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    for out, words in (("one", []), ("two", ["--launch", "cpu-fsdp", "--processes", "2"])):
        result = train(out, *words)
        assert result.returncode == 0, result.stderr[-3000:]
    assert result.stderr.count("adapter tiny@") == 1, "the main process alone reports"
    one, two = (tmp_path / "runs" / out for out in ("one", "two"))
    logs = [json.loads((path / "training.json").read_text())["log"] for path in (one, two)]
    for single, shared in zip(*logs, strict=True):
        assert shared["loss"] == pytest.approx(single["loss"], abs=1e-4)
        assert shared["grad_norm"] == pytest.approx(single["grad_norm"], rel=1e-3)
    weights = [load_file(path / "adapter_model.safetensors") for path in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert torch.allclose(tensor, weights[1][name], atol=1e-5), name
    base = models.resolve(str(tmp_path / "base")).local_path()
    merged = [adapters.merge(adapters.load(base, path, dtype=torch.float32)).state_dict() for path in (one, two)]
    for name, tensor in merged[0].items():
        assert torch.allclose(tensor, merged[1][name], atol=1e-5), name


def test_a_recipe_that_does_not_divide_is_refused_before_any_work(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.adapter import train_adapter

    monkeypatch.setenv("WORLD_SIZE", "3")
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "base": str(tiny.shared(tmp_path_factory) / "base")}))
    with pytest.raises(InvalidConfig, match="over all devices"):
        train_adapter(recipes.load(str(path)), None, tmp_path / "out")
