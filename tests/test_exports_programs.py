"""TorchScript, torch.export, MLX and the 8-, 16- and 4-bit checkpoints: each passes its mark on a tiny model, and equals PEFT or refuses by name on four architectures."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from exports import mark, reference
from tests import tiny
from truemark import artifacts, cli
from truemark.runtimes import Sampling

NEEDS = {
    "int8-torchao": "torchao", "int8-w8a8": "compressed_tensors", "int8-w8a16": "compressed_tensors",
    "4bit": "bitsandbytes", "mlx": "mlx_lm",
}  # fmt: skip
MINE = ["bf16", "torchscript", "pt2", *NEEDS]


def needs(format: str) -> None:
    module = NEEDS.get(format)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the tiny adapter; marks with few and short answers, references kept apart from the user's cache."""
    kept = tiny.shared(tmp_path_factory)
    shutil.copytree(kept / "tuned", tmp_path / "tuned")
    short_marks(kept, monkeypatch)
    return tmp_path


def short_marks(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Sampling(max_tokens=12)
    monkeypatch.setattr(reference, "PROMPTS", 6)
    monkeypatch.setattr(reference, "SAMPLING", short)
    monkeypatch.setattr(mark, "SAMPLING", short)
    monkeypatch.setattr(reference, "cache_dir", lambda: kept / "cache")


@pytest.mark.parametrize("format", MINE)
def test_it_is_published_with_a_passed_mark(home: Path, format: str, capsys: pytest.CaptureFixture[str]) -> None:
    needs(format)
    assert cli.run(["export", str(home / "tuned"), "--to", format, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[0]["mark"]
    assert found["verdict"] == {"passed": True, "failed": []}
    assert artifacts.open_artifact(home / f"tuned.{format}").manifest.format == format
