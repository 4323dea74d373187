"""The main job, for real: what `make quickstart` leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import truemark
from truemark.artifacts import open_artifact

pytestmark = pytest.mark.slow
EXPORTS = ("fp16", "gguf-q8_0")


def test_every_export_has_a_passed_mark_and_is_whole(quickstart_dir: Path) -> None:
    adapter = open_artifact(quickstart_dir / "runs/math-smollm2")
    for name in EXPORTS:
        export = open_artifact(quickstart_dir / f"runs/math-smollm2.{name}")
        assert export.manifest.parents[0].sha256 == adapter.sha
        assert json.loads((export.path / "mark.json").read_text())["verdict"]["passed"] is True


def test_the_adapter_beats_its_base(quickstart_dir: Path) -> None:
    rows = json.loads((quickstart_dir / "leaderboard/leaderboard.json").read_text())["rows"]
    accuracy = {(row["ref"], row["slice"]): row["accuracy"]["value"] for row in rows}
    for part, points in (("numbers", 0.40), ("wording", 0.20)):
        assert accuracy["runs/math-smollm2", part] - accuracy["smollm2-135m", part] >= points


def test_it_said_what_it_did(quickstart_dir: Path) -> None:
    output = (quickstart_dir / "output.txt").read_text()
    for line in ("$ truemark data build math", "$ truemark train math", "$ truemark leaderboard", "truemark demo math"):
        assert line in output


def test_verify_says_no_after_one_weight_has_changed(quickstart_dir: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "math-smollm2.gguf-q8_0"
    shutil.copytree(quickstart_dir / "runs/math-smollm2.gguf-q8_0", copy)
    shutil.copytree(quickstart_dir / "runs/math-smollm2", tmp_path / "math-smollm2")
    gguf = next(copy.glob("*.gguf"))
    content = bytearray(gguf.read_bytes())
    content[-1000] ^= 0xFF
    gguf.write_bytes(content)
    run = truemark("verify", str(copy), cwd=quickstart_dir)
    assert run.returncode == 1, run.stderr
    assert "integrity" in run.stdout
