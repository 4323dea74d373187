"""What verified answers buy, and at what cost in tokens and time.

    python -m benchmarks.verified [--adapter DOMAIN=PATH …] [--limit N] [--attempts 3]      → benchmarks/results/verified.json

The test set of each adapter's domain, one question after another, greedily first, through the very loop of `serve/verify.py` on a llama-server (without
HTTP). An answer is right when the domain's check passes it against the gold answer, which no arm sees:

    plain               one answer
    verified            as served: compared with the domain's own solution where it has one, asked again up to --attempts answers
    verified, told      the same, and each further attempt is told what is wrong
    by itself           without the domain's own solution, as for a question that it cannot solve: steps, clingo, citations alone

`accuracy` counts the solver's own text where it was returned, `by the model` does not. Where the solver solves every question of a test set, as SymPy
does those of math, `verified` measures whether one of k answers is right: a bound that other questions will not reach. The stocks of asp and constitution hold
their own test questions, so there a comparison would be with the gold answer, and only `by itself` is run. `checks` says how the review of the plain
answers agrees with the gold check, and what a review takes. Differences from plain are paired by question, intervals over whole problem families.
An interrupted
run continues (rows are kept in runs/bench/verified). With --limit (a quick try) no result is written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from domains import get
from domains.base import Example, asked
from domains.review import LIMITS, TARGET, Review
from evalsuite.data import family_of, sample
from evalsuite.statistics import bca, mcnemar, paired_bootstrap
from serve import catalog, engines
from serve.catalog import ServedModel
from serve.chat import ChatService
from serve.protocol import ChatMessage, ChatRequest
from serve.supervisor import Supervisor
from serve.verify import SECONDS, TOKENS, WARMER, Verified
from truemark import sandbox
from truemark.artifacts import machine
from truemark.files import read_jsonl, write_json, write_jsonl
from truemark.settings import threads

HERE = Path(__file__).parent
OUT = HERE / "results" / "verified.json"
WORK = Path("runs/bench/verified")
"""Rows of what has been run; it is not run again."""
SHIPPED = ("math", "rewording")
LEVELS = {"math": ["basics"], "devops": ["foundation"]}
"""What the adapters of these domains were trained on."""
LOOKED_UP = ("asp", "constitution")
"""Domains whose own solutions are looked up among questions that hold the test set."""
MAX_TOKENS = 256
PLAIN = "plain"
Arm = dict[str, Any]


def arms(domain: str, attempts: int) -> dict[str, Arm]:
    """Name → what differs between the arms."""
    alone = {"by itself": {"attempts": attempts, "feedback": domain in LOOKED_UP, "solve": False}}
    plain = {PLAIN: {"attempts": 1, "feedback": False, "solve": False}}
    if domain in LOOKED_UP:
        return {**plain, **alone}
    both = {
        "verified": {"attempts": attempts, "feedback": False},
        "verified, told": {"attempts": attempts, "feedback": True},
    }
    return {**plain, **both, **alone}


async def answer(
    service: ChatService, model: ServedModel, example: Example, arm: Arm, *, plain: bool
) -> dict[str, Any]:
    """One question: its answer, what was said of it, and what it took."""
    domain = get(example_domain(model))
    messages = [ChatMessage.model_validate(message) for message in asked(example)]
    chat = ChatRequest(model=model.name, messages=messages, temperature=0, max_tokens=MAX_TOKENS)
    began = time.perf_counter()
    if plain:
        _, pieces = await service.attempt(chat, model)
        text, tokens, by_model, outcome, attempts = "", 0, True, PLAIN, 1
        async for piece in pieces:
            text, tokens = text + piece.text, piece.tokens
    else:
        verified = Verified(partial(service.attempt, model=model), chat, model, domain, **arm)
        await verified.start()
        await verified.finish()
        text, tokens, outcome = verified.text()[0], verified.usage().completion_tokens, verified.outcome
        by_model, attempts = outcome != "solver", len(verified.tries)
    seconds = time.perf_counter() - began
    right = (
        await asyncio.to_thread(domain.check, text, example)
    ).passed  # the engine's connection is kept by this loop
    return {"text": text, "right": right, "by_model": right and by_model, "outcome": outcome, "tokens": tokens, "seconds": seconds, "attempts": attempts}  # fmt: skip


def example_domain(model: ServedModel) -> str:
    """The domain an adapter was trained for."""
    assert model.domain is not None
    return model.domain


def checks(domain: str, examples: Sequence[Example], rows: Sequence[dict[str, Any]], *, solve: bool) -> dict[str, Any]:
    """The reviews of plain answers beside the gold check's verdicts, and their seconds (the first, which starts a worker, apart)."""
    cells: Counter[str] = Counter()
    took = []
    for example, row in zip(examples, rows, strict=True):
        began = time.perf_counter()
        found = Review.from_json(sandbox.call(TARGET, domain, asked(example), row["text"], solve, limits=LIMITS))
        took.append(time.perf_counter() - began)
        cells[f"{found.outcome}, {'right' if row['right'] else 'wrong'}"] += 1
    spread = np.quantile(took[1:] or took, [0.5, 0.95])
    return {"outcome, gold": dict(sorted(cells.items())), "milliseconds": {name: round(1000 * float(each), 1) for name, each in zip(("p50", "p95"), spread, strict=True)}}  # fmt: skip


