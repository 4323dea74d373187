"""ONNX decoders with key/value cache, in the layout that plain onnxruntime, onnxruntime-genai and transformers.js load as it is.

onnx-fp32   onnx/model.onnx            for CPUs, exact
onnx-fp16   onnx/model_fp16.onnx       half the size, for GPUs and browsers; a CPU runs it through casts
onnx-int8   onnx/model_quantized.onnx  weight-only INT8 (MatMulNBits), for CPUs

Route: onnxruntime-genai's model builder from the fp32 merge, then `exports/onnx_graph.py`, because the builder's graphs answer left-padded rows
wrongly and forget Mistral's sliding window. Measured against transformers' own `OnnxExporter`: the same KL, 19 % fewer tokens/s, no INT8 and no
`genai_config.json`. The builder's other attention (`MultiHeadAttention` with an explicit mask, its choice for fp16 on CPUs) takes left padding,
but onnxruntime refuses the file ("Shape mismatch attempting to re-use buffer"): hence its CUDA graph for fp16.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exports import onnx_graph
from exports.source import Source
from truemark.errors import EngineError, InvalidArtifact, MissingDependency
from truemark.settings import threads


@dataclass(frozen=True)
class Variant:
    """How one of the formats is built and what transformers.js calls it."""

    precision: str
    provider: str
    """Whose graph the builder writes; the file runs on any."""
    file: str
    dtype: str
    options: tuple[str, ...] = ()


VARIANTS = {
    "onnx-fp32": Variant("fp32", "cpu", "model.onnx", "fp32"),
    "onnx-fp16": Variant("fp16", "cuda", "model_fp16.onnx", "fp16"),
    "onnx-int8": Variant("int8", "cpu", "model_quantized.onnx", "q8", ("block_size=32", "accuracy_level=4")),
}
COMMON = ("windowed_kv_cache=false", "fuse_qk_norm_gqa=false", "hf_token=false")
"""A windowed cache cannot start empty (plain onnxruntime does); fused Q/K norms run on CUDA and WebGPU alone."""
FOLDER = "onnx"
_COPIED = ("config.json", "generation_config.json")


def write(source: Source, out: Path, format: str) -> None:
    """Raises MissingDependency without onnxruntime-genai, InvalidArtifact for a model that its builder does not take."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        raise MissingDependency.extra("onnxruntime_genai", "onnx")
    variant = VARIANTS[format]
    merged = source.merged()
    config = json.loads((merged / "config.json").read_text(encoding="utf-8"))
    if variant.precision == "fp16":
        _refuse_beyond_fp16(merged)
    with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as scratch:
        built = Path(scratch) / "out"
        _build(merged, built, variant, Path(scratch) / "cache")
        genai = json.loads((built / "genai_config.json").read_text(encoding="utf-8"))
        head_size = int(genai["model"]["decoder"]["head_size"])
        windows, tied = _of_config(merged)
        onnx_graph.finish(built / variant.file, head_size=head_size, windows=windows, tied=tied)
        (out / FOLDER).mkdir()
        for name in (variant.file, variant.file + "_data"):
            (built / name).rename(out / FOLDER / name)
    source.copy_tokenizer(out)
    _write_configs(out, merged, config, genai, variant)


def _build(merged: Path, out: Path, variant: Variant, cache: Path) -> None:
    """Run the builder in a process of its own: it puts modules named `builders` and `loaders` on the path, and its memory is given back."""
    command = [
        sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(merged), "-o", str(out), "-p", variant.precision,
        "-e", variant.provider, "-c", str(cache), "--extra_options", f"filename={variant.file}", *COMMON, *variant.options,
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads())}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if run.returncode or not (out / variant.file).is_file():
        words = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:]
        kind = EngineError if "MemoryError" in run.stderr or run.returncode < 0 else InvalidArtifact
        raise kind(
            f"onnxruntime-genai cannot export this model: {' '.join(words) or f'it ended with {run.returncode}'}",
            mend="--to fp16,gguf",
        )


def _of_config(merged: Path) -> tuple[list[int], bool]:
    """As transformers reads the config: the sliding window of each layer in tokens (-1 for none), and whether embedding and head are one."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(merged, trust_remote_code=False)
    layers, window = int(config.num_hidden_layers), getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * layers
    windows = [int(window) if window and kind == "sliding_attention" else -1 for kind in kinds]
    return windows, bool(config.tie_word_embeddings)


def _write_configs(out: Path, merged: Path, config: dict[str, Any], genai: dict[str, Any], variant: Variant) -> None:
    """config.json, generation_config.json, tokenizer_config.json and genai_config.json, each for its own loader, all of one mind."""
    for name in _COPIED:
        if (merged / name).is_file():
            (out / name).write_bytes((merged / name).read_bytes())
    javascript = {"dtype": variant.dtype, "use_external_data_format": {variant.file: 1}}
    _dump(out / "config.json", {**config, "transformers.js_config": javascript})
    # transformers.js knows no chat_template.jinja: the same text once more, where it looks
    tokenizer = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = (out / "chat_template.jinja").read_text(encoding="utf-8")
    _dump(out / "tokenizer_config.json", {**tokenizer, "chat_template": template})
    ends = _end_tokens(out, tokenizer)
    generation = json.loads((out / "generation_config.json").read_text(encoding="utf-8"))
    _dump(out / "generation_config.json", {**generation, "eos_token_id": ends})
    decoder = genai["model"]["decoder"]
    decoder["filename"] = f"{FOLDER}/{variant.file}"
    decoder["session_options"] = {"log_id": "onnxruntime-genai", "provider_options": []}
    genai["model"]["eos_token_id"] = ends
    _dump(out / "genai_config.json", genai)


def _end_tokens(out: Path, tokenizer: dict[str, Any]) -> list[int]:
    """Ids that end an answer: those of the generation config and the tokenizer's own, as the torch runtime takes them."""
    from tokenizers import Tokenizer

    found = json.loads((out / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id")
    ends = set(found if isinstance(found, list) else [found])
    own = tokenizer.get("eos_token")
    text = own["content"] if isinstance(own, dict) else own
    if text:
        ends.add(Tokenizer.from_file(str(out / "tokenizer.json")).token_to_id(text))
    return sorted(int(end) for end in ends if end is not None)


def _refuse_beyond_fp16(merged: Path) -> None:
    from safetensors import safe_open

    for file in sorted(merged.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                if float(tensors.get_tensor(name).abs().max()) > 65504:
                    raise InvalidArtifact(
                        f"{name} does not fit fp16: a merged weight is beyond 65,504",
                        mend="export to onnx-fp32 instead",
                    )


def _dump(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
