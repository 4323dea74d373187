"""The transformer from scratch with and without places in the expression: same data, same order, same seeds.

    python -m benchmarks.structure [--quick] [--seeds 1,2,3] [--data-seed 7] [--work DIR]    → benchmarks/results/structure.json

Trained on the basics of the math domain through `train.adapter` as `truemark train math-scratch` would; asked on its dev split in both slices
(`numbers`: trained wordings, new problems; `wording`: wordings that were never trained on). Each trained model and its answers stay in
`--work`: an interrupted run continues, a second one only writes the table. The interval is a bootstrap over families of the difference of
the two, averaged over seeds (Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from domains import get
from domains.base import Example
from evalsuite.statistics import paired_bootstrap
from train.adapter import train_adapter
from train.scratch import Model
from truemark import artifacts
from truemark.files import write_json, write_jsonl
from truemark.recipe import load

OUT = Path(__file__).parent / "results" / "structure.json"
VARIANTS = {"places": True, "none": False}


def prepared(work: Path, seed: int, rows: int) -> tuple[Path, list[Example]]:
    """The training file, and the held-out examples: the dev split."""
    splits = get("math").build(seed, rows, ["basics"])
    data = work / f"basics-{seed}-{rows}.jsonl"
    if not data.is_file():
        write_jsonl(data, [dict(row) for row in splits["train"]])
    return data, splits["dev"]


def one(work: Path, data: Path, examples: Sequence[Example], variant: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one model, or take it up where it was left, and ask it all examples."""
    name = f"{variant}-{seed}-{steps}"
    answered = work / f"{name}.{data.stem}.json"
    if answered.is_file():
        found: dict[str, Any] = json.loads(answered.read_text())
        return found
    changes = [f"options.features={json.dumps(VARIANTS[variant])}", f"seed={seed}", f"optim.steps={steps}", "run.track=none"]  # fmt: skip
    made = train_adapter(load("math-scratch", changes=changes), data, work / data.stem / name)
    training = json.loads((made.path / "training.json").read_text())
    began = time.monotonic()
    answers = Model(made.path).answers([example["messages"][0]["content"] for example in examples], max_tokens=128)
    found = {
        "passed": [get("math").check(text, example).passed for text, example in zip(answers, examples, strict=True)],
        "loss": mean(entry["loss"] for entry in training["log"][-50:]),
        "train_seconds": training["seconds"],
        "answer_seconds": round(time.monotonic() - began, 1),
        "parameters": training["parameters"],
        "tokens": training["tokens"],
        "answers": answers,
    }
    write_json(answered, found)
    return found


def compared(runs: dict[str, dict[int, dict[str, Any]]], examples: Sequence[Example]) -> dict[str, Any]:
    """Scores of each slice, and the paired difference with its interval."""
    rows: dict[str, Any] = {}
    for part in ("all", "numbers", "wording"):
        chosen = [index for index, example in enumerate(examples) if part in ("all", example["meta"]["slice"])]
        share = {
            variant: [mean(run["passed"][index] for index in chosen) for run in by_seed.values()]
            for variant, by_seed in runs.items()
        }
        differences = [
            mean(runs["places"][seed]["passed"][index] - runs["none"][seed]["passed"][index] for seed in runs["places"])
            for index in chosen
        ]
        interval = paired_bootstrap(differences, [examples[index]["meta"]["family"] for index in chosen])  # type: ignore[arg-type]
        rows[part] = {
            "examples": len(chosen),
            **{f"passed_{variant}": [round(value, 4) for value in values] for variant, values in share.items()},
            "difference": round(mean(differences), 4),
            "interval95": [round(end, 4) for end in interval],
            "spread_over_seeds": {variant: round(stdev(values), 4) if len(values) > 1 else None for variant, values in share.items()},
        }  # fmt: skip
    return rows


def main() -> None:
    """Train what is missing, write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="2 seeds, 20 steps, 400 examples; not written to results")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--data-seed", type=int, default=7)
    parser.add_argument("--rows", type=int, default=12000, help="training examples")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--work", type=Path, default=Path("runs/bench/structure"))
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.seeds, wanted.rows, wanted.steps = "1,2", 400, 20
    seeds = [int(seed) for seed in wanted.seeds.split(",")]
    wanted.work.mkdir(parents=True, exist_ok=True)
    data, examples = prepared(wanted.work, wanted.data_seed, wanted.rows)
    runs: dict[str, dict[int, dict[str, Any]]] = {variant: {} for variant in VARIANTS}
    for seed in seeds:  # in turn, so that an interrupted run has pairs
        for variant in VARIANTS:
            runs[variant][seed] = one(wanted.work, data, examples, variant, seed, wanted.steps)
    result = {
        "command": f"python -m benchmarks.structure --seeds {wanted.seeds} --rows {wanted.rows} --steps {wanted.steps}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": artifacts.machine(),
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
        "data": {"seed": wanted.data_seed, "rows": wanted.rows, "levels": ["basics"], "held_out": "dev"},
        "rows": compared(runs, examples),
        "runs": {
            variant: {seed: {key: value for key, value in run.items() if key not in ("passed", "answers")} for seed, run in by_seed.items()}
            for variant, by_seed in runs.items()
        },
    }  # fmt: skip
    if wanted.quick:
        print(json.dumps(result["rows"], indent=2))
    else:
        write_json(OUT, result)
        print(json.dumps(result["rows"], indent=2))


if __name__ == "__main__":
    main()
