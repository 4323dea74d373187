"""Run a function on hostile input in a pool of worker processes with limits on CPU time, wall time, memory and output.

    sandbox.call("domains.math.equivalence:match", pairs, None, limits=Limits(cpu_seconds=4))

A worker is a fresh Python (never a fork of this process, which may hold torch's threads) that reads one JSON call a line and writes
one JSON answer a line. It is kept for the next call, so an import is paid once, and is not counted against the call's limits. A call
that goes over a limit costs the worker its life and raises SandboxFailed; the next call gets another worker.

What a worker enforces on itself is in `truemark/sandbox_worker.py`. This bounds code of ours that computes on untrusted data.
It is not a jail for untrusted code: none is ever run.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

Failure = Literal["timeout", "memory", "output", "crashed", "error", "stopped"]
TICK = 0.25
"""Seconds between two looks at a busy worker's processor time."""
WORKER = "truemark.sandbox_worker"


@dataclass(frozen=True)
class Limits:
    """What one call may use."""

    cpu_seconds: float = 5
    """Processor time of this call, measured every TICK."""
    wall_seconds: float = 10
    memory_mib: int = 1024
    """Address space of the worker, libraries included."""
    output_bytes: int = 1 << 20


LOADING = Limits(cpu_seconds=60, wall_seconds=300)
"""For the import of a call's module: the code is ours, and a loaded machine may take long over it."""


