"""The README's commands are run, its pictures exist, its excerpt is what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT, truemark

README = (ROOT / "README.md").read_text()
BLOCKING = {"serve", "demo"}
"""Commands that run until they are stopped: their own tests start and stop them; here, that they are spelled right."""


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.S)
    lines = [line.split("   #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("truemark ")]


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+?)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.slow
@pytest.mark.parametrize("line", commands())
def test_every_command_runs_after_the_quickstart(line: str, quickstart_dir: Path) -> None:
    words = shlex.split(line)[1:]
    if words[0] in BLOCKING:
        words = [words[0], "--help"]
    run = truemark(*words, cwd=quickstart_dir, timeout=280)
    assert run.returncode == 0, run.stdout + run.stderr
