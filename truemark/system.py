"""What Truemark needs from the operating system, and the line that installs it. Standard library only: it runs before `.venv` exists.

    python3 -m truemark.system install      what `make quickstart` needs
    python3 -m truemark.system test         what `make test` needs beyond that

Missing packages are installed with apt-get where that needs no password; elsewhere the line to type is printed (exit 3).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class SystemPackage:
    """One thing that pip cannot bring."""

    name: str
    apt: str
    needed_for: str
    """`install` or `test`: the make target that cannot do without it."""
    why: str
    present: Callable[[], bool]

    @property
    def mend(self) -> str:
        """The line that installs it on Debian and Ubuntu."""
        return f"apt-get install {self.apt}"


def _which(*names: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(name) for name in names)


SYSTEM = (
    SystemPackage(
        "Python's venv",
        "python3-venv",
        "install",
        "makes .venv",
        lambda: importlib.util.find_spec("ensurepip") is not None,
    ),
    SystemPackage(
        "C++ compiler", "g++", "install", "builds llama.cpp for this processor", _which("c++", "g++", "clang++")
    ),
    SystemPackage("Chromium", "chromium", "test", "opens the demo page in a real browser", _which(*CHROMIUM_NAMES)),
)


def chromium() -> str | None:
    """Path of a Chromium-like browser, or None."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def ensure(targets: tuple[str, ...]) -> int:
    """Install what `targets` lack. Returns an exit code: 0 when everything is here, 3 when something has to be typed."""
    missing = [package for package in SYSTEM if package.needed_for in targets and not package.present()]
    if not missing:
        return 0
    for package in missing:
        print(f"missing: {package.name} ({package.why})", flush=True)
    line = "apt-get install -y " + " ".join(package.apt for package in missing)
    prefix = _privilege()
    if prefix is not None:
        print(f"running: {line}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*prefix, "apt-get", "update", "-qq"], check=False, env=environment)
        subprocess.run([*prefix, *line.split(), "-qq"], check=False, env=environment, stdout=subprocess.DEVNULL)
        missing = [package for package in missing if not package.present()]
    for package in missing:
        print(f"error: {package.name} is missing\n  → sudo {package.mend}", file=sys.stderr)
    return 3 if missing else 0


def _privilege() -> list[str] | None:
    """The words before apt-get with which it runs without a password, or None."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


if __name__ == "__main__":
    sys.exit(ensure(tuple(sys.argv[1:]) or ("install",)))
