"""How much of an engine's speed the gateway gives on, alone and with adapters mixed; and what hours of abuse leave of it.

    python -m benchmarks.serving bare                 the gateway beside the bare llama-server, the same arguments and requests
    python -m benchmarks.serving mixed                16 streams: one adapter, four in turn, four at random; and four on the bare engine
    python -m benchmarks.serving alternatives         llama-cpp-python's own server, one model, and the gateway beside it
    python -m benchmarks.serving grid                 1 to 64 concurrent, 1 to 8 adapters, even and skewed
    python -m benchmarks.serving arrivals             Poisson and bursty arrivals at 70 % of the measured capacity
    python -m benchmarks.serving soak --minutes 20    mixed traffic and everything a server dreads: benchmarks/serving_soak.py
    python -m benchmarks.serving all

Each part writes its own key of benchmarks/results/serving.json, with what it was measured on. A cell lasts --seconds and
is measured --repeats times; contestants take turns (A B A B …), and the median is reported beside all values. Requests
are greedy, of --tokens new tokens at most, streamed; a request's own prompt differs from all others, and no server
reuses any part of one. Tokens per second are counted between the tenth of the time and its end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import random
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import serving_load as load
from benchmarks import serving_servers as servers
from benchmarks import serving_soak
from truemark import artifacts
from truemark.files import write_json
from truemark.settings import threads

OUT = Path(__file__).parent / "results" / "serving.json"
Cell = dict[str, Any]
Start = Callable[[], AbstractContextManager[servers.Server]]
Work = Callable[[tuple[str, int]], Any]
"""A coroutine function that loads the server at an address, and returns figures."""


def name_of(base: str) -> str:
    """The served name of a base."""
    return Path(base.removeprefix("gguf:")).stem if base.startswith("gguf:") else base


def ratio(one: float, other: float) -> float | None:
    """None where nothing was measured."""
    return one / other if other else None


def bodies(models: list[str], options: argparse.Namespace, *, skewed: bool = False) -> load.Bodies:
    """Requests as all parts send them."""
    return load.requests(models, skewed=skewed, tokens=options.tokens)


def in_turn(
    contestants: dict[str, tuple[Start, Callable[[], load.Bodies]]], width: int, options: argparse.Namespace
) -> Cell:
    """Each contestant under `width` closed clients, --repeats times, A B A B …; one server runs at a time."""
    runs: dict[str, list[Cell]] = {name: [] for name in contestants}
    for _ in range(options.repeats):
        for name, (start, make) in contestants.items():
            with start() as server:
                asyncio.run(load.closed(server.address, make(), width=min(width, 4), seconds=options.seconds / 10))
                runs[name].append(
                    asyncio.run(load.closed(server.address, make(), width=width, seconds=options.seconds))
                )
            last = runs[name][-1]
            print(
                f"{name}: {last['tokens_per_second']:.1f} tok/s, failed {last['failed']} {last['errors']}", flush=True
            )
    return {name: summary(found) for name, found in runs.items()}


def summary(runs: list[Cell]) -> Cell:
    """Medians over repeats, and the repeats."""
    median = {
        "tokens_per_second": statistics.median(run["tokens_per_second"] for run in runs),
        "ttft_p50_seconds": statistics.median(run["ttft_seconds"].get("p50", float("nan")) for run in runs),
        "ttft_p100_seconds": max(run["ttft_seconds"].get("p100", float("nan")) for run in runs),
        "failed": sum(run["failed"] for run in runs),
    }
    return {**median, "runs": runs}


def bare(home: Path, options: argparse.Namespace) -> Cell:
    """The gateway against the engine behind it, on one adapter, at 1 and --concurrent streams."""
    made = servers.adapters(home, 1, options.base)
    found: Cell = {}
    for width in sorted({1, options.concurrent}):
        contestants: dict[str, tuple[Start, Callable[[], load.Bodies]]] = {
            "gateway": (
                lambda: servers.gateway(made, home / "gateway.log", options.base),
                lambda: bodies(["a0"], options),
            ),
            "bare": (
                lambda: servers.bare(made, home / "bare.log", options.base),
                lambda: for_engine(bodies(["a0"], options), 1),
            ),
        }
        cell = in_turn(contestants, width, options)
        cell["throughput"] = ratio(cell["gateway"]["tokens_per_second"], cell["bare"]["tokens_per_second"])
        cell["added_ttft_p50_ms"] = 1e3 * (cell["gateway"]["ttft_p50_seconds"] - cell["bare"]["ttft_p50_seconds"])
        found[f"{width} concurrent"] = cell
    return found


def for_engine(of: load.Bodies, n: int) -> load.Bodies:
    """The same requests as llama-server takes them: an adapter by its number, no reuse of a prompt."""
    for body in of:
        scales = [{"id": i, "scale": float(body["model"] == f"a{i}")} for i in range(n)]
        yield {**body, "lora": scales, "cache_prompt": False, "top_k": 0, "min_p": 0}


def mixed(home: Path, options: argparse.Namespace) -> Cell:
    """Four adapters at once against one, at --concurrent streams; the same on the engine without the gateway's order."""
    made = servers.adapters(home, 4, options.base)
    names = list(made)
    gateway = functools.partial(servers.gateway, made, home / "gateway.log", options.base)
    alone = functools.partial(servers.bare, made, home / "bare.log", options.base)
    contestants: dict[str, tuple[Start, Callable[[], load.Bodies]]] = {
        "one adapter": (gateway, lambda: bodies(names[:1], options)),
        "four in turn": (gateway, lambda: bodies(names, options)),
        "four skewed": (gateway, lambda: bodies(names, options, skewed=True)),
        "four in turn, bare engine": (alone, lambda: for_engine(bodies(names, options), 4)),
    }
    cell = in_turn(contestants, options.concurrent, options)
    one = cell["one adapter"]["tokens_per_second"]
    return cell | {"of_one_adapter": {name: ratio(cell[name]["tokens_per_second"], one) for name in contestants}}


