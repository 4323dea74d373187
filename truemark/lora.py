"""What PEFT means by the files of a LoRA adapter: each module's true scaling, and what a LoRA-GGUF cannot hold.

llama.cpp knows one number, `alpha`, and scales every pair by alpha / rank. PEFT knows more (rsLoRA, a rank and an alpha per module,
magnitudes, whole trained modules, …), and the converter drops some of it without a word; this file is the list.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truemark.errors import InvalidArtifact

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PAIR = re.compile(r"\.lora_(?:A\.weight|B\.weight|embedding_A|embedding_B)$")

_HARMLESS = {
    *("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"),  # folded into the weights
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),  # seen in the tensors' names
    *("peft_type", "peft_version", "task_type", "auto_mapping", "inference_mode", "base_model_name_or_path", "revision"),
    *("lora_dropout", "eva_config", "loftq_config", "corda_config", "lora_ga_config", "runtime_config"),  # training only
    *("megatron_core", "qalora_group_size", "ensure_weight_tying"),  # mean nothing alone
}  # fmt: skip
"""Fields of PEFT's LoraConfig (0.21) that a LoRA-GGUF may ignore. Any other one that is set is refused, a new one of tomorrow too."""

_STARTS = ("true", "false", "gaussian", "eva", "orthogonal", "mica")
"""`init_lora_weights` that leave the base's weights as they are; PiSSA, CorDA, OLoRA, LoftQ and LoRA-GA change them (peft/tuners/lora/layer.py)."""

_WORDS = {
    "use_dora": "DoRA: a LoRA-GGUF has no magnitude vectors",
    "modules_to_save": "whole trained modules",
    "trainable_token_indices": "trained token embeddings",
    "lora_bias": "biases on lora_B",
    "fan_in_fan_out": "transposed base weights (GPT-2's Conv1D): the converter turns the pair round",
    "alora_invocation_tokens": "aLoRA, which is switched on in mid-prompt",
    "layer_replication": "replicated layers: the base's GGUF has fewer",
    "target_parameters": "LoRA on bare parameters (experts)",
}


def read_config(adapter: Path) -> dict[str, Any]:
    """`adapter_config.json` of a PEFT adapter. Raises InvalidArtifact unless it states an integer rank and a number alpha."""
    path = adapter / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArtifact(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("r"), int):
        raise InvalidArtifact(f"{path}: expected an integer rank `r`, found {str(config)[:80]}")
    return config


def module_of(tensor: str) -> str:
    """`base_model.model.model.layers.0.mlp.up_proj.lora_A.weight` → `model.layers.0.mlp.up_proj`, PEFT's name of the module."""
    return _PAIR.sub("", tensor).removeprefix("base_model.model.")


def stated_rank(config: Mapping[str, Any], module: str) -> int:
    """The rank that a config states for a module: `r`, or its entry in `rank_pattern`."""
    return int(_by_pattern(config.get("rank_pattern"), module, config["r"]))


def scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What PEFT multiplies B·A with: alpha / r, or alpha / √r with rsLoRA; alpha and r by the module's own patterns.

    Source: LoraLayer.update_layer in peft/tuners/lora/layer.py, LoraModel._create_and_replace in model.py.
    """
    alpha = float(_by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", 8)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(pattern: Any, module: str, default: Any) -> Any:
    """As peft.utils.other.get_pattern_key: the first key that matches the end of the module's name as a regular expression."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def not_in_gguf(adapter: Path, base: Path) -> list[str]:
    """What the PEFT adapter in directory `adapter` on the checkpoint in `base` has that a LoRA-GGUF would lose; empty when nothing."""
    config = read_config(adapter)
    return [*lost_by_config(config), *_tensors(adapter, base), *_vocabulary(adapter, base)]


