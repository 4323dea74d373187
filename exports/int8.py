"""INT8 safetensors: `int8-torchao` that transformers loads, `int8-w8a8` and `int8-w8a16` that vLLM and transformers load.

All three round the weights of the linear layers per output channel, symmetric, to the nearest; the head and the embeddings stay 16-bit. w8a8 also rounds
the activations, per token, while it runs. No calibration data: the scales are the channels' largest magnitudes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exports import checkpoint
from exports.source import Source
from truemark.errors import MissingDependency

_SCHEMES = {"int8-w8a8": "W8A8", "int8-w8a16": "W8A16"}


def write_torchao(source: Source, out: Path, format: str) -> None:
    """Weight-only INT8 by torchao, as transformers writes and reads it. Raises MissingDependency without torchao."""
    try:
        from torchao.quantization import Int8WeightOnlyConfig
    except ImportError:
        raise MissingDependency.extra("torchao", "int8") from None
    from transformers import TorchAoConfig

    network = checkpoint.load(source, quantization_config=TorchAoConfig(Int8WeightOnlyConfig()))
    network.save_pretrained(out, safe_serialization=True)
    checkpoint.finish(source, out)


def write_compressed(source: Source, out: Path, format: str) -> None:
    """INT8 in the compressed-tensors format, by that library's own compressor. Raises MissingDependency without it."""
    try:
        from compressed_tensors.compressors import ModelCompressor
        from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config, preset_name_to_scheme
    except ImportError:
        raise MissingDependency.extra("compressed_tensors", "int8") from None

    network = checkpoint.load(source)
    scheme = preset_name_to_scheme(_SCHEMES[format], ["Linear"])
    if scheme.weights.group_size is not None:  # per channel, so that any width fits and both formats round alike
        scheme.weights = scheme.weights.model_copy(update={"group_size": None, "strategy": "channel"})
    apply_quantization_config(network, QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"]))
    _set_scales(network)
    compressor = ModelCompressor.from_pretrained_model(network)
    with checkpoint.no_bars():
        compressor.compress_model(network)
    network.save_pretrained(out, safe_serialization=True)
    compressor.update_config(str(out))
    checkpoint.finish(source, out, dtype=checkpoint.serving_dtype(network.config))


def _set_scales(network: Any) -> None:
    """Scales from the largest magnitude of each output channel: what llm-compressor's min-max observer does for weights."""
    import torch
    from compressed_tensors.quantization.utils import calculate_qparams, is_module_quantized

    for module in network.modules():
        if is_module_quantized(module):
            low, high = module.weight.data.aminmax(dim=1, keepdim=True)
            scale, zero = calculate_qparams(low, high, module.quantization_scheme.weights)
            module.weight_scale = torch.nn.Parameter(scale.to(module.weight_scale.dtype), requires_grad=False)
            if hasattr(module, "weight_zero_point"):
                module.weight_zero_point = torch.nn.Parameter(zero, requires_grad=False)
