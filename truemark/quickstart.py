"""`truemark quickstart`: the main job on the embedded base, as the very commands a user would type.

Rooms compose through artifacts and references, not imports: this file knows commands and paths, nothing else.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from truemark import artifacts, cli
from truemark.console import duration, say
from truemark.errors import CheckFailed, EngineError
from truemark.files import write_json
from truemark.settings import SERVE_PORT

ADAPTER = "runs/math-smollm2"
QUESTION = "Solve for x: 3x + 7 = 22"
STEPS = (
    "data build math",
    "train math",
    f"export {ADAPTER} --to fp16,gguf,lora-gguf --quant f16,q8_0",
    f"eval math --model smollm2-135m --model {ADAPTER} --model {ADAPTER}.fp16"
    f" --model {ADAPTER}.gguf-f16 --model {ADAPTER}.gguf-q8_0",
    "leaderboard",
)
READY_SECONDS = 120


def quickstart() -> None:
    """Train, export, prove, rank, serve and ask: math on the embedded base, about 12 minutes on 2 cores.

    Run it again and only what is missing is done.
    """
    seconds: dict[str, float] = {}
    began = time.monotonic()
    for number, step in enumerate(STEPS, 1):
        say(f"\n[{number}/{len(STEPS) + 1}] $ truemark {step}")
        start = time.monotonic()
        code = cli.run(shlex.split(step))
        if code:
            raise CheckFailed(
                f"`truemark {step}` ended with exit code {code}", mend="mend what it says, then: truemark quickstart"
            )
        seconds[step] = round(time.monotonic() - start, 1)
        say(f"    done in {duration(seconds[step])}")
    start = time.monotonic()
    serve_and_ask(len(STEPS) + 1)
    seconds["serve and ask"] = round(time.monotonic() - start, 1)
    total = time.monotonic() - began
    write_json(
        Path("results/quickstart.json"),
        {
            "machine": artifacts.machine(),
            "versions": artifacts.library_versions(),
            "seconds": seconds,
            "total": round(total, 1),
        },
    )
    say(f"""
Done in {duration(total)}. What was made:
  {ADAPTER:32} the adapter (loss.png, training.json)
  {ADAPTER + ".*":32} its exports, each with mark.json
  {"leaderboard/index.html":32} open it in a browser
  {"results/":32} predictions and scores
Next:  truemark demo math     (a page in your browser)
       truemark ask math "What is 15% of 80?"
       truemark verify {ADAPTER}.gguf-q8_0""")


def serve_and_ask(number: int) -> None:
    """The last step: start the server as a user would, put one question to it, end it."""
    port = free_port()
    serve = f"serve --adapter math={ADAPTER} --port {port}"
    ask = f"ask math {shlex.quote(QUESTION)} --url http://127.0.0.1:{port}/v1"
    say(f"\n[{number}/{number}] $ truemark {serve} &")
    with running([sys.executable, "-m", "truemark", *shlex.split(serve)], f"http://127.0.0.1:{port}/health"):
        say(f"      $ truemark {ask}")
        code = cli.run(shlex.split(ask))
    if code:
        raise CheckFailed(f"`truemark {ask}` ended with exit code {code}")


@contextlib.contextmanager
def running(command: list[str], health: str) -> Iterator[None]:
    """A server process for the length of the block. Raises EngineError when it ends early or is not ready in time."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(health):
            if process.poll() is not None:
                raise EngineError(
                    f"the server ended with exit code {process.returncode} before it was ready", mend="truemark doctor"
                )
            if time.monotonic() > deadline:
                raise EngineError(f"the server was not ready after {READY_SECONDS} s", mend="truemark doctor")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """The default port, or any free one when something else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", SERVE_PORT))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
