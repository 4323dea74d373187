"""What the writers of quantized Hugging Face checkpoints share."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exports.source import Source
from truemark import adapters

FP16_MAX = 65_504.0


def load(source: Source, **options: Any) -> Any:
    """The merged model in fp32, on the CPU unless `options` say otherwise, without gradients."""
    import torch

    from truemark import compute

    compute.prepare()
    return adapters.plain(source.merged(), dtype=torch.float32, **options).eval().requires_grad_(False)


def finish(source: Source, out: Path, dtype: str | None = None) -> None:
    """Store in fp16 what was not quantized, set the `dtype` of config.json when one is given, add the tokenizer and generation_config.json."""
    for file in sorted(out.glob("*.safetensors")):
        _halve(file)
    if dtype:
        config = json.loads((out / "config.json").read_text(encoding="utf-8"))
        (out / "config.json").write_text(json.dumps({**config, "dtype": dtype}, indent=2) + "\n", encoding="utf-8")
    generation = source.merged() / "generation_config.json"
    if generation.is_file():
        (out / generation.name).write_bytes(generation.read_bytes())
    source.copy_tokenizer(out)


def serving_dtype(config: Any) -> str:
    """What an engine should compute in: fp16, which keeps three bits more than bf16; bf16 for Gemma, whose activations leave fp16's range."""
    return "bfloat16" if str(config.model_type).startswith("gemma") else "float16"


def _halve(file: Path) -> None:
    """Rewrite plain fp32 weights (embeddings, norms, biases, head) in fp16, where they fit; scales stay fp32. The loader widens them again."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(file, framework="pt") as stored:
        metadata = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    for name, tensor in tensors.items():
        plain = name.endswith((".weight", ".bias")) and tensor.dtype == torch.float32
        if plain and tensor.abs().max() <= FP16_MAX:
            tensors[name] = tensor.to(torch.float16)
    save_file(tensors, file, metadata=metadata)


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Without the progress bars of libraries: ours says what is written."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123 - a device, not a path of ours
        yield
