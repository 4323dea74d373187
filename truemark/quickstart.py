"""`truemark quickstart`: the main job on the embedded base, as the very commands a user would type.

Rooms compose through artifacts and references, not imports: this file knows commands and paths, nothing else.
"""

from __future__ import annotations

import shlex
import socket
import time
from pathlib import Path

from truemark import artifacts, background, cli
from truemark.console import duration, say
from truemark.errors import CheckFailed
from truemark.files import write_json
from truemark.settings import SERVE_PORT

ADAPTER = "runs/math-smollm2"
QUESTION = "Solve for x: 3x + 7 = 22"
STEPS = (
    "data build math --level basics",
    "train math",
    f"export {ADAPTER} --to fp16,gguf --quant q8_0",
    f"eval math --model smollm2-135m --model {ADAPTER} --model {ADAPTER}.fp16"
    f" --model {ADAPTER}.gguf-q8_0 --max-tokens 192",
    "leaderboard",
)


def quickstart() -> None:
    """Train, export, prove, rank, serve and ask: math on the embedded base, about 25 minutes on 2 cores.

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
       truemark ask math "What is 30% of 80?"
       truemark verify {ADAPTER}.gguf-q8_0""")


def serve_and_ask(number: int) -> None:
    """The last step: start the server as a user would, put one question to it, end it."""
    port = free_port()
    serve = f"serve --adapter math={ADAPTER} --port {port}"
    ask = f"ask math {shlex.quote(QUESTION)} --url http://127.0.0.1:{port}/v1"
    say(f"\n[{number}/{number}] $ truemark {serve} &")
    with background.server(shlex.split(serve), f"http://127.0.0.1:{port}/health"):
        say(f"      $ truemark {ask}")
        code = cli.run(shlex.split(ask))
    if code:
        raise CheckFailed(f"`truemark {ask}` ended with exit code {code}")


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
