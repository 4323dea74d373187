"""Evaluate models on a domain's test set: answer what is missing, make sure who answered, check, compare.

Models are opened one after another, as two of them rarely fit in memory; one that fails does not lose the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import domains
from domains.base import Domain, Example
from domains.examples import read_examples
from evalsuite.comparison import Row, Scored, compare, find_baseline
from evalsuite.contaminated import Contamination, TrainingData
from evalsuite.data import example_sha256, examples_sha256, prompt, sample
from evalsuite.evaluations import Evaluations, Model, caveats, write_engine
from evalsuite.predictions import Prediction, PredictionStore, Run
from truemark.console import progress, say
from truemark.errors import CheckFailed, EngineError, InvalidData, TruemarkError, UnknownName
from truemark.files import sha256_file, sha256_json
from truemark.models import ModelRef, resolve
from truemark.runtimes import DEFAULT, RUNTIMES, Runtime, open_runtime
from truemark.runtimes.base import Sampling
from truemark.runtimes.retries import Budget, NoAnswer
from truemark.runtimes.rule import TRAINED
from truemark.runtimes.text import prompt_hash
from truemark.settings import endpoint_url

CANARY_MINIMUM = 8
"""Below so many answers in common, agreeing with the base on all of them may be chance."""
RENDERED_AGAIN = 64
"""Stored answers whose prompts are compared with what the template gives now."""
_MODEL_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt"}


@dataclass(frozen=True)
class Job:
    """One model to evaluate."""

    ref: ModelRef
    model: Model
    run: Run
    store: PredictionStore
    options: dict[str, Any]
    """What its runtime is opened with."""
    contamination: Contamination
    unanswered: dict[str, str] = field(default_factory=dict)
    """Example id → why the endpoint gave no answer; filled while it is asked."""


@dataclass(frozen=True)
class Asking:
    """How models are asked."""

    concurrency: int = 8
    """Questions to an endpoint at a time."""
    budget: Budget = field(default_factory=Budget)
    """What all endpoints of the command may cost together."""
    allow_contaminated: bool = False
    """Score, and mark, a model that was trained on test examples."""


@dataclass
class Outcome:
    """What an evaluation came to."""

    rows: list[Row] = field(default_factory=list)
    failures: dict[str, TruemarkError] = field(default_factory=dict)
    """By reference: why a model has no row."""

    @property
    def exit_code(self) -> int:
        """0 when every model has its row, else the highest code of what went wrong."""
        return max((error.exit_code for error in self.failures.values()), default=0)


def evaluate(
    domain: str,
    refs: Sequence[str],
    *,
    data: Path,
    results: Path,
    sampling: Sampling,
    limit: int | None = None,
    runtime: str | None = None,
    baseline: str | None = None,
    asking: Asking | None = None,
) -> Outcome:
    """Evaluate `refs` on `data` and compare them with `baseline` (default: the first).

    Raises UnknownName for a domain or runtime, InvalidData for the test set. What goes wrong with one model is in
    `Outcome.failures`.
    """
    room = domains.get(domain)
    if runtime is not None and runtime not in RUNTIMES:
        raise UnknownName("runtime", runtime, RUNTIMES)
    everything = read_examples(data, domain)
    examples = sample(everything, limit)
    wanted = list(dict.fromkeys([*([baseline] if baseline else []), *refs]))
    outcome = Outcome()
    asking = asking or Asking()
    training = TrainingData(data, domain)
    jobs: list[Job] = []
    for text in wanted:
        try:
            job = _prepare(text, room, results, sampling, runtime, asking, training, examples)
            _add_new(jobs, job)
        except TruemarkError as error:
            _failed(outcome, text, error)
    for number, job in enumerate(jobs, 1):
        say(f"[{number}/{len(jobs)}] {job.model.label} ({job.run.engine})")
        try:
            _generate(job, everything, examples, results)
        except TruemarkError as error:
            _failed(outcome, job.ref.text, error)
    scores = Evaluations(results, domain, examples_sha256(examples))
    scored = []
    for job in [job for job in jobs if job.ref.text not in outcome.failures]:
        try:
            scored.append(_score(job, room, examples, scores, limit if len(examples) < len(everything) else None))
        except TruemarkError as error:
            _failed(outcome, job.ref.text, error)
    if scored:
        outcome.rows = compare(scored, _baseline(scored, wanted[0], jobs))
    return outcome


def _prepare(
    text: str,
    room: Domain,
    results: Path,
    sampling: Sampling,
    runtime: str | None,
    asking: Asking,
    training: TrainingData,
    examples: list[Example],
) -> Job:
    ref = resolve(text)
    engine = runtime or DEFAULT.get(ref.kind, ref.kind)
    if engine not in RUNTIMES:
        raise UnknownName("runtime", engine, RUNTIMES)
    options: dict[str, Any] = {}
    if engine == "http":
        options = {"workers": asking.concurrency, "budget": asking.budget}
    sha256, contamination = model_sha256(ref), training.check(ref, examples)
    if ref.kind == "rule" and ref.target.partition(":")[0] == TRAINED:
        file = training.file(ref.target.partition(":")[2])
        options, contamination = {"training": file}, training.compare(file, examples)
        sha256 = sha256_json([sha256, sha256_file(file)])
    if not asking.allow_contaminated:
        contamination.refuse(ref.label, len(examples))
    model = model_of(ref, sha256)
    run = run_of(ref, model.sha256, room, engine, sampling)
    return Job(ref, model, run, PredictionStore(results, run), options, contamination)


def model_of(ref: ModelRef, sha256: str | None = None) -> Model:
    """What the scores say of a model; `sha256` where more than its own files shapes its answers."""
    base = _base_of(ref)
    return Model.of(ref, sha256 or model_sha256(ref), model_sha256(base) if base else None)


def _add_new(jobs: list[Job], job: Job) -> None:
    same = next((other for other in jobs if other.run.sha256 == job.run.sha256), None)
    if same is None:
        jobs.append(job)
    else:
        say(f"{job.ref.text} is the same model as {same.ref.text}: evaluated once")


def run_of(ref: ModelRef, sha256: str, room: Domain, engine: str, sampling: Sampling) -> Run:
    """How a model is asked: an artifact by its own template, which brings the domain's prompt; another is told it.

    So base and adapter see the same tokens, and an export that lost its template is measured without it.
    """
    system = "" if ref.artifact is not None or ref.kind == "rule" else room.SYSTEM_PROMPT
    return Run(room.NAME, ref.text, ref.label, sha256, engine, sampling, system)


def model_sha256(ref: ModelRef) -> str:
    """Hash of everything on disk that shapes a model's answers; of its name and place where nothing is on disk."""
    if ref.path is None and ref.embedded is None:
        if ref.kind == "t5":
            return _files_sha256(ref.local_path())
        url = endpoint_url() if ref.kind == "openai" else ""
        return sha256_json({"kind": ref.kind, "target": ref.target, "url": url})
    if ref.artifact is None and ref.embedded is None and ref.path is not None and ref.path.is_dir():
        return _files_sha256(ref.path)
    return ref.weights_sha256()