def measured(rows: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]], families: np.ndarray) -> dict[str, Any]:
    """Accuracy, its difference from plain, and costs, of one arm."""
    found: dict[str, Any] = {}
    for name, key in (("accuracy", "right"), ("by the model", "by_model")):
        values, base = (np.array([float(row[key]) for row in of]) for of in (rows, plain))
        found[name] = {
            "value": round(float(values.mean()), 4),
            "interval95": bca(values, families, bounds=(0, 1)).to_json(),
        }
        if rows is plain:
            continue
        found[name] |= {
            "minus plain": round(float((values - base).mean()), 4),
            "minus plain interval95": paired_bootstrap(values - base, families, bounds=(-1, 1)).to_json(),
            "mcnemar p": mcnemar(int((values > base).sum()), int((values < base).sum())),
        }
    for name in ("tokens", "seconds", "attempts"):
        mean, base_mean = (float(np.mean([row[name] for row in of])) for of in (rows, plain))
        found[name] = {"mean": round(mean, 3), "times plain": round(mean / base_mean, 3)}
    found["seconds"]["p95"] = round(float(np.quantile([row["seconds"] for row in rows], 0.95)), 3)
    found["outcomes"] = dict(Counter(row["outcome"] for row in rows))
    return found


async def run(words: Sequence[str], limit: int | None, attempts: int) -> dict[str, Any]:
    """Every arm of every adapter on one engine."""
    models = catalog.read(words)
    supervisor = Supervisor(engines.create("llamacpp", models.base.ref, models.adapters), models)
    await supervisor.start()
    try:
        service, table = ChatService(models, supervisor), {}
        for model in (model for model in models.models.values() if model.adapter):
            domain = example_domain(model)
            test = (await asyncio.to_thread(get(domain).build, 7, 1, LEVELS.get(domain, ())))["test"]
            examples = sample(test, limit) if limit else test
            families = np.array([family_of(example) for example in examples])
            rows: dict[str, list[dict[str, Any]]] = {}
            for name, arm in arms(domain, attempts).items():
                file = (
                    WORK
                    / f"{model.ref.label}-{name.replace(', ', '-').replace(' ', '-')}-{attempts}-{len(examples)}.jsonl"
                )
                if not file.is_file():
                    told = [await answer(service, model, example, arm, plain=name == PLAIN) for example in examples]
                    write_jsonl(file, told)
                rows[name] = list(read_jsonl(file))
                print(f"{domain}, {name}: {sum(row['right'] for row in rows[name])} of {len(examples)}", flush=True)
            table[domain] = {
                "adapter": model.ref.label,
                "n": len(examples),
                "families": len(set(families)),
                "arms": {name: measured(found, rows[PLAIN], families) for name, found in rows.items()},
                "checks": {
                    name: await asyncio.to_thread(checks, domain, examples, rows[PLAIN], solve=solve)
                    for name, solve in (("verified", True), ("by itself", False))
                    if domain not in LOOKED_UP or not solve
                },
            }
        return {"engine": f"llamacpp {supervisor.version}", "domains": table}
    finally:
        await supervisor.stop()


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser()
    shelf = [f"{name}={HERE.parent / 'adapters' / f'{name}-smollm2'}" for name in SHIPPED]
    parser.add_argument("--adapter", action="append", help="DOMAIN=PATH; default: those that ship")
    parser.add_argument("--limit", type=int, help="questions of each test set")
    parser.add_argument("--attempts", type=int, default=3)
    wanted = parser.parse_args()
    found = asyncio.run(run(wanted.adapter or shelf, wanted.limit, wanted.attempts))
    result = {
        "command": shlex.join(["python", "-m", "benchmarks.verified", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "threads": threads(),
        "versions": {name: version(name) for name in ("llama-cpp-python", "sympy", "clingo")},
        "settings": {"attempts": wanted.attempts, "temperature": [0, WARMER], "max_tokens": MAX_TOKENS, "tokens": TOKENS, "seconds": SECONDS},
        **found,
    }  # fmt: skip
    if wanted.limit:
        print(json.dumps(result, indent=2))
    else:
        write_json(OUT, result)


if __name__ == "__main__":
    main()
