"""What training here gives and costs. All parts can be interrupted: what is in DIRECTORY is not done again.

python -m benchmarks.training speed DIRECTORY [--llamafactory COMMAND]   same examples, same batches: this trainer, TRL, LLaMA-Factory; each measure by itself
python -m benchmarks.training table DIRECTORY [--domain NAME …] [--method NAME …]   each domain's recipes on the embedded base, on held-out families
python -m benchmarks.training ship DIRECTORY [--domain NAME …]           the table's SFT adapters and their scores into adapters/

Writes benchmarks/results/training_speed.json and training.json. Needs a quiet machine: the first part is timed, the second takes hours.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.trainers import CONTESTANTS, MEASURES
from truemark import compute
from truemark import recipe as recipes
from truemark.artifacts import machine
from truemark.files import read_jsonl, write_json, write_jsonl
from truemark.settings import threads

HERE = Path(__file__).parent
SHELF = HERE.parent / "adapters"
METHODS = ("sft", "composite", "rft", "dpo", "grpo")
"""In the order of the table's rows."""
DATA = {
    "math": ["--level", "basics"],
    "devops": ["--level", "foundation"],
    "constitution": ["--n", "650"],  # the written wordings, met several times
}
"""What `data build` is told beside the domain: a share of it that 135 million parameters can learn. Chosen on dev; train/README.md has the trials."""
MAX_TOKENS = {"asp": 160}
"""Of an answer on the test set where 128, more than the longest reference, are too few (asp: longer than 97 % of them). The base talks on."""
IN_BF16 = ("trl-defaults", "in bf16")
EMULATED_STEPS = 1
"""Of those on a CPU without bf16 instructions, where a step takes minutes."""
QUICK_STEPS = 16
"""Of a measure: enough batches that their lengths are like the whole data's."""


def command(*arguments: str) -> None:
    """One command of the command line, as a user would type it."""
    subprocess.run([sys.executable, "-P", "-m", "truemark", *arguments], check=True)