class SandboxFailed(Exception):
    """The call went over a limit (`timeout`, `memory`, `output`), killed its worker (`crashed`), raised (`error`) or was `stopped`."""

    def __init__(self, kind: Failure, message: str, error: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.error = error
        """Name of the exception's class where the function raised one."""


def call(target: str, *arguments: Any, limits: Limits = Limits(), stop: threading.Event | None = None) -> Any:
    """Run `"module:function"` on JSON-able arguments in a worker and give its JSON-able result. Safe from several threads.

    Setting `stop`, from another thread, ends the call within TICK, and its worker. In a worker, whose limits already hold, the
    function is called where it stands.

    Raises SandboxFailed, and TypeError or ValueError for arguments that are not JSON.
    """
    if _in_worker():
        return _directly(target, arguments)
    request = _encode(target=target, arguments=arguments, cpu_seconds=limits.cpu_seconds, wall=limits.wall_seconds)
    return _pool.call(target.partition(":")[0], request, limits, stop or threading.Event())


def _in_worker() -> bool:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == WORKER


def _directly(target: str, arguments: Sequence[Any]) -> Any:
    """As a call to another worker: through JSON, and with what a function raises as a SandboxFailed."""
    module, _, name = target.partition(":")
    given = json.loads(json.dumps(arguments))
    try:
        return json.loads(json.dumps(getattr(import_module(module), name)(*given)))
    except MemoryError:
        raise SandboxFailed("memory", "no more memory", "MemoryError") from None
    except Exception as error:  # noqa: BLE001 - whatever the function raises is an answer, not a crash
        raise SandboxFailed("error", f"{type(error).__name__}: {str(error)[:500]}", type(error).__name__) from None


def _encode(**request: Any) -> bytes:
    return json.dumps(request).encode() + b"\n"


class _Pool:
    """At most `size` workers, each with one call at a time; the rest of the callers wait."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.places = threading.BoundedSemaphore(size)
        self.lock = threading.Lock()
        self.idle: list[_Worker] = []
        self.alive: set[_Worker] = set()

    def call(self, module: str, request: bytes, limits: Limits, stop: threading.Event) -> Any:
        while not self.places.acquire(timeout=TICK):
            _unless(stop)
        try:
            worker = self._take(limits.memory_mib)
            try:
                worker.load(module, stop)
                answer = worker.ask(request, limits, stop)
                if answer.get("error") == "MemoryError":
                    raise SandboxFailed("memory", f"more than {limits.memory_mib} MiB of memory", "MemoryError")
            except BaseException:
                self._end(worker)
                raise
            with self.lock:
                self.idle.append(worker)
        finally:
            self.places.release()
        if "error" in answer:
            raise SandboxFailed("error", f"{answer['error']}: {answer['message']}", answer["error"])
        return answer["result"]

    def _take(self, memory_mib: int) -> _Worker:
        ended: list[_Worker] = []
        try:
            with self.lock:
                ended += [worker for worker in self.idle if worker.process.poll() is not None]
                self.idle = [worker for worker in self.idle if worker not in ended]
                fitting = next((w for w in reversed(self.idle) if w.memory_mib == memory_mib), None)
                if fitting is not None:
                    self.idle.remove(fitting)
                    return fitting
                if len(self.alive) >= self.size and self.idle:
                    ended.append(self.idle.pop(0))
        finally:
            for worker in ended:
                self._end(worker)
        worker = _Worker(memory_mib)
        with self.lock:
            self.alive.add(worker)
        return worker

    def _end(self, worker: _Worker) -> None:
        worker.kill()
        with self.lock:
            self.alive.discard(worker)

    def close(self) -> None:
        for worker in list(self.alive):
            self._end(worker)


def _unless(stop: threading.Event) -> None:
    if stop.is_set():
        raise SandboxFailed("stopped", "the caller no longer wants the answer")


class _Worker:
    """One process of `truemark.sandbox_worker` and its two pipes."""

    def __init__(self, memory_mib: int) -> None:
        self.memory_mib = memory_mib
        self.loaded: set[str] = set()
        environment = {
            "PYTHONPATH": os.pathsep.join(os.path.abspath(word) for word in sys.path),  # noqa: PTH100 ('' is the cwd)
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER, str(memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which then closes the pipe
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.input, False)

    def load(self, module: str, stop: threading.Event) -> None:
        """Import a module for later calls. Raises SandboxFailed."""
        if module in self.loaded:
            return
        answer = self.ask(
            _encode(load=module, cpu_seconds=LOADING.cpu_seconds, wall=LOADING.wall_seconds), LOADING, stop
        )
        if "error" in answer:
            raise SandboxFailed("error", f"cannot import {module}: {answer['message']}", answer["error"])
        self.loaded.add(module)

    def ask(self, request: bytes, limits: Limits, stop: threading.Event) -> dict[str, Any]:
        """Send one line, wait for one line. Raises SandboxFailed; the worker is then unfit for another call."""
        line = self._exchange(request, limits, stop)
        try:
            answer: dict[str, Any] = json.loads(line)
        except (ValueError, RecursionError):
            raise SandboxFailed("output", "an answer that is not JSON, or nested too deep") from None
        return answer

    def _exchange(self, request: bytes, limits: Limits, stop: threading.Event) -> bytes:
        unsent, received = memoryview(request), bytearray()
        began, cpu = time.monotonic(), self._cpu()
        looked = began
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            selector.register(self.input, selectors.EVENT_WRITE)
            while not received.endswith(b"\n"):
                _unless(stop)
                for key, _ in selector.select(TICK):
                    if key.fd == self.output:
                        received += self._read()
                    elif unsent := unsent[self._write(unsent) :]:
                        continue
                    else:
                        selector.unregister(self.input)
                if len(received) > limits.output_bytes:
                    raise SandboxFailed("output", f"more than {limits.output_bytes} bytes of output")
                now = time.monotonic()
                if now - looked >= TICK:
                    looked = now
                    if now - began > limits.wall_seconds:
                        raise SandboxFailed("timeout", f"no answer within {limits.wall_seconds:g} s")
                    if self._cpu() - cpu > limits.cpu_seconds:
                        raise SandboxFailed("timeout", f"more than {limits.cpu_seconds:g} s of processor time")
        return bytes(received)

    def _read(self) -> bytes:
        chunk = os.read(self.output, 1 << 16)
        if not chunk:
            self._died()
        return chunk

    def _write(self, content: memoryview) -> int:
        try:
            return os.write(self.input, content)
        except BlockingIOError:
            return 0
        except OSError:
            self._died()
            raise

    def _died(self) -> None:
        """Raise SandboxFailed that says how the process ended."""
        code = self.process.wait()
        if -code in (signal.SIGXCPU, signal.SIGALRM):
            raise SandboxFailed("timeout", "the worker's own limit on time ended it")
        raise SandboxFailed(
            "crashed", f"the worker died ({signal.Signals(-code).name if code < 0 else f'exit {code}'})"
        )

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
            assert stream is not None
            stream.close()


_pool = _Pool(max(2, os.cpu_count() or 1))


def _forget() -> None:
    """In a forked child: the workers and their locks are the parent's."""
    global _pool  # noqa: PLW0603
    _pool = _Pool(_pool.size)


def _close() -> None:
    _pool.close()  # the one that is current then


os.register_at_fork(after_in_child=_forget)
atexit.register(_close)