def _files_sha256(directory: Path) -> str:
    files = sorted(file for file in directory.iterdir() if file.suffix in _MODEL_SUFFIXES)
    return sha256_json({file.name: sha256_file(file) for file in files})


def _base_of(ref: ModelRef) -> ModelRef | None:
    if ref.artifact is None:
        return None
    try:
        return ref.base()
    except TruemarkError:
        return None  # an export runs without its base on this machine; there is then nothing to compare it with


def _generate(job: Job, everything: list[Example], examples: list[Example], results: Path) -> None:
    """Answer the examples that have no answer yet. Raises EngineError when the engine does."""
    stored = job.store.read()
    _name_strangers(job, stored, everything)
    shas = {example["id"]: example_sha256(example) for example in examples}
    if all(sha in stored for sha in shas.values()):
        say(f"  all {len(examples)} answers are in {job.store.path}")
        return
    try:
        with open_runtime(job.ref, job.run.engine, **job.options) as engine, job.store.appending() as (done, append):
            missing = [example for example in examples if shas[example["id"]] not in done]
            say(f"  {len(missing)} of {len(examples)} to answer → {job.store.path}")
            engine_sha = write_engine(results, job.run.domain, engine.describe())
            _refuse_mixed_templates(job, engine, [example for example in examples if shas[example["id"]] in done], done)
            others = sum(row.engine_sha256 != engine_sha for row in done.values())
            if others:
                say(f"  {others} stored answers came from {job.run.engine} in another version or with other settings")
            prompts = [prompt(example, job.run.system) for example in missing]
            answered = 0
            # an endpoint may leave questions out; every other engine answers all or ends with an error
            ask = getattr(engine, "attempt", engine.generate)
            with progress("  answers", len(missing)) as advance:
                for index, answer in ask(prompts, job.run.sampling):
                    example = missing[index]
                    if isinstance(answer, NoAnswer):
                        job.unanswered[example["id"]] = answer.message
                    else:
                        append(Prediction.of(job.run, example["id"], shas[example["id"]], engine_sha, answer))
                    answered += 1
                    advance(1)
    except TruemarkError:
        raise
    except Exception as error:  # an engine may raise anything; the other models' answers must not be lost to it
        raise EngineError(f"{job.run.engine} failed: {type(error).__name__}: {error}") from error
    if answered < len(missing):
        raise EngineError(f"{job.run.engine} answered {answered} of {len(missing)} and ended without an error")
    if len(job.unanswered) == len(examples):
        raise EngineError(f"{next(iter(job.unanswered.values()))} (no question was answered)")


