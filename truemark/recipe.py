"""A recipe is one YAML file: what to train, on what, and how. The files of `train/recipes/` are known by name."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from truemark.errors import InvalidConfig, UnknownName

RECIPES = Path(__file__).parent.parent / "train" / "recipes"


LORA_OPTIONS = (
    "use_rslora", "use_dora", "modules_to_save", "layers_to_transform", "rank_pattern", "alpha_pattern",
    "trainable_token_indices", "init_lora_weights", "bias",
)  # fmt: skip


class Settings(BaseModel):
    """What a section is made of: unknown keys are errors, and so is a truth value or a quoted number where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _number(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool | str) and {int, float} & {wanted, *get_args(wanted)}:
            raise ValueError("expected a number")
        return value


class Lora(Settings):
    """The adapter: LoRA (https://arxiv.org/abs/2106.09685) as PEFT does it."""

    model_config = ConfigDict(extra="allow")

    rank: int = Field(8, ge=1, le=512)
    """Rank r."""
    alpha: int = Field(16, ge=1, le=65536)
    """Scaling: the update is multiplied by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"
    """Layers that get a pair: PEFT's `all-linear`, or module names."""
    top_layers: int | None = Field(None, ge=1)
    """Only the last so many blocks get one: nothing is propagated back below them. None is all."""

    @model_validator(mode="after")
    def _known(self) -> Lora:
        unknown = sorted(set(self.model_extra or {}) - set(LORA_OPTIONS))
        if unknown:
            raise ValueError(
                f"unknown {', '.join(unknown)}; more arguments of PEFT's LoraConfig are {', '.join(LORA_OPTIONS)}"
            )
        return self


