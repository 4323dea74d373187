"""The worker's side of the sandbox: `python -m truemark.sandbox_worker MEMORY_MIB`, started by `truemark/sandbox.py` alone.

What is enforced, and by whom:

    memory            kernel   RLIMIT_AS
    processor time    kernel   RLIMIT_CPU, 2 s after the limit at which the parent kills; so a worker outlives no killed parent
    wall time         kernel   ITIMER_REAL, 2 s after the parent's limit, for the same reason
    writing to files  kernel   RLIMIT_FSIZE 0: no byte can be added to any file; RLIMIT_CORE 0
    new processes     kernel   RLIMIT_NPROC 0, which the kernel does not apply to root
    sockets, processes, signals, opening for writing, removing, renaming, making links or directories
                      Python   an audit hook: it holds for Python code, not for a C library that means harm

Reading files is not prevented. What a function prints goes nowhere.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from importlib import import_module
from typing import Any

GRACE = 2
"""Seconds by which the kernel's limits come after the parent's."""
_FORBIDDEN = frozenset(
    (
        "socket.__new__",
        "socket.connect",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.killpg",
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.truncate",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.chown",
        "os.utime",
        "shutil.rmtree",
    )
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def work(memory_mib: int) -> None:
    """Answer one JSON call a line from standard input, until it closes."""
    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _confine(memory_mib)
    for line in sys.stdin.buffer:
        _send(output, _answer(line))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(line: bytes) -> bytes:
    try:
        request = json.loads(line)
        _bound_time(request["cpu_seconds"], request["wall"])
        if "load" in request:
            import_module(request["load"])
            return b'{"result": null}'
        module, _, name = request["target"].partition(":")
        return json.dumps({"result": getattr(import_module(module), name)(*request["arguments"])}).encode()
    except Exception as error:  # noqa: BLE001 - whatever the function raises is an answer, not a crash
        return json.dumps({"error": type(error).__name__, "message": str(error)[:500]}).encode()


def _send(output: int, content: bytes) -> None:
    unsent = memoryview(content + b"\n")
    while unsent:
        unsent = unsent[os.write(output, unsent) :]


def _bound_time(cpu_seconds: float, wall_seconds: float) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + cpu_seconds) + GRACE, hard))
    signal.setitimer(signal.ITIMER_REAL, wall_seconds + GRACE)


def _confine(memory_mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    except (ValueError, OSError):  # not every Unix lets it be lowered
        pass
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit is an OSError instead of death
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
        raise PermissionError(f"{event} in the sandbox")


if __name__ == "__main__":
    work(int(sys.argv[1]))
