"""Which models a format can hold, from `config.json` alone: the reason why not, in words, or None. Asked by the lint and, again, by the writers.

Only what was tried is let through: a wrong mask, a window that is left out or another activation would answer, and answer wrongly.
"""

from __future__ import annotations

import json
from typing import Any

DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
"""Values of `model_type` whose attention masks `exports/program.py` makes, and whose configs mlx-lm reads rightly."""
_MLX_ROPES = ("default", "linear", "llama3")


def program(config: dict[str, Any]) -> str | None:
    """Why TorchScript and torch.export programs cannot hold a model with this config."""
    kind = config.get("model_type")
    if kind not in DECODERS:
        return f"programs hold {', '.join(DECODERS)}; this is {kind}"
    rope = json.dumps([config.get("rope_parameters"), config.get("rope_scaling")])
    for name in ("dynamic", "longrope"):
        if f'"{name}"' in rope:
            return (
                f"'{name}' rotary embeddings change with the length of the prompt, and tracing would freeze one length"
            )
    return None


def mlx(config: dict[str, Any]) -> str | None:
    """Why mlx-lm 0.32 would not load this config, or would load it and compute another model."""
    kind = str(config.get("model_type"))
    if kind not in DECODERS:
        return f"tried with mlx-lm are {', '.join(DECODERS)}; this is {kind}"
    gemma = kind.startswith("gemma")
    wanted = (
        "gelu_pytorch_tanh" if gemma else "silu"
    )  # mlx-lm's Gemma 1 has the exact GELU, within 5e-4 of it: the mark measures that
    found = config.get("hidden_activation") or config.get("hidden_act") or wanted
    if found != wanted and (kind, found) != ("gemma", "gelu"):
        return f"mlx-lm computes '{wanted}' in {kind}, the model '{found}'"
    window, longest = config.get("sliding_window"), config.get("max_position_embeddings") or 0
    if kind in ("mistral", "qwen2", "qwen3", "gemma2") and _slides(config) and window and window < longest:
        return f"mlx-lm leaves out the sliding window of {window} tokens (prompts can have {longest})"
    if kind == "gemma2" and not (config.get("attn_logit_softcapping") and config.get("final_logit_softcapping")):
        return "mlx-lm always caps the logits of gemma2; here they are not capped"
    if kind == "gemma3_text" and pattern(config) is None:
        return f"mlx-lm expects every n-th layer to have full attention, found {config.get('layer_types')}"
    if gemma and config.get("tie_word_embeddings") is False:
        return f"mlx-lm ties the head of every {kind} to the embedding; here it is untied"
    if kind in ("qwen3", "gemma", "gemma2", "gemma3_text") and config.get("attention_bias"):
        return f"mlx-lm has no biases in the attention of {kind}"
    for rope in _ropes(config):
        if rope.get("rope_type", "default") not in _MLX_ROPES:
            return f"'{rope['rope_type']}' rotary embeddings were not tried with mlx-lm"
        if rope.get("partial_rotary_factor", 1) != 1:
            return "partial rotary embeddings were not tried with mlx-lm"
    return None


def pattern(config: dict[str, Any]) -> int | None:
    """n when every n-th layer, and no other, has full attention; None when there is no such n, or no such layer."""
    types = config.get("layer_types") or []
    every = types.index("full_attention") + 1 if "full_attention" in types else 0
    regular = every and [
        ("sliding_attention" if (index + 1) % every else "full_attention") for index in range(len(types))
    ]
    return every if regular and regular == types else None


def _slides(config: dict[str, Any]) -> bool:
    types = config.get("layer_types")
    return "sliding_attention" in types if types else bool(config.get("use_sliding_window", True))


def _ropes(config: dict[str, Any]) -> list[dict[str, Any]]:
    rope = config.get("rope_parameters") or {}
    return [value for value in rope.values() if isinstance(value, dict)] or [rope]
