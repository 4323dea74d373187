"""Merged safetensors in 16 bits, for transformers and vLLM. Merged in fp32, then cast: merging in 16 bits would round the sum twice."""

from __future__ import annotations

import json
from pathlib import Path

from exports.source import Source
from truemark.errors import InvalidArtifact

_DTYPES = {"fp16": "float16", "bf16": "bfloat16"}


def write(source: Source, out: Path, format: str) -> None:
    """`format` is `fp16` or `bf16`. Raises InvalidArtifact when a merged weight does not fit fp16 (beyond 65,504); bf16 has fp32's range."""
    import torch
    from safetensors.torch import load_file, save_file

    dtype = _DTYPES[format]
    for file in sorted(source.merged().glob("*.safetensors")):
        tensors = {name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(file).items()}
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise InvalidArtifact(
                    f"{name} does not fit {format}: a merged weight is beyond {torch.finfo(tensor.dtype).max:,.0f}",
                    mend="export to gguf or bf16 instead",
                )
        save_file(tensors, out / file.name, metadata={"format": "pt"})
    for file in sorted(source.merged().glob("*.json")):
        (out / file.name).write_bytes(file.read_bytes())
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    (out / "config.json").write_text(json.dumps({**config, "dtype": dtype}, indent=2) + "\n", encoding="utf-8")
    source.copy_tokenizer(out)
