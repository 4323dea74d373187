"""Who finds the wrong step: the SymPy step check, the graph network, or the text step reward model?

    python -m benchmarks.steps [--quick] [--gsm8k DIR] [--work DIR]       → benchmarks/results/steps.json

Solutions of the math domain's test split (wordings that were never trained on, and new numbers) with one change each (`structure.changes`), and
with --gsm8k (a directory with test.jsonl) published GSM8K solutions that nothing here was trained on, changed in the same ways. The check labels
the training data of the two models, so it cannot be judged by its own labels: here the changed step is the wrong one. On `foreign` changes
(a right computation with a number that the problem has not) the check is blind by construction.

A step's score is P(wrong); the check's is 1 for wrong, 0 for right, ½ for a line that it skips. `first_wrong` is the share of changed solutions of
which the first step with P(wrong) > ½ is the changed one, `spared` the share of references without such a step, F1 their harmonic mean
(ProcessBench, Zheng et al. 2024, https://arxiv.org/abs/2412.06559, section 3.3). Intervals are bootstraps over solutions. `either` is the greater of
the check's and the graph network's. What was trained and every score stays in --work: an interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from domains import get
from domains.math.gsm8k import load as load_gsm8k
from domains.math.steps import examine
from train import scorers
from train.adapter import train_adapter
from train.structure.changes import CHANGES, RIGHT, WRONG, Solution, solutions
from truemark import artifacts
from truemark.files import sha256_file, write_json, write_jsonl
from truemark.recipe import load

OUT = Path(__file__).parent / "results" / "steps.json"
MODELS = {
    "graph network": ("math-gnn", []),
    "graph network, no calculator": ("math-gnn", ["options.values=false"]),
    "text step reward": ("math-smollm2-step-reward", []),
}
STATUS = {"wrong": 1.0, "right": 0.0, "skipped": 0.5}
RESAMPLES = 1000
Scores = list[list[float]]
"""P(wrong) of each step of each solution."""


def check(rows: Sequence[Solution]) -> Scores:
    """The step check's."""
    return [[STATUS[step.status] for step in examine(row.text, row.question)] for row in rows]


def auc(wrong: np.ndarray, right: np.ndarray) -> float:
    """Probability that a wrong step scores above a right one, ties half (Mann & Whitney 1947)."""
    ordered = np.sort(right)
    below = np.searchsorted(ordered, wrong, "left") + np.searchsorted(ordered, wrong, "right")
    return float(below.mean() / 2 / len(right))


def measured(rows: Sequence[Solution], scores: Scores, threshold: float = 0.5) -> dict[str, float]:
    """ROC-AUC over labelled steps, first wrong step named, references spared, and F1 of the two."""
    wrong = [p for row, found in zip(rows, scores, strict=True) for p, label in zip(found, row.labels, strict=False) if label == WRONG]  # fmt: skip
    right = [p for row, found in zip(rows, scores, strict=True) for p, label in zip(found, row.labels, strict=False) if label == RIGHT]  # fmt: skip
    named, spared = [], []
    for row, found in zip(rows, scores, strict=True):
        first = next((index for index, p in enumerate(found) if p > threshold), None)
        if WRONG in row.labels:
            named.append(first == row.labels.index(WRONG))
        else:
            spared.append(first is None)
    a, b = float(np.mean(named)), float(np.mean(spared))
    return {"auc": auc(np.array(wrong), np.array(right)), "first_wrong": a, "spared": b, "f1": 2 * a * b / (a + b) if a + b else 0.0}  # fmt: skip


def with_intervals(rows: Sequence[Solution], scores: Scores) -> dict[str, Any]:
    """`measured`, each with the 95 % percentile interval of a bootstrap over solutions, drawn within references and changed ones."""
    rng = np.random.default_rng(0)
    groups = [np.array([i for i, row in enumerate(rows) if (row.change == "reference") == which]) for which in (True, False)]  # fmt: skip
    drawn: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        chosen = np.concatenate([rng.choice(group, len(group)) for group in groups])
        for name, value in measured([rows[i] for i in chosen], [scores[i] for i in chosen]).items():
            drawn.setdefault(name, []).append(value)
    return {
        name: {"value": round(value, 4), "interval95": [round(float(end), 4) for end in np.quantile(drawn[name], [0.025, 0.975])]}
        for name, value in measured(rows, scores).items()
    }  # fmt: skip


def trained(work: Path, name: str, recipe: str, changes: list[str], data: Path, quick: bool) -> Path:
    """A scorer by its recipe, or the one that is there."""
    more = ["run.track=none", *(["optim.steps=20"] if quick else [])]
    slug = name.replace(",", "").replace(" ", "-")
    return train_adapter(load(recipe, changes=[*changes, *more]), data, work / slug).path


