"""A child process on a leash: it ends with this process, however this process ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Asks the kernel to kill the engine when its parent dies (PR_SET_PDEATHSIG = 1), then becomes the engine. A program of
# its own and not a `preexec_fn`, which may deadlock in a process with threads. The kernel looks at the *thread* that
# started the child: start engines from a thread that lives as long as they do.
_LEASH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A running child process in a session of its own (a terminal's Ctrl-C does not reach it), output to `log`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())] if sys.platform == "linux" else []
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*leash, *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL; `alive` is false when this returns."""
        self._process.kill()
        self._process.wait()

    def cpu_seconds(self) -> float | None:
        """Processor time of all its threads so far; None where there is no /proc."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def last_words(self, lines: int = 3) -> str:
        """The end of its output and how it ended, for an error message."""
        code = self._process.poll()
        ended = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
        with contextlib.suppress(OSError):
            words = self._log.read_bytes()[-4000:].decode(errors="replace").strip().splitlines()[-lines:]
            return " / ".join([ended, *(word.strip() for word in words)])
        return ended

    async def stop(self, grace: float = 3.0) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds; returns when it is gone."""
        if self.alive():
            self._process.terminate()
            try:
                async with asyncio.timeout(grace):
                    while self.alive():
                        await asyncio.sleep(0.02)
            except TimeoutError:
                pass
            finally:  # on cancellation too
                if self.alive():
                    self._process.kill()
        self._process.wait()
