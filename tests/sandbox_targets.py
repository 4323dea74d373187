"""Functions that misbehave, for the sandbox's workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def spin() -> None:
    while True:
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def pid_then_sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def hog_memory() -> int:
    return len([bytes(1 << 26) for _ in range(10_000)])  # calloc: no page is touched, so no time is spent


def flood(size: int) -> str:
    return "x" * size


def print_much() -> str:
    sys.stdout.write("y" * 3_000_000)
    print("y" * 3_000_000, file=sys.stderr)
    return "printed"


def leave(code: int) -> None:
    os._exit(code)


def leave_politely() -> None:
    sys.exit(3)


def abort() -> None:
    os.abort()


def nest(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1)


def fail() -> None:
    raise ZeroDivisionError("by zero")


def not_json() -> object:
    return object()


def write(path: str) -> None:
    Path(path).write_text("written")


def write_by_descriptor(path: str) -> None:
    os.write(os.open(path, os.O_WRONLY | os.O_CREAT), b"written")


def remove(path: str) -> None:
    Path(path).unlink()


def make_directory(path: str) -> None:
    Path(path).mkdir()


def connect() -> None:
    import socket

    socket.create_connection(("127.0.0.1", 9), timeout=1)


def start_process() -> None:
    subprocess.run(["true"], check=True)


def shell() -> None:
    os.system("true")


def fork() -> None:
    os.fork()


def signal_parent() -> None:
    os.kill(os.getppid(), 0)


def linger(*arguments: Any) -> None:
    """Sleeps, whatever it is given."""
    time.sleep(600)


def spin_on(*arguments: Any) -> None:
    """Computes for ever, whatever it is given."""
    spin()


def nested(value: Any) -> Any:
    """A call of the sandbox from inside of it."""
    from truemark import sandbox

    return [os.getpid(), sandbox.call("tests.sandbox_targets:pid"), sandbox.call("tests.sandbox_targets:echo", value)]


def nested_failure() -> str:
    """What a caller inside the sandbox sees of a function that raises."""
    from truemark import sandbox

    try:
        sandbox.call("tests.sandbox_targets:fail")
    except sandbox.SandboxFailed as failure:
        return f"{failure.kind} {failure.error}"
    return ""
