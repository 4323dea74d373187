"""What each term of the composite loss buys: rewording adapters with all terms, with each taken away, and with each alone.

python -m benchmarks.composite DIRECTORY [--seed 7 --seed 8] [--alone] [--steps N] [--limit N]

Every adapter sees the same examples in the same order for the same number of steps: recipe `rewording-smollm2-composite` with other weights;
`sft` is all weights 0. Answers to the test set, whose families and subject fields were never trained on, are compared with those of `sft`
on the same examples. What is in DIRECTORY is not done again, and a training that was cut off continues.

Writes benchmarks/results/composite.json; with --steps or --limit (a quick try) DIRECTORY/composite.json. The rows are scores of
`truemark eval`: `truemark leaderboard --results DIRECTORY/results`. About NN minutes a seed on two quiet cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.training import command
from domains.base import Example

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
        *([f"optim.steps={steps}"] if steps else []),
    ]
    command("train", RECIPE, "--out", out, *(part for change in changes for part in ("--set", change)))
    return out


def margins(refs: dict[str, str], examples: list[Example], place: Path) -> dict[str, list[float]]:
    """Nats a token by which each model finds the reference likelier than a wrong answer, by example; `refs` are adapters of one base.

    One process a model, so that its memory is given back; the base's are those of the first adapter without itself.
    """
    found = {}
    for name, ref in {"base": next(iter(refs.values())), **refs}.items():
        file = place / f"{name}-{len(examples)}.json"
        if not file.is_file():
            ask = [ref, str(file), str(len(examples)), *(["base"] if name == "base" else [])]
            subprocess.run([sys.executable, "-P", "-m", "benchmarks.composite", "--margins", *ask], check=True)
        found[name] = json.loads(file.read_text())
    return found


def write_margins(ref: str, file: Path, limit: int, without: bool) -> None:
    """The margins of one adapter, or of its base."""
    import contextlib

    import torch

    from train.composite import ahead
    from train.contrast import collate_contrasted, columns, contrasted
    from truemark import adapters, compute
    from truemark.models import resolve
    from truemark.runtimes.torch import AutoTokenizerOf

    del contextlib, torch, ahead, collate_contrasted, columns, contrasted, adapters, compute, resolve, AutoTokenizerOf
