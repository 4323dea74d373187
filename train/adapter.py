"""From a recipe to a published adapter artifact: find or continue the run, train, write everything beside the weights."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import domains
from domains.base import Domain
from train import dev, distributed, engines, estimate, failures, methods, tracking
from train.checkpoints import last_checkpoint, sweep
from train.curves import plot
from train.methods import Job, Trained
from truemark import artifacts, canary, models
from truemark.artifacts import Artifact, Draft, Parent, Probe
from truemark.console import duration, say
from truemark.errors import InvalidArtifact, InvalidConfig, ModelNotFound, TruemarkError
from truemark.files import read_jsonl, sha256_file, sha256_json, storage_errors, write_json
from truemark.recipe import Recipe, names, oddities

LOGGED = (
    *("step", "loss", "learning_rate", "grad_norm", "dev_score"),
    *("margin", "accuracy"),  # of preferences
    *("reward", "reward_std", "no_signal", "length", "cut", "kl", "entropy"),  # of sampled answers
)
"""What training.json tells of a step, beside `loss_TERM`."""


def train_adapter(
    recipe: Recipe, data: Path | None, out: Path, *, resume: bool = False, force: bool = False
) -> Artifact:
    """Train and publish `out`; return it at once when the same recipe, data and base have made it before.

    An interrupted run continues from its last checkpoint (`resume` insists that there is one). Raises InvalidData, InvalidConfig,
    ModelNotFound or StorageError before any work where they can be known.
    """
    domain = domains.get(recipe.domain)
    file = methods.data_name(recipe)
    distributed.rows_each(recipe)
    base = models.resolve(recipe.base)
    models.require_weights(base)
    start = _start(recipe, base)
    engines.require(recipe)
    if recipe.base != models.NONE:
        for line in oddities(recipe, json.loads((base.local_path() / "config.json").read_text(encoding="utf-8"))):
            say(f"warning: {line}")
    data = methods.data_file(recipe, data)
    data_sha = sha256_file(data)
    fingerprint = {
        "recipe": recipe.model_dump(),
        "data": data_sha,
        "base": base.weights_sha256(),
        "start": start.weights_sha256() if start else None,
        "prompt": domain.SYSTEM_PROMPT,
    }
    if not force and (done := _already(out, fingerprint)):
        say(f"{out} is {done.id}, made from the same recipe, data and base (--force trains it again)")
        return done
    work = out.parent / ".work" / out.name
    distributed.join()
    if distributed.main():
        _open_work(work, fingerprint, resume=resume, force=force)
    distributed.wait()
    rows = read_jsonl(data)
    if not rows:
        raise TruemarkError(f"{data} has no examples", mend=methods.command_for(file, recipe.domain))
    trained, seconds = _run(recipe, domain, base, start, rows, data, work, out)
    if not distributed.main():
        trained.save(out)  # gives its part of the weights; writes nothing
        distributed.wait()
        return artifacts.open_artifact(out)
    with artifacts.create(
        out,
        kind=trained.kind,
        name=recipe.name,
        domain=recipe.domain,
        format=trained.format,
        base=models.describe_base(base),
    ) as draft:
        trained.save(draft.path)
        _describe(draft.path, recipe, trained, seconds)
        draft.manifest.recipe = {**fingerprint["recipe"], "fingerprint": sha256_json(fingerprint)}  # type: ignore[dict-item]
        draft.manifest.data_sha256 = data_sha
        if start and start.artifact:
            draft.manifest.parents = [
                Parent(
                    name=start.artifact.manifest.name,
                    sha256=start.artifact.sha,
                    path=str(start.artifact.path.absolute()),
                )
            ]
        found = {(row.get("meta") or {}).get("level") for row in rows}
        draft.manifest.levels = [level for level in domain.LEVELS if level in found]
        draft.manifest.seed = recipe.seed
        draft.manifest.canary = _canary(draft, domain)
    shutil.rmtree(work, ignore_errors=True)
    distributed.wait()
    return artifacts.open_artifact(out)


def _start(recipe: Recipe, base: models.ModelRef) -> models.ModelRef | None:
    if recipe.start is None:
        return None
    try:
        start = models.resolve(recipe.start)
    except ModelNotFound as error:
        name = Path(recipe.start).name
        if name not in names():
            raise
        raise ModelNotFound(
            f"recipe {recipe.name} goes on from the adapter {recipe.start}, which is not there (looked at {Path(recipe.start).absolute()})",
            mend=f"truemark train {name}, then this again; or --from REF for another adapter",
        ) from error
    if start.kind != "adapter":
        raise InvalidConfig(f"start: expected an adapter, found {start.kind} at {recipe.start}")
    if start.artifact is not None and start.artifact.manifest.base.sha256 != base.weights_sha256():
        raise InvalidConfig(
            f"start: {start.label} stands on {start.artifact.manifest.base.ref}, the recipe on {recipe.base}"
        )
    return start


def _already(out: Path, fingerprint: dict[str, Any]) -> Artifact | None:
    if not artifacts.is_artifact(out):
        return None
    with contextlib.suppress(InvalidArtifact):  # a broken one is made again
        artifact = artifacts.open_artifact(out)
        if artifact.manifest.recipe.get("fingerprint") == sha256_json(fingerprint):
            return artifact
    return None


def _open_work(work: Path, fingerprint: dict[str, Any], *, resume: bool, force: bool) -> None:
    """Make the work directory, or take up the one an interrupted run of the same recipe, data and base has left."""
    note = work / "run.json"
    same = False
    with contextlib.suppress(OSError, ValueError):
        same = json.loads(note.read_text()) == json.loads(json.dumps(fingerprint))
    if force or not same:
        shutil.rmtree(work, ignore_errors=True)
    sweep(work)
    (work / estimate.FILE).unlink(missing_ok=True)  # an earlier session's
    found = last_checkpoint(work)
    begun = found or any(path != note for path in work.glob("*"))  # samples and a teacher's answers count too
    if resume and not begun:
        raise TruemarkError(
            f"nothing to resume: no checkpoint of this recipe and data in {work}", mend="run it without --resume"
        )
    if found:
        say(f"continuing from {found}")
    with storage_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    write_json(note, fingerprint)


def _run(
    recipe: Recipe,
    domain: Domain,
    base: models.ModelRef,
    start: models.ModelRef | None,
    rows: list[Any],
    data: Path,
    work: Path,
    out: Path,
) -> tuple[Trained, float]:
    engines.first(recipe)
    _hush()
    tracking.prepare(recipe, out, work)
    began = time.monotonic()
    with storage_errors(work), failures.explained(recipe, work):
        trained = methods.get(recipe.method).train(
            Job(recipe, domain, base, rows, dev.read(data, recipe.domain), work, start)
        )
    seconds = time.monotonic() - began
    words = [f"{len(trained.log)} steps in {duration(seconds)}"]
    if tokens := trained.report.get("tokens"):
        words.append(f"{trained.report['examples']} examples, {tokens} tokens, {tokens / seconds:.0f} tokens/s")
    if trained.log:
        words.append(f"last loss {trained.log[-1]['loss']:.3f}")
    say(", ".join(words))
    told, values = estimate.outcome(work)
    if told:
        say(told)
        trained.report["estimate"] = values
    return trained, seconds


def _describe(path: Path, recipe: Recipe, trained: Trained, seconds: float) -> None:
    log = [{key: entry[key] for key in entry if key in LOGGED or key.startswith("loss_")} for entry in trained.log]
    write_json(
        path / "training.json",
        {"recipe": recipe.model_dump(), **trained.report, "seconds": round(seconds, 1), "log": log},
    )
    if log:
        plot(log, path / "loss.png", title=recipe.name)


def _canary(draft: Draft, domain: Domain) -> list[Probe]:
    """What the adapter says to the domain's own examples. None from several processes: the weights may not fit into one."""
    if draft.manifest.kind != "adapter" or distributed.processes() > 1:
        return []
    ref = models.of_artifact(Artifact(draft.path, draft.manifest))
    try:
        return canary.record(ref, [domain.messages(question) for question in domain.CARD.examples])
    except Exception as error:  # noqa: BLE001 - what was trained must not be lost for want of memory, or of a package, to ask it
        say(f"no canary in the manifest: the adapter could not be asked ({type(error).__name__}: {error})")
        return []


def _hush() -> None:
    """Our progress line replaces the libraries' bars; their warnings about choices made here on purpose are not for a user."""
    import datasets
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
