"""bitsandbytes NF4 with double quantization: 4-bit safetensors for transformers. On CUDA, and (slowly) on the CPU backend of bitsandbytes >= 0.46.

Source: NF4 and double quantization, https://arxiv.org/abs/2305.14314.
"""

from __future__ import annotations

from pathlib import Path

from exports import checkpoint
from exports.source import Source
from truemark.errors import MissingDependency


def write(source: Source, out: Path, format: str) -> None:
    """Raises MissingDependency without bitsandbytes."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingDependency.extra("bitsandbytes", "bnb") from None
    import torch
    from transformers import BitsAndBytesConfig

    cuda = torch.cuda.is_available()
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        # written into config.json, so it is what users compute in: a CPU without bf16 instructions emulates them 80 times slower
        bnb_4bit_compute_dtype=torch.bfloat16 if cuda else torch.float32,
    )
    network = checkpoint.load(source, quantization_config=config, device_map="cuda" if cuda else "cpu")
    network.save_pretrained(out, safe_serialization=True)
    checkpoint.finish(source, out)
