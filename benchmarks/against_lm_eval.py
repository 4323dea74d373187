"""A domain's test set answered and judged, end to end: `truemark eval` beside `lm_eval --model hf`, on the same prompts.

Ours is asked of an export of the adapter, as a user would evaluate it (`--export`; default: a GGUF in q8_0, made first), and of the adapter itself in
PyTorch. lm_eval runs the same questions as the task that `truemark data task` writes, once as it starts by default (one question at a time), once with the
batch size and number type that were fastest on a quarter of them. Each is a fresh process on the same cores, from its start to its written results.
Prompts must be equal to the letter; answers are compared with lm_eval's in float32, next to what the export's mark says of its greedy answers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import domains
from domains.base import asked
from domains.lm_eval import write_task
from evalsuite.data import sample
from evalsuite.harness import python
from truemark import chat, models
from truemark.files import read_jsonl, write_jsonl

HERE = Path(__file__).parent
DOMAIN, TASK, SEED, TOKENS = "math", "truemark_math", 7, 256
BATCHES, DTYPES = (8, 16, 32, 64), ("float32", "bfloat16")
GOALS = {"default": 5.0, "best": 1.5}
Answers = dict[str, str]


def lm_eval(options: argparse.Namespace) -> dict[str, Any]:
    """All sides. Ends with what differs where the prompts do."""
    if options.lm_eval:
        os.environ["TRUEMARK_LM_EVAL"] = options.lm_eval
    work = (options.work / "lm_eval").absolute()
    shutil.rmtree(work, ignore_errors=True)
    adapter = models.resolve(str(options.adapter))
    # of the levels that it was trained on, as marks are
    examples = sample(domains.get(DOMAIN).build(SEED, 1, adapter.levels)["test"], options.examples)
    test = work / "test.jsonl"
    write_jsonl(test, [dict(example) for example in examples])
    tasks = write_task(domains.get(DOMAIN), test, work / "tasks").parent
    export = options.export or _export(options.adapter, work)
    few = max(len(examples) // 4, min(len(examples), 4))

    sides = {f"truemark, {name}": _ours(path, test, work / name) for name, path in (("export", export), ("adapter", options.adapter))}  # fmt: skip
    tried = {}
    for batch, dtype in product(BATCHES, DTYPES):
        one = _theirs(options.adapter, tasks, work / f"try-{batch}-{dtype}", f",dtype={dtype}", batch, limit=few)
        tried[f"batch {batch}, {dtype}"] = one["answering"]
        if one["answering"] <= min(tried.values()):
            best = (batch, dtype)
    sides["lm_eval, default"] = _theirs(options.adapter, tasks, work / "default", "", None)
    sides["lm_eval, best"] = _theirs(options.adapter, tasks, work / "best", f",dtype={best[1]}", best[0])
    # what the sides say is compared with this one, which computes as our marks' reference does
    reference = (
        sides["lm_eval, best"]
        if best[1] == "float32"
        else _theirs(options.adapter, tasks, work / "float32", ",dtype=float32", 16)
    )
    _refuse_other_prompts(options.adapter, examples, reference["prompts"])
    ours = sides["truemark, export"]["wall"]
    faster = {name: round(sides[f"lm_eval, {name}"]["wall"] / ours, 2) for name in GOALS}
    return {
        "command": f"python -m benchmarks.evalsuite lm_eval --examples {options.examples}",
        "examples": len(examples),
        "adapter": adapter.label,
        "export": models.resolve(str(export)).label,
        "lm_eval": reference["version"],
        "best_of_lm_eval": {"batch": best[0], "dtype": best[1], "seconds_on": {"examples": few, **tried}},
        "sides": {name: _told(side, reference["answers"]) for name, side in sides.items()},
        "mark_of_the_export": _mark(export),
        "times_faster": faster,
        "goals": GOALS,
        "reached": {name: faster[name] >= goal for name, goal in GOALS.items()},
    }


def _export(adapter: Path, work: Path) -> Path:
    out = work / "export"
    _truemark("export", str(adapter), "--to", "gguf", "--quant", "q8_0", "--out", str(out))
    [found] = [path.parent for path in out.rglob("truemark.json")]
    return found


def _ours(model: Path, test: Path, folder: Path) -> dict[str, Any]:
    """`truemark eval`, on nothing that is stored."""
    words = [
        "--model",
        str(model),
        "--data",
        str(test),
        "--results",
        str(folder),
        "--max-tokens",
        str(TOKENS),
        "--json",
    ]
    wall, processor, said = _timed([sys.executable, "-P", "-m", "truemark", "eval", DOMAIN, *words])
    row = json.loads(said)["rows"][-1]  # of all slices
    [file] = (folder / DOMAIN / "predictions").glob("*.jsonl")
    answers = {one["id"]: one["text"] for one in read_jsonl(file)}
    return {"wall": wall, "processor": processor, "answers": answers, "passed": row["accuracy"]["value"]}


def _theirs(
    adapter: Path, tasks: Path, folder: Path, more: str, batch: int | None, limit: int | None = None
) -> dict[str, Any]:
    """`lm_eval --model hf`, with `more` after its model arguments; `batch` None leaves it as it starts by default."""
    base = models.resolve(str(adapter)).base().local_path()
    words = ["--model", "hf", "--model_args", f"pretrained={base},peft={adapter.absolute()},tokenizer={adapter.absolute()}{more}"]  # fmt: skip
    words += ["--tasks", TASK, "--include_path", str(tasks), "--apply_chat_template", "--log_samples", "--output_path", str(folder)]  # fmt: skip
    words += ["--batch_size", str(batch)] if batch else []
    words += ["--limit", str(limit)] if limit else []
    wall, processor, _ = _timed([python(), "-m", "lm_eval", "run", *words])
    told = json.loads(next(folder.rglob("results_*.json")).read_text(encoding="utf-8"))
    rows = read_jsonl(next(folder.rglob(f"samples_{TASK}_*.jsonl")))
    ids = [json.loads(row["doc"]["example"])["id"] for row in rows]
    return {
        "wall": wall,
        "processor": processor,
        "answering": round(float(told["total_evaluation_time_seconds"]), 1),
        "answers": {id: row["resps"][0][0] for id, row in zip(ids, rows, strict=True)},
        "prompts": {id: row["arguments"]["gen_args_0"]["arg_0"] for id, row in zip(ids, rows, strict=True)},
        "passed": told["results"][TASK]["passed,none"],
        "version": told["lm_eval_version"],
    }


def _refuse_other_prompts(adapter: Path, examples: list[Any], theirs: Answers) -> None:
    template = chat.read_template(adapter)
    for example in examples:
        ours = chat.render(template, asked(example), bos_token="", eos_token="")
        if ours != theirs.get(example["id"]):
            raise SystemExit(
                f"the prompts differ: {example['id']} is\n{ours!r} here, and for lm_eval\n{theirs.get(example['id'])!r}"
            )


def _told(side: dict[str, Any], reference: Answers) -> dict[str, Any]:
    """A side's times, how many answers are the reference's to the letter, and how far they go together, in words."""
    pairs = [(side["answers"][id].split(), text.split()) for id, text in reference.items()]
    together = [
        next((i for i, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), min(map(len, pair)))
        / max(1, *map(len, pair))
        for pair in pairs
    ]
    return {
        "wall": round(side["wall"], 1),
        "processor": round(side["processor"], 1),
        **({"answering": side["answering"]} if "answering" in side else {}),
        "passed": round(side["passed"], 4),
        "same_answers": round(sum(a == b for a, b in pairs) / len(pairs), 4),
        "together": round(sum(together) / len(together), 4),
    }


def _mark(export: Path) -> dict[str, Any]:
    """What the export's mark says of greedy answers and of the score."""
    path = export / "mark.json"
    mark = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    prefix = next((check["value"] for check in mark.get("checks", ()) if check["name"] == "prefix"), None)
    return {"state": mark.get("verdict", {}).get("state"), "prefix": prefix, "score": mark.get("score")}


def _truemark(*words: str) -> None:
    subprocess.run([sys.executable, "-P", "-m", "truemark", *words], check=True, env=_environment(), stdout=sys.stderr)


def _timed(command: list[str]) -> tuple[float, float, str]:
    """Seconds by the clock, seconds of processor of it and all below it, and standard output."""
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=_environment(), check=False)
    after = os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-2000:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used, done.stdout


def _environment() -> dict[str, str]:
    threads = str(len(os.sched_getaffinity(0)))
    return {
        **os.environ, "PYTHONPATH": str(HERE.parent), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": threads, "TRUEMARK_THREADS": threads,
    }  # fmt: skip
