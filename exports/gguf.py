"""One GGUF file with the adapter merged in, for llama.cpp and Ollama: f16, q8_0, and the k-quants.

f16 comes from the fp32 merge by llama.cpp's converter; the others from that f16 by `llama-quantize`, at 4 bits weighted by an importance
matrix over the domain's training text.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import domains
from exports.modelfile import write_modelfile
from exports.source import Source
from truemark import chat, toolchain
from truemark.console import say
from truemark.errors import EngineError
from truemark.files import write_json
from truemark.gguf_convert import convert_checkpoint
from truemark.settings import threads

QUANTIZATION = "quantization.json"
IMPORTANCE = {"q4_k_m"}
"""Types of 4 bits or fewer: they are rounded with an importance matrix."""
CONTEXT, CHUNKS = 512, 32
"""The importance matrix is computed over at most CHUNKS × CONTEXT = 16,384 tokens (20 s for 135M parameters on 2 cores)."""
ROUNDED_BEFORE = (
    "de-quantized 4-bit weights: a type finer than their grid looks better here than on weights that were never rounded, "
    "one that holds their grid (Q4_K, Q5_1) rounds the adapter away with it"
)
"""Said wherever a quantization of the embedded base is measured; figures in exports/README.md."""
EXAMPLES = 600
"""Training examples that are built for it: more than enough for those tokens."""


def write(source: Source, out: Path, format: str) -> None:
    """`format` is `gguf-QUANT`. Raises EngineError with the last words of the program that failed."""
    quant = format.removeprefix("gguf-")
    name = source.artifact.manifest.name
    file = out / f"{name}.{quant}.gguf"
    if quant == "f16":
        shutil.copyfile(_f16(source), file)
    else:
        importance = _importance(source) if quant in IMPORTANCE else None
        log = _quantize(_f16(source), file, quant.upper(), importance)
        write_json(out / QUANTIZATION, _account(file, log, importance, source))
    source.copy_tokenizer(out)
    write_modelfile(source, out, model=file)


def _f16(source: Source) -> Path:
    """The merged model in f16, converted once for all types of a command."""
    file = source.scratch("gguf") / "f16.gguf"
    if not file.is_file():
        convert_checkpoint(source.merged(), file, outtype="f16", name=source.artifact.manifest.name)
    return file


def training_text(source: Source) -> str:
    """Conversations of the domain's training split with their answers, as the adapter's own template renders them.

    Built with the adapter's seed; never a line of the dev or test split.
    """
    manifest = source.artifact.manifest
    template = chat.read_template(source.path)
    special = chat.special_tokens(source.path)
    train = domains.get(manifest.domain).build(manifest.seed or 0, EXAMPLES, manifest.levels)["train"]
    return "".join(
        chat.render(template, example["messages"], add_generation_prompt=False, **special) for example in train
    )


def _importance(source: Source) -> Path:
    """The importance matrix of this adapter (mean squared activations of every matrix's input), made once for a command."""
    scratch = source.scratch("gguf")
    file = scratch / "imatrix.gguf"
    if not file.is_file():
        say("importance matrix from the domain's training text")
        (scratch / "training.txt").write_text(training_text(source), encoding="utf-8")
        _program(
            "llama-imatrix",
            *("-m", _f16(source).name, "-f", "training.txt", "-o", file.name, "--parse-special", "--no-ppl"),
            *("-c", str(CONTEXT), "--chunks", str(CHUNKS), "-t", str(threads()), "-ngl", "0"),
            inside=scratch,  # relative names: llama.cpp writes them into its files
        )
    return file


def _quantize(f16: Path, out: Path, type: str, importance: Path | None) -> str:
    """Run llama-quantize; returns its log."""
    weighted = ["--imatrix", importance.name] if importance else []
    return _program("llama-quantize", *weighted, f16.name, str(out.absolute()), type, str(threads()), inside=f16.parent)


def _program(name: str, *arguments: str, inside: Path) -> str:
    run = subprocess.run(
        [str(toolchain.binary(name)), *arguments],
        cwd=inside,
        env=toolchain.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if run.returncode:
        raise EngineError(f"{name} failed: {' / '.join(run.stdout.strip().splitlines()[-3:])}", mend="truemark doctor")
    return run.stdout


def _account(file: Path, log: str, importance: Path | None, source: Source) -> dict[str, Any]:
    """What became of every tensor, and what the importance matrix was made of.

    A k-quant has blocks of 256: a matrix with other rows falls back to a type with blocks of 32 (more bits, never fewer).
    """
    from gguf import GGUFReader

    tensors = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(file).tensors}
    fallbacks = {
        match[1]: f"{match[2].upper()} → {match[3].upper()}"
        for match in re.finditer(
            r"warning: (\S+) +- ncols .*?required for type +(\w+)\).*?falling back to +(\w+)", log, re.DOTALL
        )
    }
    return {
        "base": ROUNDED_BEFORE if source.base.embedded is not None else "as it was published",
        "importance_matrix": _described(importance, source) if importance else None,
        "types": dict(Counter(tensors.values()).most_common()),
        "fallback_count": len(fallbacks),
        "fallbacks": fallbacks,
        "tensors": tensors,
    }


def _described(importance: Path, source: Source) -> dict[str, Any]:
    from gguf import GGUFReader

    chunks = GGUFReader(importance).fields["imatrix.chunk_count"].contents()
    manifest = source.artifact.manifest
    return {
        "text": f"training split of {manifest.domain}, seed {manifest.seed or 0}, through the adapter's chat template",
        "tokens": int(chunks) * CONTEXT,
    }