def head() -> dict[str, Any]:
    """Where and with what it was measured."""
    names = ("torch", "transformers", "trl", "peft", "accelerate")
    words = [sys.argv[1], "DIRECTORY", *(Path(word).name if "/" in word else word for word in sys.argv[3:])]
    return {"command": shlex.join(["python", "-m", "benchmarks.training", *words]), "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(), "threads": threads(), "versions": {name: version(name) for name in names}}  # fmt: skip


def speed(directory: Path, llamafactory: list[str] | None, recipe_name: str, steps: int | None) -> None:
    """Train the same examples with each contestant, score them on dev, then take each measure away."""
    recipe = recipes.load(recipe_name)
    data = directory / "data" / recipe.domain
    if not (data / "train.jsonl").is_file():
        command("data", "build", recipe.domain, *DATA.get(recipe.domain, []), "--out", str(directory / "data"))
    steps = steps or recipe.optim.steps
    emulated = compute.training_dtype(compute.device()).itemsize == 4

    def run(name: str, wanted: int) -> dict[str, Any]:
        few = EMULATED_STEPS if name in IN_BF16 and emulated else wanted
        return timed(name, directory / f"steps-{few}", recipe, few, data, llamafactory)

    runs = {name: run(name, steps) for name in CONTESTANTS if name != "llamafactory" or llamafactory}
    for name, found in runs.items():
        if found["steps"] == steps:
            found["dev"] = dev_score(directory / f"steps-{steps}" / name, recipe.domain, data)
    measures = {name: run(name, QUICK_STEPS) for name in MEASURES}
    again = timed("all measures", directory / "again", recipe, QUICK_STEPS, data, None)  # the noise of the machine
    whole = median([measures["all measures"]["seconds_per_example"], again["seconds_per_example"]])
    write_json(
        HERE / "results" / "training_speed.json",
        {
            **head(),
            "recipe": recipe.model_dump(),
            "contestants": runs,
            "times_trl": {name: runs["trl-fp32"]["seconds_per_example"] / found["seconds_per_example"] for name, found in runs.items()},
            "measures": {name: {**found, "times_all_measures": found["seconds_per_example"] / whole} for name, found in measures.items()},
            "noise": again["seconds"] / measures["all measures"]["seconds"],
        },
    )  # fmt: skip


def timed(
    name: str, directory: Path, recipe: recipes.Recipe, steps: int, data: Path, llamafactory: list[str] | None
) -> dict[str, Any]:
    """One contestant in a process of its own, on the examples that the recipe trains on, in the recipe's order."""
    result = directory / name.replace(" ", "-") / "run.json"
    rows = directory / "rows.jsonl"
    if not rows.is_file():
        lay_out(directory, recipe, steps, data, llamafactory)
    if not result.is_file():
        print(f"{name}, {steps} steps …", flush=True)
        subprocess.run([sys.executable, "-P", "-m", "benchmarks.trainers", name, str(directory)], check=True)
    run = json.loads(result.read_text())
    counts = json.loads((directory / "setup.json").read_text())["counts"]
    return {**run, **counts, "steps": steps, "seconds_per_example": run["seconds"] / counts["examples"],
            "tokens_per_second": counts["tokens"] / run["seconds"], "loss_tokens_per_second": counts["loss_tokens"] / run["seconds"]}  # fmt: skip


def lay_out(directory: Path, recipe: recipes.Recipe, steps: int, data: Path, llamafactory: list[str] | None) -> None:
    """The examples of `steps` batches as the recipe orders them, and their tokens counted once for all contestants."""
    import domains
    from train.data import IGNORED, in_training_order, tokenize
    from train.network import load_tokenizer
    from truemark.models import resolve

    rows = {row["id"]: row for row in read_jsonl(data / "train.jsonl")}
    tokenizer = load_tokenizer(resolve(recipe.base), domains.get(recipe.domain).SYSTEM_PROMPT)
    ordered = in_training_order(tokenize(list(rows.values()), tokenizer), recipe.optim.batch_size, steps, recipe.seed)
    counts = {"examples": len(ordered), "tokens": sum(len(row.ids) for row in ordered),
              "loss_tokens": sum(label != IGNORED for row in ordered for label in row.labels)}  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    write_json(
        directory / "setup.json",
        {
            "recipe": recipe.model_dump(),
            "steps": steps,
            "threads": threads(),
            "counts": counts,
            "llamafactory": llamafactory,
        },
    )
    write_jsonl(directory / "rows.jsonl", [rows[row.name] for row in ordered])


def dev_score(adapter: Path, domain: str, data: Path) -> dict[str, float]:
    """Share of dev passed by greedy answers, with its interval; every contestant is told the domain's prompt."""
    import domains
    from domains.base import asked
    from evalsuite.statistics import wilson
    from truemark.runtimes import open_runtime
    from truemark.runtimes.base import Sampling

    known = adapter / "dev.json"
    if not known.is_file():
        room = domains.get(domain)
        examples = read_jsonl(data / "dev.jsonl")
        system = [{"role": "system", "content": room.SYSTEM_PROMPT}]
        with open_runtime(str(adapter), "torch") as runtime:
            answers = dict(runtime.generate([[*system, *asked(example)] for example in examples], Sampling()))  # type: ignore[arg-type]
        passed = sum(room.check(answers[i].text, example).passed for i, example in enumerate(examples))  # type: ignore[arg-type]
        low, high = wilson(passed, len(examples))
        write_json(
            known, {"passed": passed, "n": len(examples), "value": passed / len(examples), "low": low, "high": high}
        )
    found: dict[str, float] = json.loads(known.read_text())
    return found


def table(directory: Path, only: list[str], methods: list[str]) -> None:
    """Train every recipe of the embedded base and compare it on the test set with its base, and with SFT where it goes on from that."""
    import os

    from domains import DOMAINS

    directory.mkdir(parents=True, exist_ok=True)
    os.chdir(directory)
    for domain in only or list(DOMAINS):
        write_json(directory / f"{domain}.json", stages(domain, methods))
    found = {domain: directory / f"{domain}.json" for domain in DOMAINS}
    write_json(
        HERE / "results" / "training.json",
        {**head(), "domains": {domain: json.loads(file.read_text()) for domain, file in found.items() if file.is_file()}},
    )  # fmt: skip


def stages(domain: str, methods: list[str]) -> dict[str, Any]:
    """Each recipe of a domain, trained in the working directory, and all of them on the test set: against the base, and against SFT."""
    shipped = set(recipes.names())
    names = {method: f"{domain}-smollm2" + ("" if method == "sft" else f"-{method}") for method in METHODS}
    names = {method: name for method, name in names.items() if name in shipped and method in ("sft", *methods)}
    if not Path("data", domain).is_dir():
        command("data", "build", domain, *DATA.get(domain, []))
    for method, name in names.items():
        if method == "dpo":
            make_pairs(domain, f"runs/{names['sft']}")
        command("train", name)
    runs = [f"runs/{name}" for name in names.values()]
    base = recipes.load(names["sft"]).base
    reports = {method: json.loads(Path("runs", name, "training.json").read_text()) for method, name in names.items()}
    return {
        "data": DATA.get(domain, []),
        "against_base": compared(domain, [base, *runs]),
        "against_sft": compared(domain, runs) if len(runs) > 1 else [],
        "training": {
            method: {key: value for key, value in report.items() if key != "log"} for method, report in reports.items()
        },
    }


def make_pairs(domain: str, ref: str) -> None:
    """Preferences of the check among the adapter's own answers, as DPO's recipe says."""
    if not Path("data", domain, "pairs.jsonl").is_file():
        length = str(MAX_TOKENS.get(domain, 128))
        command("data", "sample", domain, "--model", ref, "--n", "4", "--limit", "200", "--max-tokens", length)
        command("data", "pairs", domain, "--from", f"data/{domain}.train.samples.jsonl")


def ship(directory: Path, only: list[str]) -> None:
    """Each domain's SFT adapter (of `only`, where given), but for its plot, with its rows of the table as scores.json."""
    from truemark.artifacts import MANIFEST, open_artifact

    found = json.loads((HERE / "results" / "training.json").read_text())
    lines = []
    for domain, of in found["domains"].items():
        if only and domain not in only:
            continue
        made = open_artifact(directory / "runs" / f"{domain}-smollm2")
        rows = [row for row in of["against_base"] if row["sha256"] == made.sha]
        if not rows:
            raise SystemExit(
                f"{made.path} is {made.id}, not in the table: python -m benchmarks.training table {directory}"
            )
        to = SHELF / made.manifest.name
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(made.path, to, ignore=shutil.ignore_patterns("*.png"))
        made.manifest.files = {name: entry for name, entry in made.manifest.files.items() if not name.endswith(".png")}
        write_json(to / MANIFEST, made.manifest.model_dump())
        write_json(
            to / "scores.json", {key: found[key] for key in ("command", "date", "machine", "versions")} | {"rows": rows}
        )
        size = sum(file.stat().st_size for file in to.iterdir()) / 1e6
        lines += [f"| `{open_artifact(to).id}` | `{shlex.join(['data', 'build', domain, *of['data']])}` | {size:.1f} | {in_words(row)} |" for row in rows]  # fmt: skip
    head, _, _ = (SHELF / "README.md").read_text().partition("|")
    table = [
        "| adapter | trained on | MB | slice | n | right [95 %] | points above the base [95 %] |",
        "|---" * 7 + "|",
    ]
    (SHELF / "README.md").write_text(head + "\n".join([*table, *lines]) + "\n")


def in_words(row: dict[str, Any]) -> str:
    """Slice, n, accuracy and difference as cells of a table."""
    right, more = row["accuracy"], row["difference"]
    return (
        f"{row['slice']} | {row['n']} | {100 * right['value']:.1f} % [{100 * right['low']:.1f}, {100 * right['high']:.1f}] | "
        f"{100 * more['value']:+.1f} [{100 * more['interval']['low']:+.1f}, {100 * more['interval']['high']:+.1f}]"
    )


def compared(domain: str, refs: list[str]) -> list[dict[str, Any]]:
    """Rows of `truemark eval --json`: all against the first."""
    asked = [part for ref in refs for part in ("--model", ref)]
    length = ["--max-tokens", str(MAX_TOKENS.get(domain, 128))]
    words = [sys.executable, "-P", "-m", "truemark", "eval", domain, *asked, *length, "--json"]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def main() -> None:
    """One of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["speed", "table", "ship"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--llamafactory", help="LLaMA-Factory's command, in its own environment")
    parser.add_argument("--recipe", default="math-smollm2")
    parser.add_argument("--steps", type=int, help="of a contestant; default: the recipe's")
    parser.add_argument("--domain", action="append", default=[])
    parser.add_argument(
        "--method", action="append", default=[], choices=METHODS, help="beside sft; default: all that have a recipe"
    )
    options = parser.parse_args()
    directory = options.directory.absolute()
    if options.part == "speed":
        speed(
            directory,
            shlex.split(options.llamafactory) if options.llamafactory else None,
            options.recipe,
            options.steps,
        )
    elif options.part == "table":
        table(directory, options.domain, options.method or list(METHODS))
    else:
        ship(directory, options.domain)


if __name__ == "__main__":
    main()
