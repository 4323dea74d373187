"""Answering what has no answer yet: one model, opened at most once, on the test set and on whatever else is asked of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domains.base import Example
from evalsuite.data import example_sha256, prompt
from evalsuite.evaluations import write_engine
from evalsuite.predictions import Prediction, PredictionStore, Run
from truemark.console import progress, say
from truemark.errors import EngineError, InvalidData, TruemarkError
from truemark.models import ModelRef
from truemark.runtimes import Runtime, open_runtime
from truemark.runtimes.retries import NoAnswer
from truemark.runtimes.text import prompt_hash

RENDERED_AGAIN = 64
"""Stored answers whose prompts are compared with what the template gives now."""


@dataclass(frozen=True)
class Part:
    """One set of examples, asked of a model in one way."""

    run: Run
    store: PredictionStore
    examples: list[Example]
    known: Sequence[Example]
    """The whole set of which `examples` may be a sample: stored answers to others are named."""
    unanswered: dict[str, str] = field(default_factory=dict)
    """Example id → why the endpoint gave no answer; filled while it is asked."""

    @classmethod
    def of(cls, results: Path, run: Run, examples: list[Example], known: Sequence[Example] | None = None) -> Part:
        """A part and its store."""
        return cls(run, PredictionStore(results, run), examples, examples if known is None else known)

    @property
    def asked(self) -> list[Example]:
        """The examples that have an answer, once it was generated."""
        return [example for example in self.examples if example["id"] not in self.unanswered]


def generate(
    ref: ModelRef,
    parts: Sequence[Part],
    results: Path,
    options: dict[str, Any],
    *,
    opened: Callable[..., Runtime] = open_runtime,
    done: Callable[[Part], None] = lambda part: None,
) -> None:
    """Answer all parts in order, `done` after each: what it raises ends the model. The model is opened when something is missing, and once.

    Raises EngineError when the engine does, InvalidData for stored answers that cannot be used.
    """
    engine_name = parts[0].run.engine
    try:
        with contextlib.ExitStack() as stack:
            engine: Runtime | None = None
            for part in parts:
                stored = part.store.read()
                _name_strangers(part, stored)
                if all(example_sha256(example) in stored for example in part.examples):
                    say(f"  {_what(part)}all {len(part.examples)} answers are in {part.store.path}")
                else:
                    engine = engine or stack.enter_context(opened(ref, engine_name, **options))
                    _ask(engine, part, results)
                done(part)
    except TruemarkError:
        raise
    except Exception as error:  # an engine may raise anything; the other models' answers must not be lost to it
        raise EngineError(f"{engine_name} failed: {type(error).__name__}: {error}") from error


def _ask(engine: Runtime, part: Part, results: Path) -> None:
    shas = {example["id"]: example_sha256(example) for example in part.examples}
    with part.store.appending() as (done, append):
        missing = [example for example in part.examples if shas[example["id"]] not in done]
        say(f"  {_what(part)}{len(missing)} of {len(part.examples)} to answer → {part.store.path}")
        engine_sha = write_engine(results, part.run.domain, engine.describe())
        _refuse_mixed_templates(part, engine, done)
        others = sum(row.engine_sha256 != engine_sha for row in done.values())
        if others:
            say(f"  {others} stored answers came from {part.run.engine} in another version or with other settings")
        prompts = [prompt(example, part.run.system) for example in missing]
        answered = 0
        # an endpoint may leave questions out; every other engine answers all or ends with an error
        ask = getattr(engine, "attempt", engine.generate)
        with progress("  answers", len(missing)) as advance:
            for index, answer in ask(prompts, part.run.sampling):
                example = missing[index]
                if isinstance(answer, NoAnswer):
                    part.unanswered[example["id"]] = answer.message
                else:
                    append(Prediction.of(part.run, example["id"], shas[example["id"]], engine_sha, answer))
                answered += 1
                advance(1)
    if answered < len(missing):
        raise EngineError(f"{part.run.engine} answered {answered} of {len(missing)} and ended without an error")
    if len(part.unanswered) == len(part.examples):
        raise EngineError(f"{next(iter(part.unanswered.values()))} (no question was answered)")


def _refuse_mixed_templates(part: Part, engine: Runtime, done: dict[str, Prediction]) -> None:
    """Stored answers must be to the very tokens that would be asked now: a template may hold the date, a renderer may change."""
    stored = [example for example in part.examples if example_sha256(example) in done]
    for example in stored[:RENDERED_AGAIN]:
        ids = engine.prompt_ids(prompt(example, part.run.system)) if hasattr(engine, "prompt_ids") else []
        row = done[example_sha256(example)]
        if ids and prompt_hash(ids) != row.prompt_sha256:
            raise InvalidData(
                f"{part.store.path}: '{row.id}' was asked with other prompt tokens than its template gives now "
                f"({row.prompt_tokens} then, {len(ids)} now): answers to two templates would be mixed",
                mend=f"remove {part.store.path}, then run the same command",
            )


def _name_strangers(part: Part, stored: dict[str, Prediction]) -> None:
    """Say which stored answers belong to no example of the test set as it is now."""
    current = {example["id"]: example_sha256(example) for example in part.known}
    foreign = [row.id for row in stored.values() if row.id not in current]
    changed = [row.id for sha, row in stored.items() if row.id in current and current[row.id] != sha]
    if changed:
        say(f"  the test set has changed: {len(changed)} stored answers (first '{changed[0]}') are to earlier versions")
    if foreign:
        say(f"  {len(foreign)} stored answers (first '{foreign[0]}') are to examples that this test set does not have")


def _what(part: Part) -> str:
    return f"{part.run.also}: " if part.run.also else ""
