"""The servers that benchmarks/serving.py compares, each as a user would start it, each in processes of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from truemark import artifacts
from truemark.files import write_json

SHELF = Path(__file__).parent.parent / "adapters"
START_LIMIT = 180.0


@dataclass(frozen=True)
class Server:
    """A running one."""

    address: tuple[str, int]
    pid: int


def adapters(directory: Path, n: int, base: str) -> dict[str, Path]:
    """`n` different lora-gguf exports for `base`: the two shipped adapters, then both weaker and weaker (a smaller alpha)."""
    from truemark.gguf_convert import FILE, lora_gguf
    from truemark.models import resolve

    made = {}
    for i in range(n):
        source = SHELF / ("math-smollm2", "rewording-smollm2")[i % 2]
        peft, target = directory / f"peft-{i}", directory / f"a{i}"
        if not target.is_dir():
            shutil.copytree(source, peft, ignore=shutil.ignore_patterns("truemark.json", "*.md", "scores.json"))
            config = json.loads((peft / "adapter_config.json").read_text())
            config["lora_alpha"] *= 1 - 0.15 * (i // 2)
            write_json(peft / "adapter_config.json", config)
            gguf = lora_gguf(resolve(str(peft)), resolve("smollm2-135m"))
            described = artifacts.Base(ref=base, sha256=resolve(base).weights_sha256())
            with artifacts.create(
                target, kind="export", name=target.name, domain="math", format="lora-gguf", base=described
            ) as draft:
                shutil.copy(gguf, draft.path / FILE)
                shutil.copy(source / "chat_template.jinja", draft.path)
        made[f"a{i}"] = target
    return made


@contextlib.contextmanager
def gateway(of: Mapping[str, Path], log: Path, base: str) -> Iterator[Server]:
    """`truemark serve` with these adapters."""
    words = [word for name, path in of.items() for word in ("--adapter", f"{name}={path}")]
    command = [
        sys.executable,
        "-P",
        "-m",
        "truemark",
        "serve",
        *words,
        "--base",
        base,
        "--port",
        str(port := _free_port()),
    ]
    with _running(command, port, "/health", log) as server:
        yield server


@contextlib.contextmanager
def bare(of: Mapping[str, Path], log: Path, base: str) -> Iterator[Server]:
    """llama-server alone, with the very arguments that the gateway gives it, on a TCP port."""
    from serve import catalog, engines
    from serve.engines.llamacpp import LlamaCppEngine
    from truemark import toolchain

    models = catalog.read([f"{name}={path}" for name, path in of.items()], base)
    engine = engines.create("llamacpp", models.base.ref, models.adapters)
    assert isinstance(engine, LlamaCppEngine)
    port = _free_port()
    command = [str(toolchain.binary("llama-server")), *engine.arguments("--host", "127.0.0.1", "--port", str(port))]
    with _running(command, port, "/health", log, toolchain.environment()) as server:
        yield server


@contextlib.contextmanager
def llama_cpp_server(log: Path, base: str) -> Iterator[Server]:
    """llama-cpp-python's own server on the same base. Needs `pip install 'llama-cpp-python[server]'`."""
    from truemark.models import resolve
    from truemark.settings import threads

    model = resolve(base)
    file = model.embedded.gguf() if model.embedded else model.path
    port = _free_port()
    command = [sys.executable, "-P", "-m", "llama_cpp.server", "--model", str(file), "--port", str(port)]
    command += ["--n_ctx", "2048", "--n_threads", str(threads()), "--n_threads_batch", str(threads())]
    command += ["--interrupt_requests", "False"]  # or a request breaks off the one before it
    with _running(command, port, "/v1/models", log) as server:
        yield server


@contextlib.contextmanager
def _running(
    command: list[str], port: int, path: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    try:
        end = time.monotonic() + START_LIMIT
        while not _answers(port, path):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{' '.join(command)} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield Server(("127.0.0.1", port), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def engine_of(pid: int) -> int | None:
    """Process id of the llama-server that a gateway runs."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            if name.startswith("llama-server") and int(rest.split()[1]) == pid:
                return int(stat.parent.name)
    return None


def resident_mb(pid: int) -> float:
    """Memory of one process."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024
    return 0.0


def handles(pid: int) -> int:
    """Open file handles of one process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def health(server: Server) -> dict[str, object]:
    """The gateway's own word; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.address[1]}/health", timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
    except (OSError, ValueError):
        return {}
    return found