def _refuse_mixed_templates(job: Job, engine: Runtime, stored: list[Example], done: dict[str, Prediction]) -> None:
    """Stored answers must be to the very tokens that would be asked now: a template may hold the date, a renderer may change."""
    for example in stored[:RENDERED_AGAIN]:
        ids = engine.prompt_ids(prompt(example, job.run.system)) if hasattr(engine, "prompt_ids") else []
        row = done[example_sha256(example)]
        if ids and prompt_hash(ids) != row.prompt_sha256:
            raise InvalidData(
                f"{job.store.path}: '{row.id}' was asked with other prompt tokens than its template gives now "
                f"({row.prompt_tokens} then, {len(ids)} now): answers to two templates would be mixed",
                mend=f"remove {job.store.path}, then run the same command",
            )


def _name_strangers(job: Job, stored: dict[str, Prediction], everything: list[Example]) -> None:
    """Say which stored answers belong to no example of the test set as it is now."""
    current = {example["id"]: example_sha256(example) for example in everything}
    foreign = [row.id for row in stored.values() if row.id not in current]
    changed = [row.id for sha, row in stored.items() if row.id in current and current[row.id] != sha]
    if changed:
        say(f"  the test set has changed: {len(changed)} stored answers (first '{changed[0]}') are to earlier versions")
    if foreign:
        say(f"  {len(foreign)} stored answers (first '{foreign[0]}') are to examples that this test set does not have")


def _score(job: Job, room: Domain, examples: list[Example], scores: Evaluations, limit: int | None) -> Scored:
    stored = job.store.read()
    asked = [example for example in examples if example["id"] not in job.unanswered]
    rows = [stored[example_sha256(example)] for example in asked]
    _refuse_the_base(job, room, stored, scores)
    with progress(f"check {job.model.label}", len(rows)) as advance:
        verdicts = []
        for row, example in zip(rows, asked, strict=True):
            verdicts.append(room.check(row.text, example))
            advance(1)
    evaluation = scores.write(
        job.run,
        job.model,
        examples,
        verdicts,
        engine_sha256=rows[-1].engine_sha256,
        limit=limit,
        unanswered=job.unanswered,
        contamination=job.contamination,
    )
    for note in caveats(evaluation):
        say(f"  {note}")
    for id, why in job.unanswered.items():
        say(f"    {id}: {why}")
    return Scored(evaluation, scores.answers(evaluation, examples))


def _refuse_the_base(job: Job, room: Domain, stored: dict[str, Prediction], scores: Evaluations) -> None:
    """The canary: an adapter or export that says what its base says, everywhere, was not the one that ran."""
    base = _base_of(job.ref)
    if base is None:
        return
    sha256 = model_sha256(base)
    for engine in RUNTIMES:
        answers = PredictionStore(scores.results, run_of(base, sha256, room, engine, job.run.sampling)).read()
        common = [sha for sha in stored if sha in answers]
        if len(common) < CANARY_MINIMUM or any(stored[sha].text != answers[sha].text for sha in common):
            continue
        scores.forget(job.run)
        raise CheckFailed(
            f"this eval ran the base: all {len(common)} answers of {job.model.label} are those of {base.text}, "
            "so the adapter was not applied, or is not in the export",
            mend=f"truemark verify {job.ref.text}" if job.model.kind != "adapter" else "train it again",
        )


def _baseline(scored: list[Scored], wanted: str, jobs: list[Job]) -> Scored:
    label = next((job.model.label for job in jobs if job.ref.text == wanted), wanted)
    if any(one.evaluation.model.label == label for one in scored):
        return find_baseline(scored, label)
    other = find_baseline(scored, None)
    say(f"the baseline {wanted} has no scores: compared with {other.evaluation.model.label} instead")
    return other


def _failed(outcome: Outcome, ref: str, error: TruemarkError) -> None:
    outcome.failures[ref] = error
    say(f"{ref}: {error}")
