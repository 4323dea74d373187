"""Run a function on hostile input in a pool of worker processes with limits on CPU time, wall time, memory and output.

    sandbox.call("domains.math.equivalence:match", pairs, None, limits=Limits(cpu_seconds=4))

A worker is a fresh Python (never a fork of this process, which may hold torch's threads) that reads one JSON call a line and writes
one JSON answer a line. It is kept for the next call, so an import is paid once; a call that goes over a limit costs the worker its life
and raises SandboxFailed. In a worker: RLIMIT_AS (memory), RLIMIT_CPU (the worker outlives no parent), RLIMIT_FSIZE 0 (no file can be written to),
RLIMIT_NPROC 0 (no process or thread), and, from Python, no `socket` and no opening for writing. This bounds code of ours that computes
on untrusted data. It is not a jail for untrusted code: none is ever run.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Failure = Literal["timeout", "memory", "output", "crashed", "error"]


@dataclass(frozen=True)
class Limits:
    """What one call may use."""

    cpu_seconds: float = 5
    """Processor time of this call; checked from outside, four times a second."""
    wall_seconds: float = 10
    memory_mib: int = 1024
    """Address space of the worker, libraries included."""
    output_bytes: int = 1 << 20


LOADING = Limits(cpu_seconds=60, wall_seconds=300)
"""For the import of a worker's own module."""


class SandboxFailed(Exception):
    """The call went over a limit (`timeout`, `memory`, `output`), killed its worker (`crashed`) or raised (`error`)."""

    def __init__(self, kind: Failure, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def call(target: str, *arguments: Any, limits: Limits = Limits()) -> Any:
    """Run `"module:function"` on JSON-able arguments in a worker. Safe from several threads.

    Raises SandboxFailed, never anything that depends on the arguments.
    """
    worker = _take(limits.memory_mib)
    healthy = False
    try:
        worker.load(target.partition(":")[0])
        answer = worker.ask({"target": target, "arguments": arguments, "cpu_seconds": limits.cpu_seconds}, limits)
        healthy = True
    finally:
        if healthy:
            _give_back(worker)
        else:
            worker.kill()
    if "result" in answer:
        return answer["result"]
    raise SandboxFailed(
        "memory" if answer["error"] == "MemoryError" else "error", f"{answer['error']}: {answer['message']}"
    )


class _Worker:
    def __init__(self, memory_mib: int) -> None:
        self.memory_mib = memory_mib
        self.loaded: set[str] = set()
        path = os.pathsep.join(word or str(Path.cwd()) for word in sys.path)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "truemark.sandbox", str(memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def load(self, module: str) -> None:
        """Import the module once, outside the limits of a call: on a busy machine SymPy takes its time."""
        if module not in self.loaded:
            self.ask(
                {"target": "importlib:import_module", "arguments": [module], "cpu_seconds": LOADING.cpu_seconds},
                LOADING,
            )
            self.loaded.add(module)

    def ask(self, request: dict[str, Any], limits: Limits) -> dict[str, Any]:
        assert self.process.stdin is not None
        began, cpu = time.monotonic(), self._cpu()
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise SandboxFailed("crashed", "the worker had died") from None
        line = self._read_line(began, cpu, limits)
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise SandboxFailed("crashed", "the worker died in the middle of its answer") from None
        return answer

    def _read_line(self, began: float, cpu: float, limits: Limits) -> bytes:
        assert self.process.stdout is not None
        stream = self.process.stdout.fileno()
        content = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not content.endswith(b"\n"):
                if selector.select(0.25):
                    chunk = os.read(stream, 1 << 16)
                    if not chunk:
                        raise SandboxFailed("crashed", "the worker died")
                    content += chunk
                    if len(content) > limits.output_bytes:
                        raise SandboxFailed("output", f"more than {limits.output_bytes} bytes of output")
                elif time.monotonic() - began > limits.wall_seconds:
                    raise SandboxFailed("timeout", f"no answer within {limits.wall_seconds} s")
                elif self._cpu() - cpu > limits.cpu_seconds:
                    raise SandboxFailed("timeout", f"more than {limits.cpu_seconds} s of processor time")
        return content

    def _cpu(self) -> float:
        """Processor seconds of the worker so far (Linux; 0 elsewhere, where wall time bounds alone)."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 (hot path)
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # a pipe to a dead process may refuse its last flush
                    pass


_idle: list[_Worker] = []
_lock = threading.Lock()


def _take(memory_mib: int) -> _Worker:
    with _lock:
        for index, worker in enumerate(_idle):
            if worker.memory_mib == memory_mib:
                del _idle[index]
                return worker
    return _Worker(memory_mib)


def _give_back(worker: _Worker) -> None:
    with _lock:
        if len(_idle) < (os.cpu_count() or 1):
            _idle.append(worker)
            return
    worker.kill()


@atexit.register
def _end() -> None:
    while _idle:
        _idle.pop().kill()


def _work(memory_mib: int) -> None:
    """The worker's loop: one JSON call a line from standard input, until it closes."""
    from importlib import import_module

    output = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _confine(memory_mib)
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            _bound_processor_time(request["cpu_seconds"])
            module, _, name = request["target"].partition(":")
            result = getattr(import_module(module), name)(*request["arguments"])
            content = json.dumps({"result": None if module == "importlib" else result})
        except Exception as error:  # noqa: BLE001 - whatever the function raises is an answer, not a crash
            content = json.dumps({"error": type(error).__name__, "message": str(error)[:500]})
        output.write(content.encode() + b"\n")
        output.flush()


def _bound_processor_time(seconds: float) -> None:
    """The kernel ends the worker a little after the pool would have, so it outlives no parent that was killed."""
    import resource

    used = time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 2, hard))


def _confine(memory_mib: int) -> None:
    import contextlib
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.__new__", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
            raise PermissionError(f"{event} in the sandbox")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError("writing in the sandbox")
        if event in (
            "os.remove",
            "os.rename",
            "os.mkdir",
            "os.rmdir",
            "os.truncate",
            "os.link",
            "os.symlink",
            "shutil.rmtree",
        ):
            raise PermissionError(f"{event} in the sandbox")

    sys.addaudithook(audit)


if __name__ == "__main__":
    _work(int(sys.argv[1]))
