"""A recipe is one YAML file: what to train, on what, and how. The files of `train/recipes/` are known by name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from truemark.errors import InvalidConfig, UnknownName

RECIPES = Path(__file__).parent / "recipes"


class Recipe(BaseModel):
    """All that decides the weights of an adapter, beside its data and its base."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Name of the adapter: it is written to runs/NAME."""
    domain: str
    """A row of `domains.DOMAINS`: its system prompt goes into the template, its data is trained on."""
    base: str
    """Model reference of the base."""
    rank: int = Field(8, ge=1, le=512)
    """LoRA rank r (https://arxiv.org/abs/2106.09685)."""
    alpha: int = Field(16, ge=1)
    """LoRA scaling: the update is multiplied by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """LoRA dropout."""
    target_modules: str | list[str] = "all-linear"
    """Layers that get an adapter: PEFT's `all-linear`, or module names."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak of the schedule: linear warm-up, then cosine to a twentieth of it."""
    batch_size: int = Field(16, ge=1)
    """Examples a step."""
    steps: int = Field(60, ge=1)
    """Optimizer steps; examples are repeated, reshuffled, when they run out."""
    warmup_steps: int = Field(8, ge=0)
    save_every: int = Field(20, ge=1)
    """Steps between checkpoints: what an interruption can cost."""
    seed: int = 7


def names() -> list[str]:
    """The shipped recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load(text: str) -> Recipe:
    """A recipe by path, by name, or by domain (its `-smollm2` recipe).

    Raises UnknownName with the list, InvalidConfig with all errors of the file at once.
    """
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise InvalidConfig(f"no recipe file at {path.absolute()}", mend=f"choose one of: {', '.join(names())}")
        return read(path)
    for name in (text, f"{text}-smollm2"):
        if name in names():
            return read(RECIPES / f"{name}.yaml")
    domains = [name.removesuffix("-smollm2") for name in names() if name.endswith("-smollm2")]
    raise UnknownName("recipe", text, [*names(), *domains])


def read(path: Path) -> Recipe:
    """Parse one YAML file. Raises InvalidConfig."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidConfig(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InvalidConfig(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc']))}: {_in_words(item)}" for item in error.errors()]  # type: ignore[arg-type]
        raise InvalidConfig(f"{path} has {len(lines)} errors:\n" + "\n".join(lines)) from None


def _in_words(item: dict[str, Any]) -> str:
    if item["type"] != "extra_forbidden":
        return f"{item['msg']}, found {item['input']!r}"
    close = difflib.get_close_matches(str(item["loc"][-1]), Recipe.model_fields, n=1, cutoff=0.5)
    return "unknown key" + (
        f", did you mean `{close[0]}`?" if close else f"; known are {', '.join(Recipe.model_fields)}"
    )
