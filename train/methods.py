"""Training methods: one file each, found by name, and the two shapes that they all take and give.

A method is a module with `Options` (a pydantic model: the recipe's `options`), `DATA` (the file of data/DOMAIN/ that it reads, or a function
from its options to that) and
`train(job) -> Trained`. A further one is a copied file and one row here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from domains.base import Domain
from truemark.errors import InvalidConfig, TruemarkError, UnknownName
from truemark.models import ModelRef
from truemark.recipe import Recipe, Settings, in_words

METHODS = {
    "sft": "train.sft",
    "composite": "train.composite",
    "scratch": "train.scratch",
    "gnn": "train.gnn",
    "reward": "train.reward",
    "dpo": "train.dpo",
    "grpo": "train.grpo",
    "rft": "train.rft",
    "distill": "train.distill",
}
"""Name → module, read lazily."""


class Options(Settings):
    """A method's own settings. Subclassed in each method's file; this one is a method without any."""


@dataclass(frozen=True)
class Job:
    """What a method is given."""

    recipe: Recipe
    domain: Domain
    base: ModelRef
    rows: list[dict[str, Any]]
    """The training file's, as they lie in it; never empty."""
    dev: list[Any]
    """Examples of data/DOMAIN/dev.jsonl; empty where it is not there."""
    work: Path
    """For checkpoints and whatever must outlive a kill; removed when the artifact is published."""
    start: ModelRef | None = None
    """The adapter to go on from."""

    def options(self, kind: type[Any]) -> Any:
        """The recipe's `options` as the method's model. Raises InvalidConfig with all errors at once."""
        return read_options(self.recipe, kind)


@dataclass(frozen=True)
class Trained:
    """What a method gives back."""

    save: Callable[[Path], None]
    """Writes weights, tokenizer and configuration into a directory: safetensors and JSON only."""
    log: list[dict[str, float]]
    """One entry a step: `step`, `loss`, and where they are known `learning_rate`, `grad_norm`, `dev_score`."""
    report: dict[str, Any] = field(default_factory=dict)
    """What training.json tells beside the recipe and the log: `examples`, `tokens`, `loss_tokens`, …"""
    kind: Literal["adapter", "scorer", "model"] = "adapter"
    """`scorer` judges text and writes none; `model` stands on no base."""
    format: str = "peft"


def get(name: str) -> Any:
    """The method's module. Raises UnknownName with the nearest name."""
    if name not in METHODS:
        raise UnknownName("training method", name, METHODS)
    return import_module(METHODS[name])


def data_name(recipe: Recipe) -> str:
    """The file of data/DOMAIN/ that a recipe's method reads. Raises UnknownName, or InvalidConfig with all errors of `options`."""
    method = get(recipe.method)
    options = read_options(recipe, method.Options)
    file: str = method.DATA(options) if callable(method.DATA) else method.DATA
    return file


def read_options(recipe: Recipe, kind: type[Any]) -> Any:
    """The recipe's `options` as a method's model. Raises InvalidConfig with all errors at once."""
    try:
        return kind.model_validate(recipe.options)
    except ValidationError as error:
        lines = in_words(error, kind)
        raise InvalidConfig(
            f"recipe {recipe.name}: {error.error_count()} errors in `options` of method {recipe.method}:\n{lines}"
        ) from None


def data_file(recipe: Recipe, given: Path | None) -> Path:
    """The training file: `given`, or the method's own in the directory `given` or data/DOMAIN/. Raises TruemarkError where it is not there."""
    file = data_name(recipe)
    path = given or Path("data") / recipe.domain
    path = path / file if path.is_dir() or not given else path
    if not path.is_file():
        raise TruemarkError(f"no training data at {path}", mend=command_for(file, recipe.domain))
    return path


def command_for(file: str, domain: str) -> str:
    """The command that makes a file of data/DOMAIN/."""
    if file == "pairs.jsonl":
        samples = f"data/{domain}.train.samples.jsonl"
        return f"truemark data sample {domain} --model REF, then truemark data pairs {domain} --from {samples}"
    return f"truemark data build {domain}"
