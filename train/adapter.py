"""From a recipe to a published adapter artifact: find or continue the run, train, write everything beside the weights."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import domains
from train.curves import plot
from train.data import in_training_order, tokenize
from truemark import artifacts, models
from truemark.artifacts import Artifact
from truemark.console import duration, progress, say
from truemark.errors import InvalidArtifact, TruemarkError
from truemark.files import read_jsonl, sha256_file, sha256_json, storage_errors, write_json
from truemark.recipe import Recipe


def train_adapter(recipe: Recipe, data: Path, out: Path, *, resume: bool = False, force: bool = False) -> Artifact:
    """Train and publish `out`; return it at once when the same recipe, data and base have made it before.

    An interrupted run continues from its last checkpoint (`resume` insists that there is one). Raises InvalidData, InvalidConfig,
    ModelNotFound or StorageError before any work where they can be known.
    """
    domain = domains.get(recipe.domain)
    base = models.resolve(recipe.base)
    if not data.is_file():
        raise TruemarkError(f"no training data at {data}", mend=f"truemark data build {recipe.domain}")
    data_sha = sha256_file(data)
    fingerprint = {
        "recipe": recipe.model_dump(),
        "data": data_sha,
        "base": base.weights_sha256(),
        "prompt": domain.SYSTEM_PROMPT,
    }
    if not force and (done := _already(out, fingerprint)):
        say(f"{out} is {done.id}, made from the same recipe, data and base (--force trains it again)")
        return done
    work = out.parent / ".work" / out.name
    _open_work(work, fingerprint, resume=resume, force=force)
    rows = read_jsonl(data)
    if not rows:
        raise TruemarkError(f"{data} has no examples", mend=f"truemark data build {recipe.domain}")
    model, tokenizer, report = _run(recipe, base, rows, domain.SYSTEM_PROMPT, work)
    with artifacts.create(
        out, kind="adapter", name=recipe.name, domain=recipe.domain, format="peft", base=models.describe_base(base)
    ) as draft:
        _write(draft.path, model, tokenizer, recipe, report)
        draft.manifest.recipe = {**fingerprint["recipe"], "fingerprint": sha256_json(fingerprint)}  # type: ignore[dict-item]
        draft.manifest.data_sha256 = data_sha
        found = {row.get("meta", {}).get("level") for row in rows}
        draft.manifest.levels = [level for level in domain.LEVELS if level in found]
        draft.manifest.seed = recipe.seed
    shutil.rmtree(work, ignore_errors=True)
    return artifacts.open_artifact(out)


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
    from train.sft import last_checkpoint

    note = work / "run.json"
    same = False
    with contextlib.suppress(OSError, ValueError):
        same = json.loads(note.read_text()) == json.loads(json.dumps(fingerprint))
    if force or not same:
        shutil.rmtree(work, ignore_errors=True)
    found = last_checkpoint(work)
    if resume and not found:
        raise TruemarkError(
            f"nothing to resume: no checkpoint of this recipe and data in {work}", mend="run it without --resume"
        )
    if found:
        say(f"continuing from {found}")
    with storage_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    write_json(note, fingerprint)


def _run(
    recipe: Recipe, base: models.ModelRef, rows: list[dict[str, Any]], prompt: str, work: Path
) -> tuple[Any, Any, dict[str, Any]]:
    from train import sft

    _hush()
    tokenizer = sft.load_tokenizer(base, prompt)
    ordered = in_training_order(tokenize(rows, tokenizer), recipe.batch_size, recipe.steps, recipe.seed)
    lengths = [len(example.ids) for example in ordered]
    began = time.monotonic()
    with progress(f"train {recipe.name}", total=recipe.steps) as advance, storage_errors(work):
        reached = 0

        def on_step(step: int, loss: float) -> None:
            nonlocal reached
            advance(step - reached, f"loss {loss:.3f}")
            reached = step

        model, log = sft.train(recipe, base, ordered, tokenizer, work, on_step)
    seconds = time.monotonic() - began
    say(
        f"{len(ordered)} examples, {sum(lengths)} tokens in {duration(seconds)}: {sum(lengths) / seconds:.0f} tokens/s, "
        f"last loss {log[-1]['loss']:.3f}"
    )
    keys = ("step", "loss", "learning_rate", "grad_norm")
    return (
        model,
        tokenizer,
        {
            "recipe": recipe.model_dump(),
            "examples": len(ordered),
            "tokens": sum(lengths),
            "seconds": round(seconds, 1),
            "log": [{key: entry[key] for key in keys if key in entry} for entry in log],
        },
    )


def _write(path: Path, model: Any, tokenizer: Any, recipe: Recipe, report: dict[str, Any]) -> None:
    model.peft_config["default"].base_model_name_or_path = recipe.base  # the reference, not a path of this machine
    # `auto` would look the base up on the Hub; its embeddings are not trained here
    model.save_pretrained(path, safe_serialization=True, save_embedding_layers=False)
    tokenizer.save_pretrained(path)
    (path / "README.md").write_text(
        f"# {recipe.name}\n\nA LoRA adapter (rank {recipe.rank}) for `{recipe.base}`, domain `{recipe.domain}`, made by "
        "Truemark. `truemark.json` says from what, `training.json` how.\n",
        encoding="utf-8",
    )
    write_json(path / "training.json", report)
    plot(report["log"], path / "loss.png", title=recipe.name)


def _hush() -> None:
    """Our progress line replaces the libraries' bars; their warnings about choices made here on purpose are not for a user."""
    import datasets
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