def lost_by_config(config: Mapping[str, Any]) -> list[str]:
    """What a LoRA-GGUF would lose of an adapter with these fields of PEFT's LoraConfig."""
    found = []
    if config.get("peft_type", "LORA") != "LORA":
        found.append(f"peft_type {config.get('peft_type')}: not LoRA")
    if config.get("bias", "none") != "none":
        found.append(f"trained biases (bias={config['bias']})")
    start = str(config.get("init_lora_weights", True)).lower()
    if start not in _STARTS:
        found.append(f"init_lora_weights={start}: it changes the base's own weights")
    for name, value in config.items():
        if value and name not in _HARMLESS and name not in ("bias", "init_lora_weights"):
            found.append(f"{name} ({_WORDS.get(name, 'unknown to llama.cpp')})")
    return found


def _tensors(adapter: Path, base: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    found = []
    try:
        with safe_open(adapter / WEIGHTS, framework="pt") as file:
            names = list(file.keys())
            for name in names:
                if name.endswith(".base_layer.weight"):  # PEFT saves an embedding that it wraps along with the pair
                    found += _changed_base(file.get_tensor(name), name, base)
    except (SafetensorError, OSError) as error:
        raise InvalidArtifact(f"{adapter / WEIGHTS} cannot be read: {error}", mend="train the adapter again") from None
    others = [name for name in names if not _PAIR.search(name) and not name.endswith(".base_layer.weight")]
    if others:
        found.append(f"{len(others)} tensors that are no LoRA pair, e.g. {others[0]}")
    modules = {module_of(name) for name in names}
    ends = [name for name in modules if name.endswith(("embed_tokens", "lm_head", "wte", "embed_in", "embed_out"))]
    if ends and tied(base):
        # llama.cpp has one tensor for both, finds the pair by its name, and ends the process at the wrong one's shape;
        # Gemma's converter drops lm_head silently
        found.append(f"LoRA on {', '.join(sorted(ends))} of a base with tied embeddings")
    return found


def _changed_base(tensor: Any, name: str, base: Path) -> list[str]:
    from safetensors import safe_open

    wanted = module_of(name.removesuffix(".base_layer.weight")) + ".weight"
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if wanted in file.keys():  # noqa: SIM118 - not a dict
                own = file.get_tensor(wanted)
                if own.shape != tensor.shape:
                    return [
                        f"a resized vocabulary: {wanted} is {list(tensor.shape)}, in the base it is {list(own.shape)}"
                    ]
                # the precision of the adapter's copy decides: a base in 16 bits may have been loaded in 32 or the other way
                return [] if bool((own.to(tensor.dtype) == tensor).all()) else [f"its own, changed {wanted}"]
    return [f"a copy of {wanted}, which the base has not"]


def tied(base: Path) -> bool:
    """Whether a checkpoint has one matrix for embedding and head: by its config, else by the absence of a head among its tensors."""
    from safetensors import safe_open

    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    stated = config.get("tie_word_embeddings", (config.get("text_config") or {}).get("tie_word_embeddings"))
    if stated is not None:
        return bool(stated)
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if any(name.endswith(("lm_head.weight", "embed_out.weight")) for name in file.keys()):  # noqa: SIM118
                return False
    return True


def _vocabulary(adapter: Path, base: Path) -> list[str]:
    """llama.cpp reads the tokens from the base's file, so the adapter's own must be those."""
    ours, theirs = (tokens(directory / "tokenizer.json") for directory in (adapter, base))
    if ours is None or theirs is None or ours == theirs:
        return []
    new = sorted(set(ours.items()) - set(theirs.items())) or sorted(set(theirs.items()) - set(ours.items()))
    return [f"{len(new)} tokens that are not the base's, e.g. {new[0][0]!r} as {new[0][1]}"]


def tokens(path: Path) -> dict[str, int] | None:
    """Piece → id of a `tokenizer.json`, added tokens included; None where there is none or it is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        vocab = content["model"]["vocab"]
        pieces = vocab.items() if isinstance(vocab, dict) else ((piece, i) for i, (piece, _) in enumerate(vocab))
        return {**dict(pieces), **{token["content"]: token["id"] for token in content.get("added_tokens", [])}}
    except (OSError, ValueError, LookupError, TypeError):
        return None
