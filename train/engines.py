"""Which program trains a recipe: transformers with PEFT, Unsloth on CUDA, or MLX (train/mlx.py).

Unsloth's path was written against its source (unsloth/models/loader.py and llama.py, 2026) and has not been run by us: it needs CUDA. What it was not
read to do right is refused here, and `auto` then takes transformers.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from truemark import compute
from truemark.errors import InvalidConfig, MissingDependency
from truemark.models import ModelRef
from truemark.recipe import Recipe

if TYPE_CHECKING:
    import torch


def unsloth(recipe: Recipe) -> bool:
    """Whether Unsloth loads the model. Raises MissingDependency or InvalidConfig where the recipe insists on it and it cannot."""
    return why_not_unsloth(recipe) is None


def why_not_unsloth(recipe: Recipe) -> str | None:
    """The reason in words, or None where it is Unsloth that trains. Raises as `unsloth` does."""
    if recipe.run.engine not in ("auto", "unsloth"):
        return "another engine is asked for"
    installed = importlib.util.find_spec("unsloth") is not None
    lacks = _not_with_unsloth(recipe)
    if recipe.run.engine == "unsloth":
        if lacks:
            raise InvalidConfig(f"run.engine: unsloth does not go with {lacks}", mend="--set run.engine=transformers")
        if not installed:
            raise MissingDependency(
                "run.engine: unsloth is not installed", mend="pip install unsloth, or --set run.engine=auto"
            )
        if compute.device() != "cuda":
            raise InvalidConfig(
                f"run.engine: unsloth needs a CUDA device, found {compute.device()}", mend="--set run.engine=auto"
            )
        return None
    if lacks:
        return f"Unsloth does not go with {lacks}"
    if compute.device() != "cuda":
        return "Unsloth needs CUDA"
    return None if installed else "Unsloth is not installed"


def _not_with_unsloth(recipe: Recipe) -> str:
    """What of the recipe Unsloth lacks, or is not known to compute as transformers does; empty when nothing."""
    more = sorted(set(recipe.lora.model_extra or {}) - {"use_rslora"})
    asked = {
        f"method {recipe.method}": recipe.method != "sft",
        "start (an adapter to go on from)": recipe.start is not None,
        "data.packing": recipe.data.packing,
        "data.special_tokens": bool(recipe.data.special_tokens),
        "optim.neftune": recipe.optim.neftune is not None,
        "run.quantize 8bit": recipe.run.quantize == "8bit",
        "run.keep best": recipe.run.keep == "best",
        f"lora.{', lora.'.join(more)}": bool(more),
    }
    return ", ".join(what for what, wanted in asked.items() if wanted)


def require(recipe: Recipe) -> None:
    """Raise MissingDependency or InvalidConfig where the recipe asks for a library that is not here, before any work."""
    unsloth(recipe)
    if recipe.run.quantize != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise MissingDependency.extra("bitsandbytes", "bnb")
    if recipe.run.engine == "mlx" and importlib.util.find_spec("mlx_lm") is None:
        raise MissingDependency.extra("mlx_lm", "mlx")


def first(recipe: Recipe) -> None:
    """Import Unsloth before transformers and TRL, which it patches; nothing where it does not train."""
    if unsloth(recipe):
        import unsloth as _  # noqa: F401


def load_with_unsloth(recipe: Recipe, base: ModelRef, dtype: torch.dtype) -> Any:
    """The PEFT model, its adapter trainable, with Unsloth's kernels."""
    from transformers import AutoConfig
    from unsloth import FastLanguageModel

    path = base.local_path()
    layers = AutoConfig.from_pretrained(path, trust_remote_code=False).get_text_config().num_hidden_layers
    config = recipe.lora_config(layers)
    targets = config["target_modules"]
    network, _ = FastLanguageModel.from_pretrained(
        model_name=str(path),
        max_seq_length=recipe.data.max_length or 4096,
        dtype=dtype,
        load_in_4bit=recipe.run.quantize == "4bit",
        random_state=recipe.seed,
        local_files_only=True,
    )
    return FastLanguageModel.get_peft_model(
        network,
        r=config["r"],
        lora_alpha=config["lora_alpha"],
        lora_dropout=config["lora_dropout"],
        target_modules=[f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")] if targets == "all-linear" else targets,
        layers_to_transform=config.get("layers_to_transform"),
        use_rslora=config.get("use_rslora", False),
        bias="none",
        use_gradient_checkpointing="unsloth" if recipe.run.gradient_checkpointing else False,
        random_state=recipe.seed,
    )  # fmt: skip


def unsloth_loss(model: Any, batch: dict[str, Any], items: Any = None) -> Any:
    """Unsloth's own cross entropy, which never holds all logits: its forward pass is not to be taken apart as `loss.completion_loss` does."""
    wanted = (batch["labels"][:, 1:] != -100).sum() if items is None else items
    return model(input_ids=batch["input_ids"], labels=batch["labels"], num_items_in_batch=wanted).loss
