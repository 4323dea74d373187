"""Several sampled answers to each question, drawn once: what preference pairs and rejection sampling are made from.

    rows = draw(runtime, examples, path, settings)

A row is written like a prediction of `truemark eval`, with `sample` (0 to n - 1) and `passed` left to whoever reads it. Answers are
drawn and appended in blocks of whole questions; what an interruption leaves is a number of whole blocks, and the next run draws the same
answers for the rest as an uninterrupted one: a block's seeds and its neighbours in a batch depend on nothing but its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from domains.base import Domain, Example, asked
from truemark.console import progress, say
from truemark.errors import InvalidData
from truemark.files import read_jsonl, sha256_json, storage_errors
from truemark.runtimes.base import Prompt, Runtime, Sampling

QUESTIONS = 16
"""Questions in a block: what a kill can cost."""


@dataclass(frozen=True)
class Settings:
    """What decides the answers, beside the model and the questions."""

    n: int = 4
    """Answers to each question."""
    temperature: float = 0.8
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 7


def draw(
    runtime: Runtime,
    examples: Sequence[Example],
    path: Path,
    settings: Settings,
    *,
    model: str,
    prompt: Callable[[Example], Prompt] = asked,
) -> list[dict[str, Any]]:
    """`settings.n` answers to each example, in the examples' order; those that `path` holds are not drawn again.

    `model` names who answers, for the rows. Raises InvalidData when `path` holds answers of another model, to other questions, or drawn
    with other settings, EngineError when the engine fails: what was answered before stays.
    """
    sampling = Sampling(settings.max_tokens, settings.temperature, settings.top_p, settings.seed)
    blocks = [examples[start : start + QUESTIONS] for start in range(0, len(examples), QUESTIONS)]
    done = _take_up(path, blocks, settings.n, model, sampling)
    if done:
        say(f"{len(done)} answers are in {path}")
    rows, first = list(done), 0
    with progress("samples", len(examples) * settings.n) as advance:
        for block in blocks:
            size = len(block) * settings.n
            if first + size <= len(done):
                advance(size)
            else:
                fresh = _block(runtime, block, prompt, sampling, settings.n, first, model)
                _append(path, fresh)
                rows += fresh
                advance(size, f"{sum(row['tokens'] or 0 for row in fresh) / size:.0f} tokens an answer")
            first += size
    return rows


def of_model(
    domain: Domain, ref: str, examples: Sequence[Example], path: Path, settings: Settings, runtime: str | None = None
) -> list[dict[str, Any]]:
    """`draw` from a model by reference. An artifact's own template brings the domain's prompt, another model is told it, as in `eval`."""
    from truemark import models
    from truemark.runtimes import open_runtime

    model = models.resolve(ref)
    system = (
        []
        if model.artifact is not None or model.kind == "rule"
        else [{"role": "system", "content": domain.SYSTEM_PROMPT}]
    )

    def prompt(example: Example) -> list[dict[str, str]]:
        messages = asked(example)
        return messages if messages[0]["role"] == "system" else [*system, *messages]

    with open_runtime(model, runtime) as engine:
        return draw(engine, examples, path, settings, model=model.label, prompt=prompt)


def _block(
    runtime: Runtime,
    block: Sequence[Example],
    prompt: Callable[[Example], Prompt],
    sampling: Sampling,
    n: int,
    first: int,
    model: str,
) -> list[dict[str, Any]]:
    asked_now = [(example, sample) for example in block for sample in range(n)]
    seeded = Sampling(sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.seed + first)
    answers = dict(runtime.generate([prompt(example) for example, _ in asked_now], seeded))
    return [
        {
            "id": example["id"],
            "example_sha256": sha256_json(example),
            "model": model,
            "sampling": {**asdict(sampling), "stop": list(sampling.stop)},
            "sample": sample,
            "text": answers[place].text.encode("utf-8", "replace").decode("utf-8"),
            "finish_reason": answers[place].finish_reason,
            "tokens": len(answers[place].token_ids) or None,
        }
        for place, (example, sample) in enumerate(asked_now)
    ]


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            stream.flush()
            os.fsync(stream.fileno())


def _take_up(
    path: Path, blocks: Sequence[Sequence[Example]], n: int, model: str, sampling: Sampling
) -> list[dict[str, Any]]:
    """The rows of the whole blocks in `path`; what an interruption cut off behind them is removed from it."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    whole = 0
    for block in blocks:
        if whole + len(block) * n > len(lines):
            break
        whole += len(block) * n
    with storage_errors(path):
        os.truncate(path, sum(map(len, lines[:whole])))
    rows = read_jsonl(path)
    wanted = json.loads(json.dumps(asdict(sampling)))
    expected = [(sha256_json(example), sample) for block in blocks for example in block for sample in range(n)]
    for row, (sha, sample) in zip(rows, expected, strict=False):
        found = (row.get("example_sha256"), row.get("sample"), row.get("model"), row.get("sampling"))
        if found != (sha, sample, model, wanted):
            raise InvalidData(
                f"{path} holds answers of another model, to other questions or with other settings ({row.get('model')}, {row.get('id')})",
                mend=f"remove it, or choose another file: rm {path}",
            )
    return rows
