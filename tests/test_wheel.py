"""The wheel: built, installed in a clean environment outside the checkout, imported, and quick to answer `--help`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("truemark", "domains", "train", "exports", "evalsuite", "serve", "demos")


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel], check=True, cwd=tmp_path
    )
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    code = f"import importlib, domains; [importlib.import_module(room) for room in {ROOMS}]; print(domains.__file__)"
    code += "; [domains.get(name).build(7, 5) for name in domains.DOMAINS]"  # their data files came along
    code += "; from importlib.resources import files; print(len((files('exports') / 'licences' / 'apache-2.0.txt').read_text()))"
    run = subprocess.run([python, "-c", code], cwd=tmp_path, env=clean, check=True, capture_output=True, text=True)
    assert str(tmp_path) in run.stdout

    usage = tmp_path / "usage"
    script = (
        "import os, subprocess, sys; before = os.times(); subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL);"
        "after = os.times(); open(sys.argv[1], 'w').write(str(after[2] + after[3] - before[2] - before[3]))"
    )
    command = [sys.executable, "-c", script, str(usage), str(tmp_path / "env" / "bin" / "truemark"), "--help"]
    subprocess.run(command, cwd=tmp_path, env=clean, check=True)  # writes the bytecode
    best = min(_seconds(command, usage, tmp_path, clean) for _ in range(5))
    assert best < 0.5, f"truemark --help took {best:.2f} s of CPU time"


def _seconds(command: list[str], usage: Path, cwd: Path, env: dict[str, str]) -> float:
    subprocess.run(command, cwd=cwd, env=env, check=True)
    return float(usage.read_text())
