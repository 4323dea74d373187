"""Exports: adapter → what a user ships, each with its mark."""

FORMATS = {
    "fp16": "exports.half:write",
    "bf16": "exports.half:write",
    "int8-torchao": "exports.int8:write_torchao",
    "int8-w8a8": "exports.int8:write_compressed",
    "int8-w8a16": "exports.int8:write_compressed",
    "4bit": "exports.nf4:write",
    "torchscript": "exports.torchscript:write",
    "pt2": "exports.pt2:write",
    "mlx": "exports.mlx:write",
    "gguf-f16": "exports.gguf:write",
    "gguf-q8_0": "exports.gguf:write",
    "gguf-q6_k": "exports.gguf:write",
    "gguf-q5_k_m": "exports.gguf:write",
    "gguf-q4_k_m": "exports.gguf:write",
    "lora-gguf": "exports.lora_gguf:write",
    "onnx-fp32": "exports.onnx:write",
    "onnx-fp16": "exports.onnx:write",
    "onnx-int8": "exports.onnx:write",
}
"""Format → `module:function(source, out, format)` that writes the files of an export into directory `out`.

`--to gguf` with `--quant f16,q8_0` names the rows `gguf-f16` and `gguf-q8_0`.
"""

GROUPS = {
    "onnx": ("onnx-fp32", "onnx-fp16"),
    "int8": ("onnx-int8", "int8-torchao", "int8-w8a8"),
}
"""Names that `--to` takes for several rows."""
