"""The adapter alone as GGUF: llama.cpp applies it to the base's own file, so many adapters share one base in memory."""

from __future__ import annotations

from pathlib import Path

from exports.source import Source
from truemark.gguf_convert import FILE, convert_lora


def write(source: Source, out: Path, format: str) -> None:
    """Raises InvalidArtifact with the converter's last words when llama.cpp cannot hold this adapter."""
    convert_lora(source.path, source.base.local_path(), out / FILE)
    source.copy_tokenizer(out)
