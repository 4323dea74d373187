"""Where things lie on this machine, and how many threads to use. Read from the environment, never from a global."""

from __future__ import annotations

import os
from pathlib import Path

from truemark.errors import InvalidConfig

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


def price() -> tuple[float, float]:
    """What a million tokens cost, of the prompt and of the answer: `TRUEMARK_PRICE`, as `0.15/0.60` or one number for both.

    Raises InvalidConfig where it is not set or no price.
    """
    text = os.environ.get("TRUEMARK_PRICE", "")
    parts = text.split("/")
    try:
        prompt, answer = (float(part) for part in (parts if len(parts) > 1 else parts * 2))
    except ValueError:
        prompt = answer = -1.0
    if not (0 <= prompt < float("inf") and 0 <= answer < float("inf")):
        found = f"found '{text}'" if text else "it is not set"
        raise InvalidConfig(
            f"TRUEMARK_PRICE is expected to hold the price of a million tokens, prompt/answer: {found}",
            mend="TRUEMARK_PRICE=0.15/0.60 truemark eval DOMAIN --model REF --metric cost",
        )
    return prompt, answer
