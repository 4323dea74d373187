"""ONNX decoders with key/value cache, in the layout that plain onnxruntime, onnxruntime-genai and transformers.js load as it is.

onnx-fp32   onnx/model.onnx            for CPUs, exact
onnx-fp16   onnx/model_fp16.onnx       half the size, for GPUs and browsers; a CPU runs it through casts
onnx-int8   onnx/model_quantized.onnx  weight-only INT8 (MatMulNBits), for CPUs

Route: onnxruntime-genai's model builder from the fp32 merge, then `exports/onnx_graph.py`, because the builder's graphs answer left-padded rows
wrongly and forget Mistral's sliding window, and for INT8 `exports/onnx_int8.py`. Not taken: transformers' own `OnnxExporter` (experimental; the
same KL, 67 tokens/s against 80, neither INT8 nor `genai_config.json`), and the builder's other attention, `MultiHeadAttention` with an explicit
mask, its choice for fp16 on CPUs: onnxruntime stops at that file ("Shape mismatch attempting to re-use buffer"), hence its CUDA graph for fp16.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exports import onnx_graph, onnx_int8
from exports.source import Source
from truemark.errors import EngineError, InvalidArtifact, MissingDependency, StorageError, TruemarkError
from truemark.settings import threads


@dataclass(frozen=True)
class Variant:
    """How one of the formats is built and what transformers.js calls it."""

    precision: str
    """What the builder is asked for."""
    provider: str
    """Whose graph the builder writes; the file runs on any."""
    file: str
    dtype: str
    int8: dict[str, int] | None = None
    """Arguments of `onnx_int8.quantize`."""


VARIANTS = {
    "onnx-fp32": Variant("fp32", "cpu", "model.onnx", "fp32"),
    "onnx-fp16": Variant("fp16", "cuda", "model_fp16.onnx", "fp16"),
    "onnx-int8": Variant("fp32", "cpu", "model_quantized.onnx", "q8", {"block_size": 32, "accuracy_level": 4}),
}
OPTIONS = ("windowed_kv_cache=false", "fuse_qk_norm_gqa=false", "hf_token=false")
"""A windowed cache cannot start empty (plain onnxruntime does); fused Q/K norms run on CUDA and WebGPU alone."""
FOLDER, GRAPH = "onnx", "model.onnx"
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
    graph = _built(source.scratch(f"onnx-{variant.precision}"), merged, variant)
    genai = json.loads((graph.parent / "genai_config.json").read_text(encoding="utf-8"))
    (out / FOLDER).mkdir()
    target = out / FOLDER / variant.file
    if variant.int8:
        onnx_int8.quantize(graph, target, **variant.int8)
    else:
        _copy_graph(graph, target)
    head_size = int(genai["model"]["decoder"]["head_size"])
    onnx_graph.finish(target, head_size=head_size, windows=_windows(merged))
    source.copy_tokenizer(out)
    _write_configs(out, merged, config, genai, variant)


def _built(scratch: Path, merged: Path, variant: Variant) -> Path:
    """The builder's graph in `scratch`; made once for the formats of one command that start from the same."""
    if not (scratch / "out").is_dir():
        _build(merged, scratch / "making", variant, scratch / "cache")
        (scratch / "making").rename(scratch / "out")
    return scratch / "out" / GRAPH


def _build(merged: Path, out: Path, variant: Variant, cache: Path) -> None:
    """Run the builder in a process of its own: it puts modules named `builders` and `loaders` on the path, and its memory is given back."""
    command = [
        sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(merged), "-o", str(out), "-p", variant.precision,
        "-e", variant.provider, "-c", str(cache), "--extra_options", *OPTIONS,
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads())}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if run.returncode or not (out / GRAPH).is_file():
        words = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:]
        kind: type[TruemarkError] = InvalidArtifact
        if "No space left" in run.stderr:
            kind = StorageError
        elif "MemoryError" in run.stderr or run.returncode < 0:
            kind = EngineError
        raise kind(
            f"onnxruntime-genai cannot export this model: {' '.join(words) or f'it ended with {run.returncode}'}",
            mend="--to fp16,gguf",
        )


def _copy_graph(graph: Path, target: Path) -> None:
    """Copy graph and weights under the name of `target`."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = f"{target.name}.data"
    onnx.save(model, target)
    shutil.copyfile(graph.with_name(graph.name + ".data"), target.with_name(target.name + ".data"))


def _windows(merged: Path) -> list[int]:
    """Sliding window of each layer in tokens, -1 for none, as transformers reads the config."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(merged, trust_remote_code=False)
    layers, window = int(config.num_hidden_layers), getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * layers
    return [int(window) if window and kind == "sliding_attention" else -1 for kind in kinds]


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
