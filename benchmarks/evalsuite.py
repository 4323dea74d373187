"""How fast the evalsuite scores, and in how much memory.

    python -m benchmarks.evalsuite scoring [--pairs 10000]                  BLEU, ROUGE-1/2/L/Lsum and METEOR, beside Hugging Face `evaluate`
    python -m benchmarks.evalsuite million [--sizes 10000,100000,1000000]   `truemark score` on longer and longer predictions files
    python -m benchmarks.evalsuite lm_eval [--lm-eval PYTHON]               `truemark eval` beside `lm_eval --model hf` (against_lm_eval.py)

Each part writes its own key of benchmarks/results/evalsuite.json. WordNet (Debian's wordnet-base, or TRUEMARK_WORDNET) is needed.

scoring: gold answers of four domains' training data (`short`; `paragraph` is six of them, one after another), and answers that are those with words
dropped, exchanged and swapped, one in twenty as it is, one in twenty another's. Each side is a fresh process on two cores: ours uses both where it says 2 processes, `evaluate` has no way to. A tenth of
other pairs is scored first (`first`: packages and WordNet are loaded), then the pairs are timed, from texts (ours: answers in memory) to numbers; 2 processes are started
within that time. `wall` is what a clock says, `processor` what all processes together used. Numbers must agree to 1e-9: of
each pair for ROUGE, of the corpus for BLEU, in the mean for METEOR.

million: answers to plain questions of the devops domain, whose check on them costs next to nothing, in two processes. Peak memory is the sum of
the resident memory of all processes, looked at ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import domains
from benchmarks.against_lm_eval import lm_eval
from domains.base import Example, Verdict
from evalsuite.data import example_sha256
from evalsuite.metrics import Answer
from evalsuite.predictions import Prediction
from truemark import artifacts
from truemark.files import write_json

HERE = Path(__file__).parent
OUT = HERE / "results" / "evalsuite.json"
NAMES = ("bleu", "rouge_1", "rouge_2", "rouge_l", "rouge_lsum", "meteor")
MILLION = ("accuracy", "bleu", "rouge_l", "meteor", "latency_p95")
SEED, TOLERANCE = 7, 1e-9
Pairs = list[tuple[str, str]]


def golds(n: int) -> list[str]:
    """Gold answers of math, devops, constitution and rewording, as many of each."""
    found: list[str] = []
    for name in ("math", "devops", "constitution", "rewording"):
        rows = domains.get(name).build(SEED, n // 4 + 1)["train"]
        texts = [row["messages"][-1]["content"] for row in rows]
        found += [texts[i % len(texts)] for i in range(n // 4 + 1)]  # a finite stock is gone through again
    random.Random(SEED).shuffle(found)
    return found[:n]


def pairs(n: int, joined: int = 1) -> Pairs:
    """(answer, gold), the same at every run; gold is `joined` answers one after another."""
    rng, gold = random.Random(SEED), golds(n)
    gold = [" ".join(gold[(i + shift * 997) % n] for shift in range(joined)) for i in range(n)]
    vocabulary = [word for text in gold[:500] for word in text.split(" ")]
    return [(_answer(text, gold, vocabulary, rng), text) for text in gold]


def _answer(text: str, gold: list[str], vocabulary: list[str], rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.05:
        return text
    if kind < 0.10:
        return rng.choice(gold)
    words = [word if rng.random() > 0.1 else rng.choice(vocabulary) for word in text.split(" ") if rng.random() > 0.1]
    if len(words) > 3:
        place = rng.randrange(len(words) - 1)
        words[place : place + 2] = reversed(words[place : place + 2])
    return " ".join(words)


def answer(text: str, gold: str, number: int) -> Answer:
    """A pair as the evalsuite has it."""
    return Answer(example(gold, number), prediction(text, str(number), "", number), Verdict(0.0, False, "unchecked"))


def example(gold: str, number: int) -> Example:
    return {"id": f"q{number}", "messages": [{"role": "user", "content": f"Question {number}?"}], "reference": gold, "meta": {}}  # fmt: skip


def prediction(text: str, id: str, sha: str, number: int) -> Prediction:
    return Prediction(
        key="0" * 64, id=id, example_sha256=sha, ref="smollm2-135m", label="smollm2-135m", model_sha256="0" * 64,
        engine="torch", engine_sha256="0" * 64, sampling={"max_tokens": 256, "temperature": 0.0, "top_p": 1.0, "seed": 0, "stop": []},
        prompt_sha256="0" * 64, prompt_tokens=20, text=text, finish_reason="stop", tokens=len(text.split()), seconds=(number % 97) / 100,
    )  # fmt: skip


def by_evaluate(found: Pairs) -> dict[str, Any]:
    """Numbers of the modules in benchmarks/evaluate_modules."""
    import evaluate

    texts, gold = [text for text, _ in found], [text for _, text in found]
    results: dict[str, Any] = {}
    for name in ("hf_bleu", "hf_rouge", "hf_meteor"):
        module = evaluate.load(str(HERE / "evaluate_modules" / name))
        results |= module.compute(predictions=texts, references=gold)
    renamed = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l", "rougeLsum": "rouge_lsum"}
    return {renamed.get(name, name): value for name, value in results.items()}


def by_us(answers: list[Answer], processes: int) -> dict[str, Any]:
    """Ours: the values of ROUGE's pairs, the estimates of the others."""
    from evalsuite.scoring import measure

    measured = measure(NAMES, answers, processes=processes)
    if measured.errors:
        raise next(iter(measured.errors.values()))
    return {
        name: measured.values[name].tolist() if name.startswith("rouge") else measured.estimates[name].value
        for name in NAMES
    }


