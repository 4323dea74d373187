"""What one would do without Truemark, for comparison: each route writes an export that the same mark measures."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exports.source import Source
from truemark import toolchain
from truemark.gguf_convert import convert_checkpoint


@dataclass(frozen=True)
class Route:
    """A way of doing it by hand."""

    format: str
    """Whose runtime and thresholds it is measured with."""
    write: Callable[[Source, Path, str | None], None]


def half(source: Source, out: Path, _: str | None) -> None:
    """`merge_and_unload().half().save_pretrained(...)`."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(source.base.local_path())
    merged = PeftModel.from_pretrained(network, source.path).merge_and_unload()
    merged.half().save_pretrained(out)
    source.copy_tokenizer(out)


def llama_quantize(type: str) -> Callable[[Source, Path, str | None], None]:
    """`convert_hf_to_gguf.py`, then `llama-quantize` without an importance matrix."""

    def write(source: Source, out: Path, _: str | None) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            f16 = Path(scratch) / "f16.gguf"
            convert_checkpoint(source.merged(), f16, outtype="f16", name="by-hand")
            subprocess.run(
                [str(toolchain.binary("llama-quantize")), str(f16), str(out / f"by-hand.{type}.gguf"), type.upper()],
                env=toolchain.environment(), check=True, capture_output=True,
            )  # fmt: skip
        source.copy_tokenizer(out)

    return write


OPTIMUM = """
import sys
from optimum.onnxruntime import ORTModelForCausalLM
ORTModelForCausalLM.from_pretrained(sys.argv[1], export=True).save_pretrained(sys.argv[2])
"""
DYNAMIC = """
import sys
from onnxruntime.quantization import QuantType, quantize_dynamic
quantize_dynamic(sys.argv[1], sys.argv[2], weight_type=QuantType.QInt8)
"""


def optimum(dynamic: bool) -> Callable[[Source, Path, str | None], None]:
    """optimum-onnx's export of the merged checkpoint; `dynamic` with ORT's `quantize_dynamic` after it."""

    def write(source: Source, out: Path, python: str | None) -> None:
        assert python is not None
        (out / "onnx").mkdir()
        with tempfile.TemporaryDirectory() as scratch:
            _python(python, OPTIMUM, str(source.merged()), scratch)
            if dynamic:
                _python(python, DYNAMIC, f"{scratch}/model.onnx", str(out / "onnx" / "model_quantized.onnx"))
            else:
                for file in Path(scratch).glob("model.onnx*"):
                    shutil.move(file, out / "onnx" / file.name)
        for name in ("config.json", "generation_config.json"):
            shutil.copy(source.merged() / name, out / name)
        source.copy_tokenizer(out)

    return write


def _python(python: str, code: str, *arguments: str) -> None:
    run = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr.strip()[-300:])


ROUTES = {
    "merge_and_unload().half()": Route("fp16", half),
    "llama-quantize q8_0": Route("gguf-q8_0", llama_quantize("q8_0")),
    "llama-quantize q4_k_m": Route("gguf-q4_k_m", llama_quantize("q4_k_m")),
    "optimum-onnx": Route("onnx-fp32", optimum(dynamic=False)),
    "optimum-onnx + quantize_dynamic": Route("onnx-int8", optimum(dynamic=True)),
}
