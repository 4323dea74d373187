"""Evaluate models on a domain's test set: answer what is missing, make sure who answered, check, compare.

Models are opened one after another, as two of them rarely fit in memory; one that fails does not lose the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import domains
from domains.base import Domain, Example
from domains.examples import read_examples
from evalsuite import canary, sets
from evalsuite.also import SetTable, table
from evalsuite.comparison import Row, Scored, compare, find_baseline
from evalsuite.contaminated import Contamination, TrainingData
from evalsuite.data import example_sha256, examples_sha256, sample
from evalsuite.evaluations import Evaluations, Model, caveats
from evalsuite.executor import Executor, RayHttpRuntime
from evalsuite.generation import Part, generate
from evalsuite.predictions import Prediction, Run
from evalsuite.scoring import verdicts
from evalsuite.sets import ExampleSet
from truemark.console import progress, say
from truemark.errors import CheckFailed, TruemarkError, UnknownName
from truemark.files import sha256_file, sha256_json
from truemark.models import ModelRef, resolve
from truemark.runtimes import DEFAULT, RUNTIMES, open_runtime
from truemark.runtimes.base import Sampling
from truemark.runtimes.retries import Budget
from truemark.runtimes.rule import TRAINED
from truemark.settings import endpoint_url

_MODEL_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt"}


@dataclass(frozen=True)
class Job:
    """One model to evaluate."""

    ref: ModelRef
    model: Model
    run: Run
    """On the test set."""
    parts: list[Part]
    """What is asked of it, the test set first; of a base that a further set alone asks for, without that."""
    options: dict[str, Any]
    """What its runtime is opened with."""
    contamination: Contamination
    finished: list[Part] = field(default_factory=list)
    """Of the parts, those that are answered to their end."""


@dataclass(frozen=True)
class Asking:
    """How models are asked."""

    concurrency: int = 8
    """Questions to an endpoint at a time."""
    budget: Budget = field(default_factory=Budget)
    """What all endpoints of the command may cost together."""
    allow_contaminated: bool = False
    """Score, and mark, a model that was trained on test examples."""
    executor: Executor = "local"
    """Where endpoints are asked from and answers are checked."""


@dataclass
class Outcome:
    """What an evaluation came to."""

    rows: list[Row] = field(default_factory=list)
    failures: dict[str, TruemarkError] = field(default_factory=dict)
    """By reference: why a model has no row."""
    tables: list[SetTable] = field(default_factory=list)
    """Of the further sets."""

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
    also: Sequence[str] = (),
) -> Outcome:
    """Evaluate `refs` on `data` and compare them with `baseline` (default: the first); and on the further sets `also`.

    Raises UnknownName for a domain, runtime or set, InvalidData for the test set. What goes wrong with one model is in
    `Outcome.failures`.
    """
    room = domains.get(domain)
    if runtime is not None and runtime not in RUNTIMES:
        raise UnknownName("runtime", runtime, RUNTIMES)
    further = [sets.get(name, domain) for name in also]
    everything = read_examples(data, domain)
    examples = sample(everything, limit)
    wanted = list(dict.fromkeys([*([baseline] if baseline else []), *refs]))
    outcome = Outcome()
    asking = asking or Asking()
    prepare = partial(
        _prepare, room=room, sampling=sampling, runtime=runtime, asking=asking, training=TrainingData(data, domain)
    )
    jobs: list[Job] = []
    for text in wanted:
        try:
            job = prepare(text, examples=examples)
            if _is_new(jobs, job):
                jobs.append(replace(job, parts=[Part.of(results, job.run, examples, everything)]))
        except TruemarkError as error:
            _failed(outcome, text, error)
    for one in further:
        _ask_further(one, one.examples(examples), jobs, results, prepare)
    for number, job in enumerate(jobs, 1):
        say(f"[{number}/{len(jobs)}] {job.model.label} ({job.run.engine})")
        try:
            _generate(job, results, asking.executor)
        except TruemarkError as error:
            _failed(outcome, job.ref.text, error)
    scored = _score_all(jobs, results, limit if len(examples) < len(everything) else None, asking.executor, outcome)
    if scored[""]:
        reference = _baseline(scored[""], wanted[0], jobs)
        outcome.rows = compare(scored[""], reference)
        for one in further:
            shas = {each.evaluation.model.sha256 for each in scored[one.name]}
            for sha in {each.evaluation.examples_sha256 for each in scored[one.name]}:
                evaluations = Evaluations(results, domain, sha, one.name)
                outcome.tables += table(evaluations, shas, reference.evaluation.model.label)
    return outcome


def _score_all(
    jobs: Sequence[Job], results: Path, limit: int | None, executor: Executor, outcome: Outcome
) -> dict[str, list[Scored]]:
    """By set (the test set: empty), what was answered to its end; a model without an answer to the rest keeps these."""
    found: dict[str, list[Scored]] = defaultdict(list)
    for job in jobs:
        try:
            for part in job.finished:
                one = _score(job, part, results, None if part.run.also else limit, executor)
                found[part.run.also].append(one)
        except TruemarkError as error:
            _failed(outcome, job.ref.text, error)
    return found


def _prepare(
    text: str,
    room: Domain,
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
    return Job(ref, model, run, [], options, contamination)


def _ask_further(
    one: ExampleSet, examples: list[Example], jobs: list[Job], results: Path, prepare: Callable[..., Job]
) -> None:
    """Add a further set to what models are asked; for one that is compared with the base, to that of their bases too, which may be new jobs."""
    wanted = [job for job in jobs if job.parts and not job.parts[0].run.also]
    asked = wanted
    if one.against_base:
        asked = []
        for job in wanted:
            base = _base_of(job.ref)
            if base is None:
                say(f"{job.model.label} has no base here: nothing to say of its {one.name}")
                continue
            own = prepare(base.text, examples=[])
            if _is_new(jobs, own, quiet=True):
                jobs.append(own)
            asked += [other for other in jobs if other is job or other.run.sha256 == own.run.sha256]
    for job in {id(job): job for job in asked}.values():
        run = replace(job.run, also=one.name, system="" if one.own_prompts else job.run.system)
        job.parts.extend(
            Part.of(results, replace(run, sampling=sampling), examples) for sampling in one.samplings(run.sampling)
        )


def model_of(ref: ModelRef, sha256: str | None = None) -> Model:
    """What the scores say of a model; `sha256` where more than its own files shapes its answers."""
    base = _base_of(ref)
    return Model.of(ref, sha256 or model_sha256(ref), model_sha256(base) if base else None)


def _is_new(jobs: list[Job], job: Job, *, quiet: bool = False) -> bool:
    same = next((other for other in jobs if other.run.sha256 == job.run.sha256), None)
    if same is not None and not quiet:
        say(f"{job.ref.text} is the same model as {same.ref.text}: evaluated once")
    return same is None


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


def _generate(job: Job, results: Path, executor: Executor) -> None:
    """Answer what has no answer yet, the canary first. Raises EngineError when the engine does, CheckFailed for another model."""

    def done(part: Part) -> None:
        if part.run.also == canary.NAME:
            canary.refuse_another(job.ref, part)
        else:
            job.finished.append(part)

    opened = RayHttpRuntime.of if executor == "ray" and job.run.engine == "http" else open_runtime
    probes = canary.part_of(results, job.ref, job.run)
    canary.say_absent(job.ref)
    generate(job.ref, [*([probes] if probes else []), *job.parts], results, job.options, opened=opened, done=done)


def _score(job: Job, part: Part, results: Path, limit: int | None, executor: Executor) -> Scored:
    """Check one part's answers and keep the verdicts. Raises CheckFailed where the base answered."""
    stored = part.store.read()
    rows = [stored[example_sha256(example)] for example in part.asked]
    scores = Evaluations(results, part.run.domain, examples_sha256(part.examples), part.run.also)
    if not part.run.also:
        _refuse_the_base(job, part, stored, scores)
    with progress(f"check {job.model.label}", len(rows)) as advance:
        found = []
        answers = ((row.text, example) for row, example in zip(rows, part.asked, strict=True))
        for verdict in verdicts(part.run.domain, part.run.also, answers, executor=executor):
            found.append(verdict)
            advance(1)
    evaluation = scores.write(
        part.run,
        job.model,
        part.examples,
        found,
        engine_sha256=rows[-1].engine_sha256,
        limit=limit,
        unanswered=part.unanswered,
        contamination=job.contamination,
        canary=canary.state_of(job.ref),
    )
    if not part.run.also:
        for note in caveats(evaluation):
            say(f"  {note}")
        for id, why in part.unanswered.items():
            say(f"    {id}: {why}")
    return Scored(evaluation, scores.answers(evaluation, part.examples))


def _refuse_the_base(job: Job, part: Part, stored: dict[str, Prediction], scores: Evaluations) -> None:
    base = _base_of(job.ref)
    if base is None:
        return
    sha256, room = model_sha256(base), domains.get(part.run.domain)
    runs = [run_of(base, sha256, room, engine, part.run.sampling) for engine in RUNTIMES]
    try:
        canary.refuse_the_base(scores.results, job.ref, stored, base, runs)
    except CheckFailed:
        scores.forget(part.run)
        raise


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
