"""What each term of the composite loss buys: rewording adapters with all terms, with each taken away, and with each alone.

python -m benchmarks.composite DIRECTORY [--seed 7 --seed 8] [--alone] [--steps N] [--limit N]

Every adapter sees the same examples in the same order for the same number of steps: recipe `rewording-smollm2-composite` with other weights;
`sft` is all weights 0. Answers to the test set, whose families and subject fields were never trained on, are compared with those of `sft`
on the same examples. What is in DIRECTORY is not done again, and a training that was cut off continues.

Writes benchmarks/results/composite.json; with --steps or --limit (a quick try) DIRECTORY/composite.json. The rows are scores of
`truemark eval`: `truemark leaderboard --results DIRECTORY/results`. A few steps may change no answer: from 8 examples on that is taken for a
base that was run in the adapter's place, so a try has --limit 7. About an hour a seed on two quiet cores, half an hour more with
--alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training import command
from domains import get
from domains.base import Example
from domains.examples import read_examples
from domains.rewording.check import source_of
from evalsuite.comparison import Row
from evalsuite.data import OVERALL, examples_sha256, family_of, sample
from evalsuite.metrics import Answer
from evalsuite.run import evaluate
from evalsuite.statistics import paired_bootstrap
from truemark import recipe as recipes
from truemark.artifacts import machine, open_artifact
from truemark.files import sha256_json, write_json
from truemark.runtimes.base import Sampling
from truemark.settings import threads

HERE = Path(__file__).parent
RECIPE = "rewording-smollm2-composite"
TERMS = ("semantic", "equivalence", "diversity")
SFT, ALL = "sft", "composite"
LONGEST = 64
"""Tokens of an answer; the longest reference has 24."""
KEPT = ("ok", "copied")
"""Reasons of the check under which nothing else is said than the source says."""


def variants(alone: bool) -> dict[str, list[str]]:
    """Name → the terms that are on."""
    found = {
        SFT: [],
        ALL: list(TERMS),
        **{f"without-{gone}": [term for term in TERMS if term != gone] for gone in TERMS},
    }
    return {**found, **{f"only-{term}": [term] for term in TERMS}} if alone else found


def train(name: str, terms: Sequence[str], seed: int, steps: int | None) -> str:
    """One adapter, by the command that a user would type; its reference."""
    out = f"runs/{name}-{seed}"
    weights = [f"options.{term}=0" for term in TERMS if term not in terms]
    changes = [
        f"name=rewording-{name}-{seed}",
        f"seed={seed}",
        "run.track=none",
        *weights,
        *([f"optim.steps={steps}", f"optim.warmup_steps={steps // 8}"] if steps else []),
    ]
    command("train", RECIPE, "--out", out, *(part for change in changes for part in ("--set", change)))
    return out


def margins(refs: dict[str, str], examples: list[Example], place: Path) -> dict[str, list[float]]:
    """Nats a token by which each model finds the reference likelier than a wrong answer, by example; `refs` are adapters of one base.

    One process a model, so that its memory is given back; the base's are those of the first adapter switched off.
    """
    found = {}
    for name, ref in {"base": next(iter(refs.values())), **refs}.items():
        of = sha256_json([open_artifact(Path(ref)).sha, examples_sha256(examples)])
        file = place / f"{name}-{of[:12]}.json"
        if not file.is_file():
            ask = [ref, str(file), str(len(examples)), *(["base"] if name == "base" else [])]
            subprocess.run([sys.executable, "-P", "-m", "benchmarks.composite", "--margins", *ask], check=True)
        found[name] = json.loads(file.read_text())
    return found


def write_margins(ref: str, file: Path, limit: int, base: bool) -> None:
    """The margins of one adapter, or of its base: each test example against one of its negatives."""
    from contextlib import nullcontext

    import torch

    from train.composite import ahead
    from train.contrast import collate_contrasted, columns, contrasted
    from truemark.models import resolve
    from truemark.runtimes.torch import TorchRuntime

    room = get("rewording")
    rows = [dict(example) for example in sample(read_examples(test_set(), room.NAME), limit)]
    with TorchRuntime(resolve(ref)) as runtime:
        examples = contrasted(rows, runtime.tokenizer, room, 0, wrong=True, ngram=0)
        more = columns(examples)
        plain = [{"input_ids": row.ids, "labels": row.labels, "name": row.name, **{key: values[i] for key, values in more.items()}}
                 for i, row in enumerate(examples)]  # fmt: skip
        found: list[float] = []
        with torch.inference_mode(), runtime.without_adapter() if base else nullcontext():
            for start in range(0, len(plain), 16):
                found += ahead(runtime.network, collate_contrasted(plain[start : start + 16], 0)).tolist()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, [value if row.negatives else None for value, row in zip(found, examples, strict=True)])


def test_set() -> Path:
    """Where the test set lies in DIRECTORY."""
    return Path("data/rewording/test.jsonl")


def measures(answers: Sequence[Answer], embed: Any) -> dict[str, list[float]]:
    """By example: what each term is meant to move, and the check's own score."""
    pairs = [(source_of(answer.example), answer.prediction.text) for answer in answers]
    left, right = embed([source for source, _ in pairs]), embed([text for _, text in pairs])
    return {
        "score": [answer.verdict.score for answer in answers],
        "passed": [float(answer.verdict.passed) for answer in answers],
        "similarity": [float(a @ b) for a, b in zip(left, right, strict=True)],
        "meaning_kept": [float(answer.verdict.reason in KEPT) for answer in answers],
        "copied_bigrams": [copied(source, text) for source, text in pairs],
    }


