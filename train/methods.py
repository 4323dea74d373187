"""Training methods: one file each, found by name, and the two shapes that they all take and give.

A method is a module with `Options` (a pydantic model: the recipe's `options`), `DATA` (the file of data/DOMAIN/ that it reads) and
`train(job) -> Trained`. A further one is a copied file and one row here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from domains.base import Domain
from truemark.errors import InvalidConfig, UnknownName
from truemark.models import ModelRef
from truemark.recipe import Recipe, in_words

METHODS = {
    "sft": "train.sft",
    "dpo": "train.dpo",
    "grpo": "train.grpo",
    "rft": "train.rft",
    "distill": "train.distill",
}
"""Name → module, read lazily."""


class Options(BaseModel):
    """A method's own settings. Subclassed in each method's file; this one is a method without any."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


def read_options(recipe: Recipe, kind: type[Any]) -> Any:
    """The recipe's `options` as a method's model. Raises InvalidConfig with all errors at once."""
    try:
        return kind.model_validate(recipe.options)
    except ValidationError as error:
        lines = in_words(error, kind)
        raise InvalidConfig(
            f"recipe {recipe.name}: {error.error_count()} errors in `options` of method {recipe.method}:\n{lines}"
        ) from None
