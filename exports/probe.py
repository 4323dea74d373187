"""What running an export costs on this machine, measured in a process that does nothing else: python -m exports.probe MODEL

Prints {"load_seconds", "peak_rss_mb", "tokens_per_second": {"1": ..., "16": ...}, "time_to_first_token_ms", "runtime": {...}}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import domains
from domains.base import asked
from truemark import models
from truemark.errors import EngineError
from truemark.runtimes import Runtime, Sampling, open_runtime

BATCHES = (1, 16)
NEW_TOKENS = 48
REPEATS = 3


def probe(model: Path | str, domain: str) -> dict[str, Any]:
    """Run `probe` on `model` in a process of its own. Raises EngineError with its last words."""
    run = subprocess.run(
        [sys.executable, "-m", "exports.probe", str(model), domain],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },  # the code that runs here, from any directory
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise EngineError(f"{model} cannot be run: {run.stderr.strip().splitlines()[-1:] or run.returncode}")
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def measure(text: str, domain: str) -> dict[str, Any]:
    """Load `text` and decode. Decoding speed leaves the prompt out: (n - 1 tokens) over (time of n tokens - time of one)."""
    room = domains.get(domain)
    model = models.resolve(text)
    questions = [asked(example) for example in room.build(7, 1, model.levels)["dev"][: max(BATCHES)]]
    began = time.monotonic()
    with open_runtime(model) as runtime:
        ids = [runtime.prompt_ids(question) for question in questions]
        _seconds(runtime, ids[:1], 1)
        load = time.monotonic() - began
        first = min(_seconds(runtime, ids[:1], 1)[0] for _ in range(REPEATS))
        speeds = {}
        for batch in BATCHES:
            rates = [_rate(runtime, ids[:batch]) for _ in range(REPEATS if batch == 1 else 1)]
            speeds[str(batch)] = round(sorted(rates)[len(rates) // 2], 1)
        described = runtime.describe()
    return {
        "load_seconds": round(load, 2),
        "time_to_first_token_ms": round(1000 * first, 1),
        "tokens_per_second": speeds,
        "peak_rss_mb": _peak_rss(),
        "runtime": described,
    }


def _rate(runtime: Runtime, ids: list[list[int]]) -> float:
    """Decoded tokens a second, all rows together."""
    short, few = _seconds(runtime, ids, 1)
    long, many = _seconds(runtime, ids, NEW_TOKENS)
    return (many - few) / max(long - short, 1e-9)


def _seconds(runtime: Runtime, ids: list[list[int]], tokens: int) -> tuple[float, int]:
    began = time.monotonic()
    made = sum(max(len(answer.token_ids), 1) for _, answer in runtime.generate(list(ids), Sampling(max_tokens=tokens)))
    return time.monotonic() - began, made


def _peak_rss() -> float:
    """Peak resident memory of this process, in MB (10^6 bytes)."""
    if (
        sys.platform == "linux"
    ):  # getrusage's figure survives exec: it would be that of the process which started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6, 1)
    import resource

    return round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6, 1
    )


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2])))