def kept(file: Path, compute: Callable[[], Scores], steps: int) -> tuple[Scores, float]:
    """Scores and seconds a step, from the file where they are there."""
    if not file.is_file():
        began = time.perf_counter()
        found = compute()
        write_json(file, {"scores": found, "seconds_a_step": (time.perf_counter() - began) / steps})
    content = json.loads(file.read_text())
    return content["scores"], content["seconds_a_step"]


def sets(wanted: argparse.Namespace) -> dict[str, list[Solution]]:
    """The solutions to judge, by where they come from."""
    test = get("math").build(7, 1)["test"]
    found = {"held-out families": solutions([row for row in test if row["meta"]["slice"] == "wording"], 1, by_check=False, every=True),
             "new numbers": solutions([row for row in test if row["meta"]["slice"] == "numbers"], 1, by_check=False, every=True)}  # fmt: skip
    if wanted.gsm8k:
        rows = list(load_gsm8k(str(wanted.gsm8k / "test.jsonl"), "test"))[: wanted.solutions]
        found["gsm8k"] = solutions(rows, 1, by_check=False, every=True)
    return {name: rows[:60] if wanted.quick else rows for name, rows in found.items()}


def main() -> None:
    """Train what is missing, score what is missing, write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--quick", action="store_true", help="20 training steps and 60 solutions; not written to results"
    )
    parser.add_argument("--gsm8k", type=Path, help="a directory with GSM8K's test.jsonl")
    parser.add_argument("--solutions", type=int, default=200, help="of GSM8K")
    parser.add_argument("--rows", type=int, default=3000, help="training examples")
    parser.add_argument("--work", type=Path, default=Path("runs/bench/steps"))
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.rows, wanted.work = 300, wanted.work / "quick"
    wanted.work.mkdir(parents=True, exist_ok=True)
    data = wanted.work / f"train-{wanted.rows}.jsonl"
    if not data.is_file():
        write_jsonl(data, [dict(row) for row in get("math").build(7, wanted.rows)["train"]])
    held_out = sets(wanted)
    table: dict[str, Any] = {}
    costs: dict[str, float] = {}
    every: dict[str, dict[str, Scores]] = {name: {} for name in held_out}
    for judge in ("check", *MODELS):
        path = None if judge == "check" else trained(wanted.work, judge, *MODELS[judge], data, wanted.quick)
        scorer = None if path is None else scorers.open_scorer(path)
        for name, rows in held_out.items():
            mark = "check" if path is None else artifacts.open_artifact(path).sha[:12]
            file = wanted.work / f"scores-{mark}-{name.replace(' ', '-')}-{len(rows)}.json"
            compute = (lambda rows=rows: check(rows)) if scorer is None else (lambda rows=rows, scorer=scorer: [[1 - p for p in one] for one in scorer.score_many(rows)])  # fmt: skip
            every[name][judge], cost = kept(file, compute, sum(len(row.lines) for row in rows))
            costs[judge] = round(1000 * cost, 3)
    for name, rows in held_out.items():
        every[name]["either"] = [[max(p) for p in zip(a, b, strict=False)] for a, b in zip(every[name]["check"], every[name]["graph network"], strict=True)]  # fmt: skip
        table[name] = {
            change: {
                "solutions": sum(row.change == change for row in rows),
                **{judge: with_intervals(*_of(rows, scores, change)) for judge, scores in every[name].items()},
            }
            for change in CHANGES
            if any(row.change == change for row in rows)
        }
    result = {
        "command": f"python -m benchmarks.steps --rows {wanted.rows}{' --gsm8k DIR' if wanted.gsm8k else ''}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": artifacts.machine(),
        "versions": {name: metadata.version(name) for name in ("torch", "transformers", "peft", "sympy")},
        "training": {"rows": wanted.rows, "sha256": sha256_file(data), "labels": "the step check, for changed numbers"},
        "milliseconds_a_step": costs,
        "table": table,
    }
    if wanted.quick:
        print(json.dumps({"milliseconds_a_step": costs, "judges": _brief(table)}, indent=2))
    else:
        write_json(OUT, result)
        print(json.dumps(_brief(table), indent=2))


def _of(rows: Sequence[Solution], scores: Scores, change: str) -> tuple[list[Solution], Scores]:
    """References and the solutions of one kind of change."""
    chosen = [index for index, row in enumerate(rows) if row.change in ("reference", change)]
    return [rows[index] for index in chosen], [scores[index] for index in chosen]


def _brief(table: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{name}, {change}": {judge: f"auc {found['auc']['value']}, f1 {found['f1']['value']}" for judge, found in judges.items() if judge != "solutions"}
        for name, changes in table.items()
        for change, judges in changes.items()
    }  # fmt: skip


if __name__ == "__main__":
    main()
