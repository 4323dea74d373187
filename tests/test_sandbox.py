"""The sandbox: whatever a function does, the caller gets a result or a typed failure, in time, and the next call works."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from truemark import sandbox
from truemark.sandbox import Limits, SandboxFailed

LIMITS = Limits(cpu_seconds=1, wall_seconds=90, memory_mib=512, output_bytes=1 << 16)
"""Wall time is a backstop alone, so that a loaded machine changes nothing."""
HERE = "tests.sandbox_targets"


def run(name: str, *arguments: Any, limits: Limits = LIMITS) -> Any:
    return sandbox.call(f"{HERE}:{name}", *arguments, limits=limits)


@pytest.fixture(autouse=True)
def _works_afterwards() -> Iterator[None]:
    yield
    assert run("echo", "still here") == "still here"


def test_values_travel_whole() -> None:
    value = {"text": "ü\u2028\x00\ud800 \N{PILE OF POO}\n", "numbers": [1, 2.5, None, True], "nested": [[[]]]}
    assert run("echo", value) == value


def test_a_request_larger_than_a_pipe_travels() -> None:
    big = "x" * 3_000_000
    assert run("echo", big, limits=Limits(wall_seconds=90, output_bytes=1 << 23)) == big


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("spin", (), "timeout"),
        ("hog_memory", (), "memory"),
        ("flood", (1 << 20,), "output"),
        ("leave", (0,), "crashed"),
        ("leave_politely", (), "crashed"),
        ("abort", (), "crashed"),
        ("recurse", (), "error"),
        ("nest", (20_000,), "error"),
        ("fail", (), "error"),
        ("not_json", (), "error"),
        ("no_such_function", (), "error"),
    ],
)
def test_going_over_a_limit_is_a_typed_failure_in_time(name: str, arguments: tuple[Any, ...], kind: str) -> None:
    with pytest.raises(SandboxFailed) as failed:
        run(name, *arguments)
    assert failed.value.kind == kind, failed.value


def test_waiting_is_bounded_too() -> None:
    run("echo", 1)  # the worker's start is not what is timed
    began = time.monotonic()
    with pytest.raises(SandboxFailed, match="no answer within") as failed:
        run("sleep", 60, limits=Limits(wall_seconds=0.5, memory_mib=512))
    assert failed.value.kind == "timeout"
    assert time.monotonic() - began < 30


def test_a_raised_error_keeps_its_name_and_its_worker() -> None:
    before = run("pid")
    with pytest.raises(SandboxFailed) as failed:
        run("fail")
    assert failed.value.error == "ZeroDivisionError"
    assert run("pid") == before


def test_a_killed_worker_is_replaced_and_gone() -> None:
    before = run("pid")
    with pytest.raises(SandboxFailed):
        run("spin")
    assert run("pid") != before
    assert not Path(f"/proc/{before}").exists()


def test_a_worker_killed_while_idle_costs_no_call() -> None:
    os.kill(run("pid"), signal.SIGKILL)
    time.sleep(0.2)
    assert run("echo", 5) == 5


def test_a_missing_module_is_an_error() -> None:
    with pytest.raises(SandboxFailed, match="no_such_module"):
        sandbox.call("no_such_module:f")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("print_much") == "printed"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["write", "write_by_descriptor", "make_directory"])
def test_no_file_is_made(name: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxFailed) as failed:
        run(name, str(tmp_path / "new"))
    assert failed.value.error in ("PermissionError", "OSError")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["write", "remove"])
def test_no_file_is_changed(name: str, tmp_path: Path) -> None:
    file = tmp_path / "old"
    file.write_text("kept")
    with pytest.raises(SandboxFailed):
        run(name, str(file))
    assert file.read_text() == "kept"


@pytest.mark.parametrize("name", ["connect", "start_process", "shell", "fork", "signal_parent"])
def test_no_network_and_no_processes(name: str) -> None:
    with pytest.raises(SandboxFailed) as failed:
        run(name)
    assert failed.value.error == "PermissionError"


def test_the_kernel_alone_stops_a_write(tmp_path: Path) -> None:
    """Without the audit hook: RLIMIT_FSIZE lets no byte through."""
    code = (
        "import sys; from truemark import sandbox_worker as w; sys.addaudithook = lambda hook: None; w._confine(1024)\n"
        f"import os; d = os.open({str(tmp_path / 'new')!r}, os.O_WRONLY | os.O_CREAT)\n"
        "try: os.write(d, b'x')\nexcept OSError as error: sys.exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 7
    assert (tmp_path / "new").stat().st_size == 0


def test_many_threads_share_few_workers() -> None:
    pids: list[int] = []

    def many() -> None:
        for _ in range(10):
            pids.append(run("pid"))

    threads = [threading.Thread(target=many) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 120
    assert len(set(pids)) <= max(2, os.cpu_count() or 1)


def test_calls_are_quick_once_the_worker_runs() -> None:
    run("echo", 0)
    began = time.monotonic()
    for number in range(500):
        assert run("echo", number) == number
    assert time.monotonic() - began < 30  # a thousand a minute on a loaded machine


def test_a_forked_child_leaves_the_parents_workers_alone() -> None:
    worker = run("pid")
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if run("pid") != worker else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run("pid") == worker


PARENT = """
import sys, threading, time
from truemark import sandbox
pid = sandbox.call("tests.sandbox_targets:pid")
print(pid, flush=True)
if sys.argv[1] == "busy":
    sandbox.call("tests.sandbox_targets:sleep", 60, limits=sandbox.Limits(wall_seconds=3))
elif sys.argv[1] == "idle":
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("state", "end"),
    [("idle", signal.SIGINT), ("busy", signal.SIGINT), ("idle", signal.SIGKILL), ("busy", signal.SIGKILL), ("", None)],
)
def test_no_worker_outlives_its_parent(state: str, end: signal.Signals | None) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, state], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    worker = Path(f"/proc/{int(parent.stdout.readline())}")
    time.sleep(0.3)
    if end:
        parent.send_signal(end)
    parent.wait(timeout=30)
    deadline = time.monotonic() + 15
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(worker)


def _runs(process: Path) -> bool:
    """Whether it exists and is more than a zombie that its new parent has not reaped."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_call_can_be_stopped() -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(SandboxFailed) as caught:
        sandbox.call(f"{HERE}:linger", limits=LIMITS, stop=stop)
    assert caught.value.kind == "stopped"


def test_a_call_that_waits_for_a_worker_can_be_stopped() -> None:
    ends = [threading.Event() for _ in range(sandbox._pool.size)]
    threads = [threading.Thread(target=linger_until, args=(end,), daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    while sandbox._pool.places.acquire(blocking=False):
        sandbox._pool.places.release()
        time.sleep(0.02)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(SandboxFailed, match="no longer wants"):
        sandbox.call(f"{HERE}:echo", 1, limits=LIMITS, stop=stop)
    for end in ends:
        end.set()
    for thread in threads:
        thread.join()


def linger_until(end: threading.Event) -> None:
    with contextlib.suppress(SandboxFailed):
        sandbox.call(f"{HERE}:linger", limits=LIMITS, stop=end)


def test_a_call_from_inside_stays_in_its_worker() -> None:
    outer, inner, value = run("nested", ["ü", {"a": 1}])
    assert outer == inner != os.getpid()
    assert value == ["ü", {"a": 1}]
    assert run("nested_failure") == "error ZeroDivisionError"
