"""The sandbox: over any limit is a SandboxFailed within the limit's time, and the pool goes on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from truemark.sandbox import Limits, SandboxFailed, call

TARGETS = "tests.sandbox_targets"


def test_arguments_and_results_travel() -> None:
    value = {"a": [1, 2.5, None, "ü\n"], "b": {"c": True}}
    assert call(f"{TARGETS}:echo", value) == value


@pytest.mark.parametrize(
    ("target", "arguments", "limits", "kind"),
    [
        ("spin", (), Limits(cpu_seconds=0.5, wall_seconds=30), "timeout"),
        ("sleep", (60,), Limits(wall_seconds=0.5), "timeout"),
        ("eat_memory", (), Limits(memory_mib=512), "memory"),
        ("flood", (), Limits(output_bytes=1 << 20), "output"),
        ("die", (), Limits(), "crashed"),
        ("no_such_function", (), Limits(), "error"),
    ],
)
def test_limits(target: str, arguments: tuple[object, ...], limits: Limits, kind: str) -> None:
    began = time.monotonic()
    with pytest.raises(SandboxFailed) as failure:
        call(f"{TARGETS}:{target}", *arguments, limits=limits)
    assert failure.value.kind == kind
    assert time.monotonic() - began < 30
    assert call(f"{TARGETS}:echo", 1) == 1


def test_no_files_no_processes_no_network(tmp_path: Path) -> None:
    for target, arguments in (("write", (str(tmp_path / "a"),)), ("spawn", (str(tmp_path / "b"),)), ("connect", ())):
        with pytest.raises(SandboxFailed) as failure:
            call(f"{TARGETS}:{target}", *arguments)
        assert "PermissionError" in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_printing_is_not_answering() -> None:
    assert call(f"{TARGETS}:say") == 7


def test_many_threads_share_the_pool() -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda n=n: found.append(call(f"{TARGETS}:echo", n))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(12))  # type: ignore[type-var]
