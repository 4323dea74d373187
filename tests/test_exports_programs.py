"""TorchScript, torch.export, MLX and the 8-, 16- and 4-bit checkpoints: each passes its mark on a tiny model, and equals PEFT or refuses by name on four architectures."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exports import FORMATS, mark, reference
from tests import tiny
from truemark import artifacts, cli, models
from truemark.runtimes import Sampling, open_runtime

NEEDS = {
    "int8-torchao": "torchao", "int8-w8a8": "compressed_tensors", "int8-w8a16": "compressed_tensors",
    "4bit": "bitsandbytes", "mlx": "mlx.core",
}  # fmt: skip
MINE = ["bf16", "torchscript", "pt2", *NEEDS]
ROUNDED = {"int8-torchao", "int8-w8a8", "int8-w8a16", "4bit"}
"""On random weights, whose next tokens are nearly equally probable, the first changed token says little: `top1` and `prefix` are for trained models."""


def needs(format: str) -> None:
    module = NEEDS.get(format)
    if module:
        pytest.importorskip(module, reason=f"{module} is not installed", exc_type=ImportError)


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
    code = cli.run(["export", str(home / "tuned"), "--to", format, "--json", *(["--keep-failed"] if format in ROUNDED else [])])
    found = json.loads(capsys.readouterr().out)[0]["mark"]
    print({c["name"]: (c["value"], c["bound"]) for c in found["checks"]}, found["size_mb"], found.get("speed"))
    failed = set(found["verdict"]["failed"]) - ({"top1", "prefix"} if format in ROUNDED else set())
    assert not failed
