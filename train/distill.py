"""Distillation through text: a teacher behind an OpenAI-compatible endpoint answers the training questions, the check filters, SFT follows.

What the teacher has answered is kept in the work directory and never asked again. Sequence-level distillation (Kim & Rush 2016,
https://arxiv.org/abs/1606.07947) with the domain's check as its filter. Mind the terms of the teacher's provider.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from pydantic import Field

from domains.base import asked
from domains.endpoint import Endpoint
from domains.pairs import plain
from train import methods, network, sft
from train.data import tokenize
from train.methods import Job, Trained
from truemark.console import progress, say
from truemark.errors import EngineError, TruemarkError

DATA = "train.jsonl"
FIRST = 8
"""Questions asked before the rest: when the teacher answers none of them, the others are not asked."""


class Options(methods.Options):
    """Who teaches, and what is kept."""

    teacher: str = Field(min_length=1)
    """Name of the model at the endpoint. The key comes from OPENAI_API_KEY."""
    base_url: str | None = None
    """The endpoint; default OPENAI_BASE_URL, else the local gateway."""
    n: int = Field(1, ge=1, le=64)
    """Answers to each question; more than one needs a temperature."""
    temperature: float = Field(0.0, ge=0, le=5)
    max_tokens: int = Field(512, ge=1)
    questions: int | None = Field(None, ge=1)
    """The first so many questions alone. None is all."""
    least: float = Field(1.0, ge=0, le=1)
    """Least score of a passed answer that is kept."""
    workers: int = Field(8, ge=1, le=64)
    """Requests at a time."""
    timeout: float = Field(120, gt=0)
    """Seconds for an answer, each of five tries."""
    missing: float = Field(0.1, ge=0, le=1)
    """Share of the requests that may fail; with more the run stops, and what was answered stays for the next one."""
    gold: bool = False
    """Train on the examples' own answers too."""


def train(job: Job) -> Trained:
    """Raises EngineError when too many requests fail, TruemarkError when no answer passes."""
    options: Options = job.options(Options)
    examples: list[Any] = job.rows[: options.questions]
    texts, failed = ask(job, examples, options)
    kept, report = _select(job, examples, texts, options)
    report = {"teacher": options.teacher, "asked": len(texts), "failed": failed, **report}
    say(f"kept {len(kept)} of {len(texts)} answers of {options.teacher}: {report['reasons']}")
    if not kept:
        raise TruemarkError(
            f"no answer of {options.teacher} passes the check of {job.recipe.domain}: {report['reasons']}",
            mend="look at what it answers (the files in the work directory's `teacher`), or choose another teacher",
        )
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, job.recipe.data.special_tokens)
    ordered, steps = sft.lay_out(job, tokenize([*(job.rows if options.gold else []), *kept], tokenizer))
    trained = sft.fit(job, ordered, steps, tokenizer)
    return replace(trained, report={**trained.report, "teacher": report})


def ask(job: Job, examples: Sequence[Any], options: Options) -> tuple[list[str | None], int]:
    """The teacher's answers, `options.n` to each example in order, None where a request failed; and how many failed."""
    system = {
        "role": "system",
        "content": job.domain.SYSTEM_PROMPT,
    }  # an adapter's template brings it, a teacher must be told
    endpoint = Endpoint(options.teacher, base_url=options.base_url, cache=job.work / "teacher", timeout=options.timeout)
    requests = [(example, job.recipe.seed + sample) for example in examples for sample in range(options.n)]
    errors: list[EngineError] = []

    def one(request: tuple[Any, int]) -> str | None:
        example, seed = request
        messages = asked(example)
        try:
            return endpoint.complete(
                messages if messages[0]["role"] == "system" else [system, *messages],
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                seed=seed,
            )
        except EngineError as error:
            errors.append(error)
            return None

    answers: list[str | None] = []
    try:
        with ThreadPoolExecutor(options.workers) as pool, progress(f"ask {options.teacher}", len(requests)) as advance:
            for part in (requests[:FIRST], requests[FIRST:]):
                running = [pool.submit(one, request) for request in part]
                try:
                    for future in running:
                        answers.append(future.result())
                        advance(1)
                        if len(errors) > max(options.missing * len(requests), 0):
                            break
                finally:
                    for future in running:
                        future.cancel()
                if len(errors) > options.missing * len(requests) or (
                    answers and not any(a is not None for a in answers)
                ):
                    raise EngineError(
                        f"{len(errors)} of {len(requests)} requests to {options.teacher} failed, more than options.missing = "
                        f"{options.missing:.0%} allows. The last: {errors[-1].message}",
                        mend="when it is up again, run the same command: what was answered is kept",
                    )
    finally:
        endpoint.close()
    return answers, len(errors)


def _select(
    job: Job, examples: Sequence[Any], texts: Sequence[str | None], options: Options
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Passed answers, each different one once, as rows to train on; and the verdicts counted by reason."""
    kept: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    for number, example in enumerate(examples):
        different: dict[str, str] = {}
        for text in texts[number * options.n : (number + 1) * options.n]:
            if text is None:
                reasons["no answer"] += 1
                continue
            verdict = job.domain.check(text, example)
            reasons[verdict.reason] += 1
            if verdict.passed and verdict.score >= options.least:
                different.setdefault(plain(text), text.strip())
        for place, text in enumerate(different.values()):
            messages = [*asked(example), {"role": "assistant", "content": text}]
            kept.append({"id": f"{example['id']}/teacher{place}", "messages": messages, "meta": example["meta"]})
    return kept, {"kept": len(kept), "reasons": dict(reasons.most_common())}
