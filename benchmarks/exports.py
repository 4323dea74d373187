"""Every export of a trained adapter in one run: cost to make, size, speed, KL and score; beside them what one would do by hand.

python -m benchmarks.exports runs/math-smollm2 [--optimum PYTHON]      → benchmarks/results/exports.json (about 45 minutes on 2 cores)

PYTHON is an interpreter with optimum-onnx 0.1.0 (it pins transformers < 4.58, so it has an environment of its own); without it those
rows are left out. Run it on a quiet machine: the figures are timed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import by_hand
from exports import FORMATS
from exports.mark import measure
from exports.measures import Interval, judge
from exports.probe import probe
from exports.reference import reference
from exports.source import opened
from truemark import artifacts, portability
from truemark.artifacts import Parent
from truemark.settings import threads

ROOT = Path(__file__).parent.parent
LINES = ("kl", "kl_p99", "top1", "prefix", "canary", "perplexity")
Row = dict[str, Any]


def main() -> None:
    """Measure all, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--optimum", help="Python with optimum-onnx")
    parser.add_argument("--only", help="formats, separated by commas")
    parser.add_argument("--make", nargs=2, metavar=("FORMAT", "OUT"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.make:
        print(json.dumps(make(wanted.adapter, wanted.make[0], Path(wanted.make[1]), wanted.optimum)))
        return
    with opened(wanted.adapter) as source:
        plan = portability.of_adapter(source.path, source.base)
        formats = [*FORMATS, *(name for name in by_hand.ROUTES if wanted.optimum or not name.startswith("optimum"))]
        if wanted.only:
            formats = wanted.only.split(",")
        refused = {line.format for line in portability.blocked(plan, list(FORMATS))}
        began = time.monotonic()
        measured = reference(source.ref, source.base, source.artifact.manifest.domain)
        reference_seconds = time.monotonic() - began
        fp32 = sum(file.stat().st_size for file in source.base.local_path().glob("*.safetensors")) / 1e6
        result = {
            "command": f"python -m benchmarks.exports {wanted.adapter}{' --optimum PYTHON' if wanted.optimum else ''}",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": artifacts.machine(),
            "threads": threads(),
            "versions": artifacts.library_versions(),
            "adapter": source.artifact.id,
            "prompts": len(measured.examples),
            "fp32_mb": round(fp32, 1),
            "bandwidth_gb_per_s": round(bandwidth() / 1e9, 1),
            "reference_seconds": round(reference_seconds, 1),
            "left_out": sorted(refused),
            "adapter_speed": probe(wanted.adapter, source.artifact.manifest.domain),
            "rows": [],
        }
        with tempfile.TemporaryDirectory(prefix="truemark-exports-") as scratch:
            for name in formats:
                if name not in refused:
                    row = one(wanted.adapter, name, Path(scratch), measured, wanted.optimum)
                    result["rows"].append(row)
                    print(json.dumps(row), flush=True)
                    result["goals"] = goals(result)
                    out = ROOT / "benchmarks" / "results" / "exports.json"
                    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result["goals"], indent=2))


def one(adapter: Path, name: str, scratch: Path, measured: Any, optimum: str | None) -> Row:
    """Make one export in a process of its own, mark it, time it."""
    out = scratch / name.replace(" ", "-")
    command = [sys.executable, "-m", "benchmarks.exports", str(adapter), "--make", name, str(out)]
    run = subprocess.run(
        [*command, *(["--optimum", optimum] if optimum else [])], capture_output=True, text=True, check=False
    )
    if run.returncode:
        return {"format": name, "error": run.stderr.strip().splitlines()[-1][:300]}
    artifact = artifacts.open_artifact(out)
    began = time.monotonic()
    mark = measure(artifact, measured)
    row: Row = {"format": name, **json.loads(run.stdout.splitlines()[-1]), "mark_seconds": round(time.monotonic() - began, 1)}  # fmt: skip
    lines = {check["name"]: check["value"] for check in mark["checks"]}
    row |= {key: lines[key] for key in LINES if key in lines}
    row |= {"mb": mark["size_mb"], "verdict": mark["verdict"], "score": mark.get("score")}
    if "kl" not in lines:
        return {**row, "error": mark["checks"][0]["text"]}
    row |= probe(out, artifact.manifest.domain)
    shutil.rmtree(out)
    return row