def copied(source: str, text: str, n: int = 2) -> float:
    """Share of a text's n-grams of words that the source has; 0 for a text of fewer words."""
    have, said = (re.findall(r"\w+", words.lower()) for words in (source, text))
    grams = [tuple(said[i : i + n]) for i in range(len(said) - n + 1)]
    known = {tuple(have[i : i + n]) for i in range(len(have) - n + 1)}
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


def compared(values: dict[str, Any], reference: dict[str, Any], families: list[str]) -> dict[str, Any]:
    """Mean of each measure with its difference from the reference and paired 95 % intervals, over examples and over families."""
    found: dict[str, Any] = {}
    for key, each in values.items():
        mine = np.array(each, dtype=float)
        known = ~np.isnan(mine)
        found[key] = {"mean": round(float(mine[known].mean()), 4)}
        if values is not reference:
            d = (mine - np.array(reference[key], dtype=float))[known]
            groups = np.array(families)[known]
            found[key] |= {
                "difference": round(float(d.mean()), 4),
                "interval": [round(bound, 4) for bound in paired_bootstrap(d)],
                "family_interval": [round(bound, 4) for bound in paired_bootstrap(d, groups)],
            }
    return found


def by_seed(rows: Sequence[Row], refs: dict[str, str], likelier: dict[str, list[float]], embed: Any) -> dict[str, Any]:
    """Name → measure → values by example; for the base too."""
    found = {}
    for name, ref in refs.items():
        [row] = [row for row in rows if row.scored.evaluation.model.ref == ref and row.slice == OVERALL]
        found[name] = {**measures(row.answers, embed), "margin": likelier[name]}
    return found


def training(ref: str) -> dict[str, Any]:
    """What a training cost and where its terms ended: means over the last 20 steps."""
    report = json.loads(Path(ref, "training.json").read_text())
    last = report["log"][-20:]
    ends = {key: round(float(np.mean([entry[key] for entry in last])), 4) for key in last[-1] if key.startswith("loss")}
    return {"seconds": report["seconds"], "tokens_per_second": round(report["tokens"] / report["seconds"], 1),
            "options": report["recipe"]["options"], **ends}  # fmt: skip


def main() -> None:
    """Train, answer, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, action="append", help="default 7; may be repeated")
    parser.add_argument("--alone", action="store_true", help="each term alone too")
    parser.add_argument("--steps", type=int, help="fewer, for a quick try")
    parser.add_argument("--limit", type=int, help="so many test examples alone")
    parser.add_argument("--margins", nargs="+", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.margins:
        ref, file, limit, *base = wanted.margins
        return write_margins(ref, Path(file), int(limit), bool(base))
    if wanted.directory is None:
        parser.error("DIRECTORY is missing")
    wanted.directory.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.chdir(wanted.directory)
    write_json(Path("composite.json"), found := result(wanted))
    if wanted.steps is None and wanted.limit is None:
        write_json(HERE / "results" / "composite.json", found)


def result(wanted: argparse.Namespace) -> dict[str, Any]:
    """Everything that is written."""
    from truemark.sentences import load

    if not test_set().is_file():
        command("data", "build", "rewording")
    examples = sample(read_examples(test_set(), "rewording"), wanted.limit)
    families = [family_of(example) for example in examples]
    recipe, embed, seeds = recipes.load(RECIPE), load(), wanted.seed or [7]
    rows: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    trainings: dict[str, Any] = {}
    for seed in seeds:
        refs = {name: train(name, terms, seed, wanted.steps) for name, terms in variants(wanted.alone).items()}
        trainings |= {ref: training(ref) for ref in refs.values()}
        outcome = evaluate("rewording", [recipe.base, *refs.values()], data=test_set(), results=Path("results"),
                           sampling=Sampling(max_tokens=LONGEST), limit=wanted.limit, baseline=refs[SFT])  # fmt: skip
        if outcome.failures:
            raise SystemExit("\n".join(f"{ref}: {error}" for ref, error in outcome.failures.items()))
        rows += [row.to_json() for row in outcome.rows]
        likelier = margins(refs, examples, Path("margins") / str(seed))
        values.append(by_seed(outcome.rows, {"base": recipe.base, **refs}, likelier, embed))
    pooled = {
        name: {key: np.nanmean([np.array(one[name][key], dtype=float) for one in values], axis=0) for key in keys}
        for name, keys in values[0].items()
    }
    slices = {"all": list(range(len(examples)))}
    for index, example in enumerate(examples):
        slices.setdefault(str(example["meta"]["slice"]), []).append(index)
    return {
        "command": shlex.join(["python", "-m", "benchmarks.composite", "DIRECTORY", *sys.argv[2:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "threads": threads(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft")},
        "recipe": recipe.model_dump() | ({"steps": wanted.steps} if wanted.steps else {}),
        "seeds": seeds,
        "examples": len(examples),
        "measures": {
            "score, passed": "the domain's check",
            "similarity": "cosine of MiniLM embeddings of answer and source",
            "meaning_kept": "share of answers of which the check says ok or copied: nothing else is said than the source says",
            "margin": "nats a token by which the reference is likelier than a wrong answer of the same form (teacher-forced)",
            "copied_bigrams": "share of the answer's pairs of words that the source has",
        },
        "of_the_references": {"copied_bigrams": round(float(np.mean([copied(source_of(e), e["reference"]) for e in examples])), 4)},
        "difference_is": f"from {SFT} on the same examples, mean over seeds; 95 % paired bootstrap over examples and over families",
        "rows": {
            part: {
                name: compared(
                    {key: each[chosen] for key, each in keys.items()},
                    {key: each[chosen] for key, each in pooled[SFT].items()},
                    [families[i] for i in chosen],
                )
                for name, keys in pooled.items()
            }
            for part, chosen in slices.items()
        },
        "training": trainings,
        "leaderboard": rows,
    }  # fmt: skip


if __name__ == "__main__":
    main()
