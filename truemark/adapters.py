"""PEFT adapters in PyTorch: loaded on their base as they were trained, and merged so that nothing is lost on the way.

Three things go wrong silently when they are done by hand, and are handled here: an adapter whose tokenizer grew (the base must be resized
first), a trained head on tied embeddings (merging in place would change the embedding too, and saving would drop the head), and embeddings
that were trained and tied again at load.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truemark.errors import InvalidArtifact
from truemark.lora import WEIGHTS, read_config

if TYPE_CHECKING:
    import torch

_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "lm_head", "embed_out")


def tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The adapter's tensors, one at a time. Raises InvalidArtifact when the file is missing, cut off or not safetensors."""
    from safetensors import SafetensorError, safe_open

    if not (path / WEIGHTS).is_file():
        raise InvalidArtifact(f"{path} has no {WEIGHTS}", mend="train the adapter again")
    try:
        with safe_open(path / WEIGHTS, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                yield name, file.get_tensor(name)
    except SafetensorError as error:
        raise InvalidArtifact(
            f"{path / WEIGHTS} is cut off or not safetensors: {error}", mend="train the adapter again"
        ) from None


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of the adapter's tensors, from the header alone. Raises InvalidArtifact as `tensors` does."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path / WEIGHTS, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise InvalidArtifact(f"{path / WEIGHTS} is missing, cut off or not safetensors: {error}") from None


def rows_needed(path: Path) -> int | None:
    """Vocabulary rows of the embeddings that the adapter carries whole; None when it carries none."""
    rows = {
        shape[0]
        for name, shape in shapes(path).items()
        if name.endswith(".weight")
        and len(shape) == 2
        and any(f".{part}." in name for part in _EMBEDDINGS)
        and ".lora_" not in name
    }
    if len(rows) > 1:
        raise InvalidArtifact(f"{path}: embedding and head have different numbers of tokens: {sorted(rows)}")
    return next(iter(rows), None)


def tokens_needed(path: Path) -> int:
    """Vocabulary rows that the adapter's `trainable_token_indices` reach to; 0 when it trains no single tokens."""
    found = read_config(path).get("trainable_token_indices") or {}
    lists = found.values() if isinstance(found, dict) else [found]
    return max((int(index) + 1 for indices in lists for index in indices), default=0)


def plain(checkpoint: Path, **options: Any) -> Any:
    """A checkpoint in transformers, without an adapter; `options` as of `from_pretrained`.

    The attention of Gemma 2 caps its logits. transformers' default kernel (`sdpa`) leaves that out without a word; only `eager` computes it.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False)
    if getattr(config, "attn_logit_softcapping", None):
        options["attn_implementation"] = "eager"
    return AutoModelForCausalLM.from_pretrained(checkpoint, trust_remote_code=False, **options)


def load(base: Path, adapter: Path, *, dtype: torch.dtype, trainable: bool = False, **options: Any) -> Any:
    """The PEFT model, unmerged, on the base checkpoint in directory `base`, resized to the adapter's vocabulary where that grew.

    `options` as of `from_pretrained`, for the base.

    Raises InvalidArtifact when the adapter does not fit, or names tensors that the model has no place for.
    """
    from peft import PeftModel

    network: Any = plain(base, dtype=dtype, **options)
    have = network.get_input_embeddings().weight.shape[0]
    rows = rows_needed(adapter) or max(tokens_needed(adapter), have)
    if rows != have:
        network.resize_token_embeddings(rows, mean_resizing=False)
    try:
        model: Any = PeftModel.from_pretrained(network, adapter, is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArtifact(f"{adapter} does not fit its base: {str(error).splitlines()[0][:200]}") from None
    _refuse_leftovers(model, adapter)
    return model


def _refuse_leftovers(model: Any, adapter: Path) -> None:
    """PEFT skips tensors that it has no place for, and leaves places empty that the file has no tensors for, both without an error."""
    from peft import load_peft_weights, set_peft_model_state_dict

    weights = load_peft_weights(str(adapter), device="cpu")
    found: Any = set_peft_model_state_dict(model, weights)
    unexpected = [name for name in found.unexpected_keys if not _tied_copy(name, weights)]
    missing = [name for name in found.missing_keys if ".lora_" in name or ".modules_to_save." in name]
    for what, names in (
        ("holds tensors that its base has no place for", unexpected),
        ("lacks tensors", missing),
    ):
        if names:
            raise InvalidArtifact(
                f"{adapter} does not fit its base: it {what}: {', '.join(sorted(names)[:3])} ({len(names)})"
            )


def _tied_copy(name: str, weights: dict[str, torch.Tensor]) -> bool:
    """Trained token embeddings that PEFT saves a second time, for a tied head, where the vocabulary grew; it has no place to load them to."""
    import torch

    head = ".lm_head.token_adapter.trainable_tokens_delta"
    return name.endswith(head) and any(
        torch.equal(weights[name], weight)
        for other, weight in weights.items()
        if other != name and other.endswith(".token_adapter.trainable_tokens_delta")
    )


def merge(model: Any) -> Any:
    """The plain model with the adapter in its weights (`model` is used up). Tied weights that training made different are untied."""
    import warnings

    import torch

    tied = model.config.tie_word_embeddings
    _untie(model)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # it sets tie_word_embeddings to false, for their storages are two now, and warns of that
        merged: Any = model.merge_and_unload()
    embedding, head = merged.get_input_embeddings(), merged.get_output_embeddings()
    if tied and torch.equal(embedding.weight, head.weight):
        merged.config.tie_word_embeddings = True
        head.weight = embedding.weight
    return merged


def _untie(model: Any) -> None:
    """Give every module a storage of its own, so that merging into one does not change another."""
    import torch

    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is None:
                continue
            if parameter.data_ptr() in seen:
                module._parameters[name] = torch.nn.Parameter(parameter.detach().clone(), requires_grad=False)
            seen.add(parameter.data_ptr())