def make(adapter: Path, name: str, out: Path, optimum: str | None) -> Row:
    """Write the export as an artifact without a mark; seconds, and peak resident memory of this process with its children."""
    from importlib import import_module

    with _peak() as peak, opened(adapter) as source:
        manifest = source.artifact.manifest
        route = by_hand.ROUTES.get(name)
        format = route.format if route else name
        began = time.monotonic()
        with artifacts.create(
            out, kind="export", name=out.name, domain=manifest.domain, format=format, base=manifest.base
        ) as draft:
            if route:
                route.write(source, draft.path, optimum)
            else:
                module, _, attribute = FORMATS[format].partition(":")
                getattr(import_module(module), attribute)(source, draft.path, format)
            draft.manifest.parents = [Parent(name=manifest.name, sha256=source.artifact.sha, path=str(source.path))]
        seconds = time.monotonic() - began
    return {"export_seconds": round(seconds, 1), "export_peak_mb": round(max(peak) / 1e6, 1)}


@contextlib.contextmanager
def _peak() -> Iterator[list[int]]:
    """A list that gets the memory in bytes (PSS: shared pages once) of this process and all it has started, ten times a second."""
    import psutil

    seen, done, me = [0], threading.Event(), psutil.Process()

    def sample() -> None:
        while not done.wait(0.1):
            total = 0
            for process in (me, *me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss
            seen.append(total)

    watcher = threading.Thread(target=sample, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def bandwidth() -> float:
    """Bytes a second that this machine reads from memory with its threads: the sum over a buffer of 1 GB, best of 5."""
    import torch

    torch.set_num_threads(threads())
    buffer = torch.ones(2**28, dtype=torch.float32)
    best = 0.0
    for _ in range(5):
        began = time.monotonic()
        buffer.sum()
        best = max(best, buffer.nbytes / (time.monotonic() - began))
    return best


def goals(result: Row) -> Row:
    """The goals, with what was reached. Recommended: the fastest whose mark did not fail, with KL ≤ 0.01 and a score loss that may be none."""
    slow = result["adapter_speed"]["tokens_per_second"]["1"]
    ours = [row for row in result["rows"] if row["format"] in FORMATS and "tokens_per_second" in row]
    fit = [row for row in ours if row["kl"] <= 0.01 and not row["verdict"]["failed"] and _may_be_none(row)]
    best = max(fit, key=lambda row: row["tokens_per_second"]["1"], default=None)
    if best is None:
        return {"recommended": None}
    speed = best["tokens_per_second"]["1"]
    allowed = result["bandwidth_gb_per_s"] * 1e3 / best["mb"]
    return {
        "recommended": best["format"],
        "speed_over_adapter": {"goal": 8, "reached": round(speed / slow, 2)},
        "kl": {"goal": 0.01, "reached": best["kl"]},
        "share_of_bandwidth": {"goal": 0.6, "reached": round(speed / allowed, 2), "allowed_tokens_per_second": round(allowed, 1)},
        "mark_seconds": {"goal": 90, "reached": max(row["mark_seconds"] for row in ours)},
        "export_peak_over_fp32": {
            "goal": 2.5,
            "reached": {row["format"]: round(row["export_peak_mb"] / result["fp32_mb"], 2) for row in ours},
        },
    }  # fmt: skip


def _may_be_none(row: Row) -> bool:
    gap = Interval(**row["score"]["difference"])
    return gap.low <= 0 <= gap.high and judge(gap, 1.0) is not False


if __name__ == "__main__":
    main()