def alternatives(home: Path, options: argparse.Namespace) -> Cell:
    """llama-cpp-python's server with the base, beside the gateway with the base, and with four adapters mixed."""
    made = servers.adapters(home, 4, options.base)
    contestants: dict[str, tuple[Start, Callable[[], load.Bodies]]] = {
        "llama_cpp.server": (
            lambda: servers.llama_cpp_server(home / "llama_cpp.log", options.base),
            lambda: bodies([name_of(options.base)], options),
        ),
        "gateway": (
            lambda: servers.gateway({}, home / "gateway.log", options.base),
            lambda: bodies([name_of(options.base)], options),
        ),
        "gateway, four adapters": (
            lambda: servers.gateway(made, home / "four.log", options.base),
            lambda: bodies([*made], options),
        ),
    }
    cell = in_turn(contestants, options.concurrent, options)
    theirs = cell["llama_cpp.server"]["tokens_per_second"]
    cell["times_llama_cpp_server"] = {name: ratio(cell[name]["tokens_per_second"], theirs) for name in contestants}
    return cell


def grid(home: Path, options: argparse.Namespace) -> list[Cell]:
    """Every combination once; one server per number of adapters."""
    rows = []
    for n in options.adapters:
        made = servers.adapters(home, n, options.base)
        with servers.gateway(made, home / "gateway.log", options.base) as server:
            for width in options.widths:
                for skewed in (False, True) if n > 1 else (False,):
                    ask = bodies(list(made), options, skewed=skewed)
                    cell = asyncio.run(load.closed(server.address, ask, width=width, seconds=options.seconds))
                    rows.append({"adapters": n, "skewed": skewed, **cell})
                    print(n, "adapters", width, "wide", f"{cell['tokens_per_second']:.1f} tok/s", flush=True)
    return rows


def arrivals(home: Path, options: argparse.Namespace) -> list[Cell]:
    """Open loops: the rate is 70 % of the answers per second that 16 closed clients get."""
    rows = []
    for n in options.adapters:
        made = servers.adapters(home, n, options.base)
        with servers.gateway(made, home / "gateway.log", options.base) as server:
            ask = functools.partial(bodies, list(made), options)
            full = asyncio.run(load.closed(server.address, ask(), width=16, seconds=options.seconds))
            rate = max(0.05, 0.7 * full["answers"] / options.seconds)
            for burst in (1, 8):
                gaps = functools.partial(random.Random(11).expovariate, rate / burst)
                for skewed in (False, True) if n > 1 else (False,):
                    work = load.opened(
                        server.address, ask(skewed=skewed), gaps=gaps, burst=burst, seconds=options.seconds
                    )
                    cell = asyncio.run(work)
                    rows.append({"adapters": n, "burst": burst, "skewed": skewed, "per_second": rate, **cell})
    return rows


def soak(home: Path, options: argparse.Namespace) -> Cell:
    """See benchmarks/serving_soak.py."""
    made = servers.adapters(home, 4, options.base)
    with servers.gateway(made, home / "gateway.log", options.base) as server:
        models = [*made, name_of(options.base)]
        return asyncio.run(serving_soak.soak(server, models, seconds=60 * options.minutes, kill_every=options.kill))


PARTS: dict[str, Callable[[Path, argparse.Namespace], Any]] = {
    "bare": bare,
    "mixed": mixed,
    "alternatives": alternatives,
    "grid": grid,
    "arrivals": arrivals,
    "soak": soak,
}


def head() -> dict[str, Any]:
    """Where and with what it was measured."""
    versions = {**artifacts.library_versions()}
    for name in ("starlette", "uvicorn", "httpx", "aiohttp"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"command": shlex.join(["python", "-m", "benchmarks.serving", *sys.argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(), "machine": artifacts.machine(), "threads": threads(),
            "versions": versions}  # fmt: skip


def numbers(word: str) -> list[int]:
    """`1,4,16` as numbers."""
    return [int(part) for part in word.split(",")]


@contextlib.contextmanager
def working_directory(keep: Path | None) -> Iterator[Path]:
    """Adapters and logs."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="truemark-serving-") as made:
        yield Path(made)


def main() -> None:
    """One of the parts, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--seconds", type=float, default=30.0, help="of a cell")
    parser.add_argument("--base", default="smollm2-135m", help="or gguf:FILE, e.g. the same weights as q8_0")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="new tokens of a request, at most")
    parser.add_argument("--concurrent", type=int, default=16, help="of bare, mixed and alternatives")
    parser.add_argument("--widths", type=numbers, default=[1, 4, 16, 64], help="of grid")
    parser.add_argument("--adapters", type=numbers, default=[1, 2, 4, 8], help="of grid and arrivals")
    parser.add_argument("--minutes", type=float, default=20.0, help="of soak")
    parser.add_argument("--kill", type=float, default=120.0, help="seconds between two kills of the engine in soak")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--keep", type=Path, help="a directory for adapters and logs, kept")
    options = parser.parse_args()
    for part in PARTS if options.part == "all" else [options.part]:
        print(f"{part} …", flush=True)
        with working_directory(options.keep) as home:
            found = PARTS[part](home.absolute(), options)
        known = json.loads(options.out.read_text()) if options.out.is_file() else {}
        write_json(options.out, {**known, part: {**head(), "found": found}})


if __name__ == "__main__":
    main()