class Optim(Settings):
    """How the weights move: AdamW."""

    learning_rate: float = Field(2e-3, gt=0, le=10)
    """Peak of the schedule."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """After a linear warm-up: cosine to a twentieth of the peak, linear to zero, or level."""
    warmup_steps: int = Field(8, ge=0)
    batch_size: int = Field(16, ge=1, le=65536)
    """Examples a step, over all devices."""
    accumulate: int = Field(1, ge=1)
    """Parts that a batch is computed in: less memory, the same gradient."""
    steps: int = Field(60, ge=1, le=10_000_000)
    """Optimizer steps; examples are repeated, reshuffled, when they run out."""
    epochs: float | None = Field(None, gt=0, le=10_000)
    """Passes over the data, in place of `steps`."""
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    neftune: float | None = Field(None, gt=0)
    """Alpha of the noise on the embeddings (NEFTune, https://arxiv.org/abs/2310.05914)."""

    @model_validator(mode="after")
    def _divides(self) -> Optim:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        return self


class Data(Settings):
    """What of the data is used, and how it is laid out."""

    max_length: int | None = Field(None, ge=16)
    """Longest example in tokens; longer ones are left out and counted, never cut. None is all."""
    packing: bool = False
    """Several examples in one row, each blind to the others."""
    order: Literal["shuffled", "curriculum"] = "shuffled"
    """`curriculum`: the domain's levels from first to last, shuffled within each."""
    special_tokens: list[str] = Field(default_factory=list)
    """Tokens added to the vocabulary; their embeddings are trained."""


class Run(Settings):
    """On what it runs. `auto` is what the machine does best; the choice is printed."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """The frozen base's weights, through bitsandbytes: 4bit is QLoRA (https://arxiv.org/abs/2305.14314)."""
    engine: Literal["auto", "transformers", "unsloth", "mlx"] = "auto"
    """`auto`: Unsloth where it is installed, the device is CUDA and the recipe asks for nothing that it lacks. `mlx`: train/mlx.py, sft alone."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them."""
    save_every: int = Field(20, ge=1)
    """Steps between checkpoints: what an interruption can cost."""
    save: Literal["fp16", "fp32"] = "fp16"
    """Number type of the published LoRA weights; they are trained in fp32 either way."""
    keep: Literal["last", "best"] = "last"
    """`best`: the checkpoint with the best dev score, not the last step's."""
    track: Literal["tensorboard", "trackio", "wandb", "none"] = "tensorboard"
    """Where the curves go beside the artifact's own pictures. `tensorboard` is local: runs/NAME/tensorboard."""


class Recipe(Settings):
    """All that decides the weights of an adapter, beside its data and its base."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Name of the adapter: it is written to runs/NAME."""
    domain: str
    """A row of `domains.DOMAINS`: its system prompt goes into the template, its data is trained on."""
    base: str
    """Model reference of the base."""
    method: str = "sft"
    """A row of `train.methods.METHODS`."""
    start: str | None = None
    """Model reference of an adapter of this base that training goes on from; None starts a new one."""
    seed: int = Field(7, ge=0, lt=2**32)
    lora: Lora = Lora()
    optim: Optim = Optim()
    data: Data = Data()
    run: Run = Run()
    options: dict[str, Any] = Field(default_factory=dict)
    """The method's own settings: the fields of its `Options`."""

    def lora_config(self, layers: int | None = None) -> dict[str, Any]:
        """Arguments of PEFT's LoraConfig, for a base with so many blocks."""
        top = self.lora.top_layers
        if top is not None and layers is not None and top > layers:
            raise InvalidConfig(f"lora.top_layers is {top}, but {self.base} has {layers} layers")
        chosen = {} if top is None or layers is None else {"layers_to_transform": list(range(layers - top, layers))}
        return {
            "r": self.lora.rank,
            "lora_alpha": self.lora.alpha,
            "lora_dropout": self.lora.dropout,
            "target_modules": self.lora.target_modules,
            "task_type": "CAUSAL_LM",
            **chosen,
            **(self.lora.model_extra or {}),
        }


def names() -> list[str]:
    """The shipped recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load(text: str, *, method: str | None = None, preset: str | None = None, changes: Sequence[str] = ()) -> Recipe:
    """A recipe by path, by name, or by domain (its `-smollm2` recipe; with a method its `-smollm2-METHOD` one where that is shipped).

    `preset` is one of the file's `presets`; `changes` are `section.key=value`, values in YAML. Raises UnknownName with the list,
    InvalidConfig with all errors of the file at once.
    """
    path = _find(text, method)
    content = _content(path)
    presets = content.pop("presets", {})
    if not isinstance(presets, dict) or not all(isinstance(values, dict) for values in presets.values()):
        raise InvalidConfig(f"{path}: expected `presets: {{NAME: {{section: …}}}}`")
    if preset is not None:
        if not presets:
            raise InvalidConfig(f"{path.stem} has no presets, so none named '{preset}'", mend="truemark train --list")
        if preset not in presets:
            raise UnknownName("preset", preset, presets)
        content = _merged(content, {"name": f"{content.get('name')}-{preset}", **presets[preset]})
    if method is not None and content.get("method", "sft") != method:
        content = _merged(content, {"name": f"{content.get('name')}-{method}", "method": method})
        content.pop("options", None)  # they were the other method's
    for change in changes:
        content = _merged(content, _change(change))
    return _validated(content, path)


def read(path: Path) -> Recipe:
    """Parse one YAML file. Raises InvalidConfig."""
    return load(str(path))


def presets(path: Path) -> list[str]:
    """Names of a recipe file's presets."""
    return list(_content(path).get("presets") or {})


def about(path: Path) -> str:
    """What a recipe file says of itself: the first line of the comment on top, up to its first full stop."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip().split(". ")[0].rstrip(".") if first.startswith("#") else ""


def listing() -> list[dict[str, Any]]:
    """The shipped recipes: `name`, `domain`, `base`, `method`, `presets`, `about`."""
    rows = []
    for name in names():
        path, recipe = RECIPES / f"{name}.yaml", load(name)
        row = {key: getattr(recipe, key) for key in ("name", "domain", "base", "method")}
        rows.append({**row, "presets": presets(path), "about": about(path)})
    return rows


def oddities(recipe: Recipe, base: dict[str, Any]) -> list[str]:
    """What is allowed and hardly meant, for a base with this `config.json`."""
    found = []
    hidden, context = base.get("hidden_size"), base.get("max_position_embeddings")
    if hidden and recipe.lora.rank > hidden:
        found.append(
            f"lora.rank {recipe.lora.rank} is more than the base's hidden size {hidden}: no longer of low rank"
        )
    if context and (recipe.data.max_length or 0) > context:
        found.append(f"data.max_length {recipe.data.max_length} is more than the {context} tokens that the base reads")
    if recipe.optim.learning_rate > 0.02:
        found.append(
            f"optim.learning_rate {recipe.optim.learning_rate} is far above what LoRA is trained with (1e-5 to 5e-3)"
        )
    if recipe.optim.epochs is None and recipe.optim.warmup_steps >= recipe.optim.steps:
        found.append(
            f"optim.warmup_steps {recipe.optim.warmup_steps} of {recipe.optim.steps} steps: the peak is never reached"
        )
    return found


def _find(text: str, method: str | None) -> Path:
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise InvalidConfig(f"no recipe file at {path.absolute()}", mend=f"choose one of: {', '.join(names())}")
        return path
    for name in (*([f"{text}-{method}", f"{text}-smollm2-{method}"] if method else []), text, f"{text}-smollm2"):
        if name in names():
            return RECIPES / f"{name}.yaml"
    domains = [name.removesuffix("-smollm2") for name in names() if name.endswith("-smollm2")]
    raise UnknownName("recipe", text, [*names(), *domains])


LIMIT = 64 << 10
"""Bytes of a recipe file: the longest shipped has under 2 kB."""


class _Loader(yaml.SafeLoader):
    """YAML's plain values: `2e-4` is a number (YAML 1.2), a key stands once, and there are no aliases (a few lines of them fill a memory)."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, "aliases are not taken: write the values out", event.start_mark
            )
        self.depth += 1
        if self.depth > 32:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1 and isinstance(key.value, str):
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` stands here twice", key.start_mark)
        return dict(super().construct_mapping(node, deep=deep))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # a SafeLoader


def _content(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > LIMIT:
            raise InvalidConfig(f"{path}: expected a recipe of at most {LIMIT >> 10} KiB, found {size >> 10} KiB")
        content = _parse(path.read_text(encoding="utf-8"))
    except (
        OSError,
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: not UTF-8, or a date like 2024-13-45
        raise InvalidConfig(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InvalidConfig(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    return content


def _change(text: str) -> dict[str, Any]:
    """`optim.steps=60` → {"optim": {"steps": 60}}."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InvalidConfig(f"expected section.key=value, found {text!r}", mend="--set optim.steps=60")
    try:
        parsed = _parse(value)
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidConfig(f"--set {key}: {value!r} is not a YAML value: {error}") from None
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def _merged(content: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`content` with the values of `over` in it, section by section."""
    both = {key: (content.get(key), value) for key, value in over.items()}
    inner = {
        key: _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
        for key, (old, new) in both.items()
    }
    return {**content, **inner}


def _validated(content: dict[str, Any], path: Path) -> Recipe:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        count = error.error_count()
        raise InvalidConfig(f"{path} has {count} error{'s'[: count != 1]}:\n" + in_words(error, Recipe)) from None


SHOWN = 50
"""Errors of one file that are written out."""


def in_words(error: ValidationError, model: type[BaseModel]) -> str:
    """A line for each error of a file that `model` describes, the first SHOWN of them."""
    found = error.errors(include_url=False)
    lines = [f"  {'.'.join(map(str, item['loc']))[:200]}: {_in_words(item, model)}" for item in found[:SHOWN]]  # type: ignore[arg-type]
    return "\n".join([*lines, *([f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])])


def _in_words(item: dict[str, Any], model: type[BaseModel]) -> str:
    if item["type"] != "extra_forbidden":
        return f"{item['msg'].removeprefix('Value error, ')}, found {reprlib.repr(item['input'])}"
    known: Any = model
    for part in item["loc"][:-1]:  # the section that the key stands in
        known = known.model_fields[part].annotation
    name = str(item["loc"][-1])
    for section, field in model.model_fields.items():
        if (
            known is model
            and isinstance(field.annotation, type)
            and issubclass(field.annotation, BaseModel)
            and name in field.annotation.model_fields
        ):
            return f"unknown key here; it belongs under `{section}:`"
    close = difflib.get_close_matches(name, known.model_fields, n=1, cutoff=0.5)
    return "unknown key" + (
        f", did you mean `{close[0]}`?" if close else f"; known are {', '.join(known.model_fields)}"
    )
