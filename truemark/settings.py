"""Where things lie on this machine, and how many threads to use. Read from the environment, never from a global."""

from __future__ import annotations

import os
from pathlib import Path

SERVE_PORT = 8017
"""The gateway's default port, on loopback."""


def cache_dir() -> Path:
    """Directory for what can be made again: converted bases, built wheels. `TRUEMARK_CACHE` overrides it."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "truemark"
    return Path(os.environ.get("TRUEMARK_CACHE") or default)


def threads() -> int:
    """Compute threads for an engine: `TRUEMARK_THREADS`, else the cores this process may use."""
    wanted = os.environ.get("TRUEMARK_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else len(os.sched_getaffinity(0))


def server_url() -> str:
    """Base URL of the gateway that `ask` and the demos talk to (`TRUEMARK_URL`), with the `/v1` suffix."""
    return os.environ.get("TRUEMARK_URL", f"http://127.0.0.1:{SERVE_PORT}/v1")


def endpoint_url() -> str:
    """Base URL behind `openai:` references: `OPENAI_BASE_URL`, else the gateway."""
    return os.environ.get("OPENAI_BASE_URL") or server_url()


def processes() -> int:
    """How many processes train together: `WORLD_SIZE`, as `accelerate launch` and `torchrun` set it, else one."""
    return max(int(os.environ.get("WORLD_SIZE") or 1), 1)


def main_process() -> bool:
    """Whether this process is the one that prints, writes and publishes."""
    return processes() == 1 or os.environ.get("RANK", "0") == "0"
