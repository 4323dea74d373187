"""What hostile input might make a worker do. Run only inside the sandbox."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def echo(value: object) -> object:
    return value


def spin() -> None:
    while True:
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def eat_memory() -> int:
    return len(bytearray(8 << 30))


def flood() -> str:
    return "x" * (4 << 20)


def die() -> None:
    os._exit(3)


def write(path: str) -> None:
    Path(path).write_text("written")


def connect() -> None:
    socket.socket()


def spawn(path: str) -> None:
    subprocess.run(["touch", path], check=False)


def say() -> int:
    print("not an answer")
    sys.stdout.flush()
    return 7
