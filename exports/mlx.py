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
from truemark import holds
from truemark.errors import InvalidArtifact, MissingDependency
from truemark.runtimes.mlx import fast_blas, flat


def write(source: Source, out: Path, format: str) -> None:
    """Raises MissingDependency without mlx-lm, InvalidArtifact for what mlx-lm would compute otherwise than transformers."""
    refuse(json.loads((source.base.local_path() / "config.json").read_text(encoding="utf-8")))
    fast_blas()  # before MLX is loaded: the mark that follows runs in this process
    try:
        import mlx.core as mx
        from mlx.utils import tree_map
        from mlx_lm.utils import load_model, save_config, save_model
    except ImportError as error:
        raise MissingDependency(f"mlx-lm cannot be loaded: {error}", mend="pip install 'truemark[mlx]'") from None
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
    generation = merged / "generation_config.json"
    if generation.is_file():
        (out / generation.name).write_bytes(generation.read_bytes())
    source.copy_tokenizer(out)


def refuse(config: dict[str, Any]) -> None:
    """Raise InvalidArtifact for a config that mlx-lm would not load, or would load and compute as another model."""
    if reason := holds.mlx(config):
        raise InvalidArtifact(f"mlx: {reason}", mend="export to fp16 or gguf instead")
