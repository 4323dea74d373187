"""What a fresh machine meets: system packages, doctor, the toolchain's refusals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT, truemark
from truemark import doctor, system, toolchain
from truemark.errors import MissingDependency


def test_missing_packages_are_named_with_the_line_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = system.SystemPackage("Frobnicator", "frobnicate", "install", "turns things", lambda: False)
    monkeypatch.setattr(system, "SYSTEM", (absent,))
    monkeypatch.setattr(system, "_privilege", lambda: None)
    assert system.ensure(("install",)) == 3
    assert "apt-get install frobnicate" in capsys.readouterr().err
    assert system.ensure(("test",)) == 0


def test_system_needs_only_the_standard_library() -> None:
    run = subprocess.run(
        [sys.executable, "-S", "-m", "truemark.system", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_doctor_reports_as_json_and_names_a_mend_for_all(tmp_path: Path) -> None:
    run = truemark("doctor", "--json", cwd=tmp_path)
    report = json.loads(run.stdout)
    assert all(finding["mend"] for finding in report["findings"])
    missing = [finding for finding in report["findings"] if finding["found"] is None]
    assert run.returncode == (3 if missing else 0)


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.PACKAGES, "no-such-package", ("nothing", "pip install no-such-package"))
    finding = next(one for one in doctor.findings() if one.name == "no-such-package")
    assert finding.found is None


def test_a_missing_program_names_the_command_that_builds_it() -> None:
    with pytest.raises(MissingDependency, match="make install"):
        toolchain.binary("llama-no-such-program")


def test_versions_agree_between_the_files_that_name_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    assert project["optional-dependencies"]["gguf"][0] == f"llama-cpp-python=={toolchain.VERSION}"
    assert constraints["llama_cpp_python"] == toolchain.VERSION
    makefile = (ROOT / "Makefile").read_text()
    assert f"TORCH ?= torch=={constraints['torch']}" in makefile
    from truemark.embedded import SMOLLM2

    assert SMOLLM2.distribution in makefile