SIDES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "evaluate": by_evaluate,
    "truemark, 1 process": lambda answers: by_us(answers, 1),
    "truemark, 2 processes": lambda answers: by_us(answers, 2),
}


def child(side: str, file: Path) -> None:
    """One side in its own process: seconds and numbers to standard output, as one line of JSON."""
    found = [tuple(pair) for pair in json.loads(file.read_text())]
    first = len(found) // 11
    times = {}
    for name, part in (("first", found[:first]), ("pairs", found[first:])):
        given = part if side == "evaluate" else [answer(text, gold, n) for n, (text, gold) in enumerate(part)]
        began, cpu = time.perf_counter(), sum(os.times()[:4])
        numbers = SIDES[side](given)
        times[name] = {"wall": time.perf_counter() - began, "processor": sum(os.times()[:4]) - cpu}
    print(json.dumps({**times, "numbers": numbers}))


def scoring(options: argparse.Namespace) -> dict[str, Any]:
    """Both lengths of text, each side `--rounds` times in turn; the least time of each counts."""
    return {
        "command": f"python -m benchmarks.evalsuite scoring --pairs {options.pairs} --rounds {options.rounds}",
        "pairs": options.pairs,
        "metrics": NAMES,
        "versions": {
            name: metadata.version(name) for name in ("evaluate", "sacrebleu", "rouge-score", "nltk", "numpy")
        },
        "short": _scored(options, 1),
        "paragraph": _scored(options, 6),
    }


