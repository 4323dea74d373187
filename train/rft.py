"""Rejection-sampling fine-tuning: the model's own answers that pass the check, each different one once, then SFT on them.

Source: Yuan et al. 2023, https://arxiv.org/abs/2308.01825, section 3.3; one round of STaR (Zelikman et al. 2022,
https://arxiv.org/abs/2203.14465) without its hints. The answers are those of `start`, or of the base where there is none; the next round
is another run that starts from this one's adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from domains.base import Domain, Example, asked
from domains.pairs import plain
from domains.passes import pass_at_k
from domains.samples import Settings
from train import methods, network, samples, sft
from train.data import tokenize
from train.methods import Job, Trained
from truemark.console import progress, say
from truemark.errors import TruemarkError

DATA = "train.jsonl"


class Options(methods.Options):
    """How answers are drawn, and which are kept."""

    n: int = Field(8, ge=1, le=1024)
    """Answers drawn to each question."""
    temperature: float = Field(0.8, gt=0, le=5)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1)
    """Longest answer."""
    questions: int | None = Field(None, ge=1)
    """The first so many questions alone. None is all."""
    keep: int = Field(4, ge=1)
    """Different passed answers of a question that are kept at most, the shortest first: a question that is always solved does not crowd out the others."""
    least: float = Field(1.0, ge=0, le=1)
    """Least score of a passed answer that is kept (math gives 0.5 for a right answer behind a wrong step)."""
    gold: bool = True
    """Train on the examples' own answers too."""
    fit: Literal["base", "start"] = "base"
    """What SFT starts from: a new adapter on the base, as in the paper, or the adapter that gave the answers."""
    engine: samples.Engine = "auto"
    """Who draws them: llama.cpp or PyTorch; `auto` is the quicker one that can (train/README.md)."""


def train(job: Job) -> Trained:
    """Draw, check, keep, train. Raises TruemarkError when no answer passes."""
    options: Options = job.options(Options)
    examples: list[Any] = job.rows[: options.questions]
    drawn = samples.sample(
        job,
        examples,
        Settings(options.n, options.temperature, options.top_p, options.max_tokens, job.recipe.seed),
        options.engine,
    )
    kept, report = select(job.domain, examples, [row["text"] for row in drawn], options)
    say(
        f"kept {report['kept']} different answers to {report['solved']} of {len(examples)} questions; pass@k {report['pass_at_k']}"
    )
    if not kept:
        raise TruemarkError(
            f"none of {len(drawn)} answers of {(job.start or job.base).label} passes the check: there is nothing to train on",
            mend=f"start from an adapter that solves some: truemark train {job.recipe.domain}, then --from runs/{job.recipe.domain}-smollm2",
        )
    rows = [*(job.rows if options.gold else []), *kept]
    if options.fit == "base":
        job = replace(job, start=None)
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, job.recipe.data.special_tokens)
    ordered, steps = sft.lay_out(job, tokenize(rows, tokenizer))
    trained = sft.fit(job, ordered, steps, tokenizer)
    return replace(trained, report={**trained.report, "samples": report})


def select(
    domain: Domain, examples: Sequence[Example], texts: Sequence[str], options: Options
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows to train on of `options.n` answers to each example, and what came of them: by level, and pass@k."""
    kept: list[dict[str, Any]] = []
    levels: dict[str, Counter[str]] = {}
    passes: list[int] = []
    with progress("check", len(texts)) as advance:
        for number, example in enumerate(examples):
            level = levels.setdefault(str(example["meta"].get("level", "all")), Counter())
            different: dict[str, str] = {}
            passed = 0
            for text in texts[number * options.n : (number + 1) * options.n]:
                verdict = domain.check(text, example)
                passed += verdict.passed
                if verdict.passed and verdict.score >= options.least:
                    different.setdefault(plain(text), text.strip())
                advance(1)
            own = plain(example["messages"][-1]["content"]) if options.gold else None
            chosen = sorted((text for key, text in different.items() if key != own), key=lambda text: (len(text), text))
            kept += [_row(example, text, place) for place, text in enumerate(chosen[: options.keep])]
            passes.append(passed)
            level.update(questions=1, asked=options.n, passed=passed, solved=int(passed > 0))
            level.update(kept=min(len(chosen), options.keep))
    total = sum(levels.values(), Counter[str]())
    return kept, {
        **{key: total[key] for key in ("questions", "asked", "passed", "solved", "kept")},
        "pass_at_k": {str(k): round(pass_at_k(passes, options.n, k), 4) for k in _ladder(options.n)},
        "levels": {level: dict(counts) for level, counts in levels.items()},
    }


def _ladder(n: int) -> list[int]:
    """1, 2, 4, … and n."""
    return sorted({n, *(2**power for power in range(n.bit_length()) if 2**power <= n)})


def _row(example: Example, text: str, place: int) -> dict[str, Any]:
    messages = [*asked(example), {"role": "assistant", "content": text}]
    return {"id": f"{example['id']}/rft{place}", "messages": messages, "meta": example["meta"]}
