"""Every kind of adapter × every format × five architectures, on tiny random models: parity with PEFT, or a refusal by name.

python -m benchmarks.matrix          each kind and each architecture with every format → benchmarks/results/matrix.json (about 20 minutes)
python -m benchmarks.matrix gemma3   the rows of one architecture again, the others kept; or the column of one format
python -m benchmarks.matrix --all    their whole product, tied and untied (hours)

A cell is `parity` (the mark's lines on words hold, and KL to the adapter is within the format's reach), `refused` (said by name before
work), `failed` (the mark failed and nothing was published), or `wrong`, which no cell may be: published, and not the adapter.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exports import FORMATS, publish
from exports.source import opened
from tests import tiny
from truemark import artifacts, portability
from truemark.errors import TruemarkError

ROOT = Path(__file__).parent.parent
EXACT = {"fp16": 1e-3, "bf16": 1e-3, "onnx-fp32": 1e-5, "onnx-fp16": 1e-3, "torchscript": 1e-5, "pt2": 1e-5, "gguf-f16": 1e-3, "lora-gguf": 1e-3, "mlx": 1e-3}  # fmt: skip
"""Largest KL of the formats that only round; a quantized one has to lie ten times nearer to the adapter than to the base."""
SAME_PATH = ("gguf-q6_k", "gguf-q5_k_m")
"""Left out: they are made by the same steps as gguf-q4_k_m."""
WORDS = ("template", "prompt_tokens", "vocabulary", "eos")


def cells(adapter: Path, formats: Sequence[str], prompts: int = 4) -> dict[str, dict[str, Any]]:
    """The row of an adapter: format → {"state", "kl", "canary" | "reason"}."""
    found: dict[str, dict[str, Any]] = {}
    with opened(adapter) as source:
        plan = portability.of_adapter(source.path, source.base)
        for format in formats:
            refused = [line.text for line in portability.blocked(plan, [format])]
            if refused:
                found[format] = {"state": "refused", "reason": refused[0]}
                continue
            path = adapter.parent / f"{adapter.name}.{format}"
            try:
                mark = publish.make(source, format, path, keep_failed=False, prompts=prompts)
            except TruemarkError as error:
                found[format] = {"state": "refused", "reason": error.message}
            else:
                found[format] = _judged(format, mark, published=artifacts.is_artifact(path))
    return found


def _judged(format: str, mark: dict[str, Any], *, published: bool) -> dict[str, Any]:
    lines = {check["name"]: check for check in mark["checks"]}
    if "kl" not in lines:
        return {"state": "failed", "reason": mark["checks"][0]["text"]}
    kl, canary = lines["kl"]["value"], lines["canary"]["value"]
    true = all(lines[name]["passed"] for name in WORDS) and (kl <= EXACT[format] if format in EXACT else canary >= 10)
    state = "parity" if true else "wrong" if published else "failed"
    return {"state": state, "kl": kl, "canary": canary, "failed": mark["verdict"]["failed"]}


def covering() -> list[tuple[str, bool, str]]:
    """(architecture, tied, variant): every variant on the architecture of its turn, every architecture with a plain adapter."""
    others = [name for name in tiny.VARIANTS if name != "all-linear"]
    turns = [(tiny.ARCHITECTURES[i % len(tiny.ARCHITECTURES)], i % 2 == 0, name) for i, name in enumerate(others)]
    return [*((name, True, "all-linear") for name in tiny.ARCHITECTURES), *turns]


def matrix(rows: Sequence[tuple[str, bool, str]], formats: Sequence[str]) -> list[dict[str, Any]]:
    """One row an adapter: architecture, tied, variant, and its cells by format."""
    found = []
    with tempfile.TemporaryDirectory(prefix="truemark-matrix-") as scratch:
        for architecture, tied, variant in rows:
            where = Path(scratch) / f"{architecture}-{tied}-{variant}"
            base = tiny.checkpoint(where / "base", architecture=architecture, tied=tied)
            row = cells(tiny.adapter(where / variant, base, variant=variant), formats)
            found.append({"architecture": architecture, "tied": tied, "variant": variant, "cells": row})
            states = {format: cell["state"] for format, cell in row.items()}
            print(architecture, "tied" if tied else "untied", variant, json.dumps(states), flush=True)
            shutil.rmtree(where)
    return found


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["architecture"], row["tied"], row["variant"]


def main() -> None:
    """Run it and write the result."""
    every = [
        (name, tied, variant) for name in tiny.ARCHITECTURES for tied in (True, False) for variant in tiny.VARIANTS
    ]
    named = [word for word in sys.argv[1:] if word != "--all"]
    chosen = every if "--all" in sys.argv else covering()
    wanted = [row for row in chosen if row[0] in named] or chosen
    formats = [name for name in FORMATS if name in named] or [name for name in FORMATS if name not in SAME_PATH]
    out = ROOT / "benchmarks" / "results" / "matrix.json"
    rows = {_key(row): row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]} if named else {}
    for row in matrix(wanted, formats):
        row["cells"] = {**rows.get(_key(row), row)["cells"], **row["cells"]}
        rows[_key(row)] = row
    states = [cell["state"] for row in rows.values() for cell in row["cells"].values()]
    result = {
        "command": " ".join(["python -m benchmarks.matrix", *sys.argv[1:]])
        + (", the other cells from a run before" * bool(named)),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": artifacts.machine(),
        "versions": artifacts.library_versions(),
        "cells": {state: states.count(state) for state in ("parity", "refused", "failed", "wrong")},
        "rows": list(rows.values()),
    }
    print(result["cells"])
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