def _scored(options: argparse.Namespace, joined: int) -> dict[str, Any]:
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    found = pairs(options.pairs + options.pairs // 10, joined)
    (work / "pairs.json").write_text(json.dumps(found))
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            command = [sys.executable, "-P", "-m", "benchmarks.evalsuite", "--child", side, "--work", str(work)]
            runs[side].append(json.loads(_run(command).splitlines()[-1]))
    least = {
        side: {part: {kind: min(one[part][kind] for one in all_of) for kind in ("wall", "processor")} for part in ("first", "pairs")}
        for side, all_of in runs.items()
    }  # fmt: skip
    apart = {side: _apart(runs["evaluate"][0]["numbers"], all_of[0]["numbers"]) for side, all_of in runs.items()}
    if max(difference for sides in apart.values() for difference in sides.values()) > TOLERANCE:
        raise SystemExit(f"the numbers differ: {apart}")
    words = [len(text.split()) for pair in found for text in pair]
    return {
        "words_a_text": {"mean": round(float(np.mean(words)), 1), "most": max(words)},
        "seconds": {side: {part: {kind: round(value, 3) for kind, value in kinds.items()} for part, kinds in parts.items()} for side, parts in least.items()},
        "times_faster": {
            side: {kind: round(least["evaluate"]["pairs"][kind] / parts["pairs"][kind], 2) for kind in ("wall", "processor")}
            for side, parts in least.items()
        },
        "largest_difference": apart["truemark, 2 processes"],
    }  # fmt: skip


def _apart(reference: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    return {name: float(np.max(np.abs(np.subtract(reference[name], ours[name])))) for name in NAMES}


def million(options: argparse.Namespace) -> dict[str, Any]:
    """`truemark score` by size: seconds, peak memory, and microseconds an answer, which a linear time keeps the same."""
    sizes = sorted(int(size) for size in options.sizes.split(","))
    curve = []
    for size in sizes:
        folder = options.work / f"million-{size}"
        _write_run(folder, size)
        command = [sys.executable, "-P", "-m", "truemark", "score", "devops", str(folder / "run.jsonl"), "--data", str(folder / "test.jsonl")]  # fmt: skip
        command += [word for name in MILLION for word in ("--metric", name)] + ["--processes", "2", "--json"]
        seconds, peak, said = _watched(command)
        found = json.loads(said)
        curve.append(
            {
                "n": found["n"],
                "seconds": round(seconds, 1),
                "microseconds_an_answer": round(1e6 * seconds / size, 1),
                "peak_mib": round(peak / 2**20),
                "values": {name: one["value"] for name, one in found["metrics"].items()},
            }
        )
        print(json.dumps(curve[-1]), file=sys.stderr)
    return {"command": f"python -m benchmarks.evalsuite million --sizes {options.sizes}", "metrics": MILLION, "curve": curve}  # fmt: skip


def _write_run(folder: Path, n: int) -> None:
    """A test set of n examples and its predictions, in files; 10,000 different pairs again and again, each with its own number."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = pairs(min(n, 10_000))

    def rows() -> Iterator[tuple[str, str]]:
        for number in range(n):
            text, gold = texts[number % len(texts)]
            row = example(f"{gold} {number}", number)
            yield json.dumps(row), prediction(f"{text} {number}", row["id"], example_sha256(row), number).model_dump_json()  # fmt: skip

    with (folder / "test.jsonl").open("w") as test, (folder / "run.jsonl").open("w") as run:
        for one, other in rows():
            test.write(one + "\n")
            run.write(other + "\n")


def _watched(command: list[str]) -> tuple[float, int, str]:
    """Seconds, peak resident bytes of the process and all below it, and what it printed."""
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as process:
        while process.poll() is None:
            peak = max(peak, sum(_resident(pid) for pid in _below(process.pid)))
            time.sleep(0.1)
        said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began, peak, said


def _below(pid: int) -> list[int]:
    try:
        children = [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]  # fmt: skip
    except OSError:
        return []
    return [pid, *(one for child_pid in children for one in _below(child_pid))]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=_environment()).stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE.parent), "HF_HUB_OFFLINE": "1"}


PARTS = {"scoring": scoring, "million": million, "lm_eval": lm_eval}


def main() -> None:
    """Run the parts that are named and put their results beside those of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument(
        "--lm-eval", metavar="PYTHON", help="the Python that has lm_eval (default: TRUEMARK_LM_EVAL, else this)"
    )
    parser.add_argument("--examples", type=int, help="of the math test set (default: all)")
    parser.add_argument("--adapter", type=Path, default=HERE.parent / "adapters" / "math-smollm2")
    parser.add_argument("--export", type=Path, help="an export of the adapter (default: GGUF in q8_0, made first)")
    parser.add_argument("--work", type=Path, default=Path("runs/bench/evalsuite"))
    parser.add_argument("--quick", action="store_true", help="print, do not write to results")
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.work / "pairs.json")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    options.work = options.work.absolute()
    results = json.loads(OUT.read_text()) if OUT.is_file() else {}
    for name in options.parts or PARTS:
        about = {"date": datetime.now(UTC).date().isoformat(), "machine": artifacts.machine()}
        results[name] = {**PARTS[name](options), **about}
        print(json.dumps(results[name], indent=2))
        if not options.quick:
            write_json(OUT, results)


if __name__ == "__main__":
    main()
