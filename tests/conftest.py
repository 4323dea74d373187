"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # workers share the cores: the threads of two torch processes would spin against each other
    os.environ["OMP_NUM_THREADS"] = os.environ["TRUEMARK_THREADS"] = "1"


def truemark(*arguments: str, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, from `cwd`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "truemark", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def quickstart_dir() -> Path:
    """A directory in which `truemark quickstart` has run for real (slow tests only; the second time it is quick)."""
    directory = ROOT / ".quickstart"
    directory.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (directory / "output.txt").open("w") as output:
        run = subprocess.run(
            [sys.executable, "-m", "truemark", "quickstart"],
            cwd=directory,
            env=environment,
            timeout=3000,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert run.returncode == 0, (directory / "output.txt").read_text()[-4000:]
    return directory
