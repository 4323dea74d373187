"""A fused MLX checkpoint (safetensors) for Apple machines, written by mlx-lm, whose CPU build runs on Linux too.

mlx-lm reads `rope_theta` and the window pattern from the top of config.json, where transformers 4 had them; transformers 5 nests them. Left nested they
are silently replaced by defaults (10000), the same loss that optimum-onnx has. So they are written flat, and what mlx-lm's code for an architecture
does not compute is refused here by name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exports.source import Source
from truemark.errors import InvalidArtifact, MissingDependency

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
_ACTIVATIONS = {"gemma": "gelu_pytorch_tanh", "gemma2": "gelu_pytorch_tanh", "gemma3_text": "gelu_pytorch_tanh"}
_ROPES = ("default", "linear", "llama3", "yarn")


def write(source: Source, out: Path, format: str) -> None:
    """Raises MissingDependency without mlx-lm, InvalidArtifact for what mlx-lm would compute otherwise than transformers."""
    refuse(json.loads((source.base.local_path() / "config.json").read_text(encoding="utf-8")))
    try:
        import mlx.core as mx
        from mlx.utils import tree_map
        from mlx_lm.utils import load_model, save_config, save_model
    except ImportError as error:
        raise MissingDependency.extra(error.name or "mlx_lm", "mlx") from None
    merged = source.merged()
    config = json.loads((merged / "config.json").read_text(encoding="utf-8"))
    refuse(config)
    dtype = (
        "bfloat16" if config["model_type"] in ("gemma", "gemma2") else "float16"
    )  # their activations leave fp16's range
    with mx.stream(mx.cpu):
        try:
            network, config = load_model(merged, lazy=True, model_config={**flat(config), "dtype": dtype})
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidArtifact(f"mlx-lm cannot hold {source.ref.text}: {str(error).splitlines()[0][:200]}") from None
        network.update(tree_map(lambda weight: weight.astype(getattr(mx, dtype)), network.parameters()))
        save_model(out, network)
    save_config(config, out / "config.json")
    (out / "model.safetensors.index.json").unlink(missing_ok=True)
    generation = merged / "generation_config.json"
    if generation.is_file():
        (out / generation.name).write_bytes(generation.read_bytes())
    source.copy_tokenizer(out)


def refuse(config: dict[str, Any]) -> None:
    """Raise InvalidArtifact for a config that mlx-lm 0.32 would load and compute wrongly, or not load."""
    kind = config.get("model_type")

    def wrong(what: str) -> InvalidArtifact:
        return InvalidArtifact(f"mlx cannot hold {what} in a {kind} model", mend="export to fp16 or gguf instead")

    if kind not in ARCHITECTURES:
        raise wrong(f"this architecture (known are {', '.join(ARCHITECTURES)})")
    wanted = _ACTIVATIONS.get(str(kind), "silu")
    found = config.get("hidden_activation") or config.get("hidden_act") or wanted
    if found != wanted:
        raise wrong(f"the activation '{found}' (expected '{wanted}')")
    window, longest = config.get("sliding_window"), config.get("max_position_embeddings") or 0
    if kind in ("mistral", "qwen2", "qwen3", "gemma2") and _slides(config) and window and window < longest:
        raise wrong(f"a sliding window of {window} tokens below the longest prompt of {longest}")
    if kind.startswith("gemma") and config.get("tie_word_embeddings") is False:
        raise wrong("an untied head")
    if kind == "gemma3_text" and _pattern(config) is None:
        raise wrong(f"layer types without a period ({config.get('layer_types')})")
    if kind != "llama" and kind != "mistral" and config.get("attention_bias") not in (None, False, kind == "qwen2"):
        raise wrong("biased attention")
    for rope in _ropes(config):
        if rope.get("rope_type", "default") not in _ROPES:
            raise wrong(f"'{rope['rope_type']}' rotary embeddings")


def _slides(config: dict[str, Any]) -> bool:
    types = config.get("layer_types")
    return "sliding_attention" in types if types else bool(config.get("use_sliding_window", True))


def _ropes(config: dict[str, Any]) -> list[dict[str, Any]]:
    rope = config.get("rope_parameters") or {}
    return [value for value in rope.values() if isinstance(value, dict)] or [rope]


def _pattern(config: dict[str, Any]) -> int | None:
    """n when every n-th layer, and no other, has full attention; None when there is no such n."""
    types = config.get("layer_types") or []
    pattern = types.index("full_attention") + 1 if "full_attention" in types else len(types) + 1
    regular = [("sliding_attention" if (index + 1) % pattern else "full_attention") for index in range(len(types))]
    return pattern if regular == types else None


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of transformers 4 that mlx-lm reads, from a config of transformers 5."""
    rope = config.get("rope_parameters") or {}
    if config["model_type"] == "gemma3_text":
        full, local = rope["full_attention"], rope["sliding_attention"]
        found = {"rope_local_base_freq": local["rope_theta"], "sliding_window_pattern": _pattern(config)}
    else:
        full, found = rope, {}
    if "rope_theta" in full:
        found["rope_theta"] = full["rope_theta"]
    if full.get("rope_type", "default") != "default":
        found["rope_scaling"] = {name: value for name, value in full.items() if name != "rope_theta"}
    return found
