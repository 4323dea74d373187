"""A PEFT adapter as a GGUF file that llama.cpp applies to the base's own GGUF. Exports ship it, serving loads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from truemark.artifacts import refuse_unsafe_files
from truemark.console import say
from truemark.errors import InvalidArtifact
from truemark.files import publish_directory, sha256_file, sha256_json
from truemark.models import ModelRef
from truemark.settings import cache_dir
from truemark.toolchain import converter

FILE = "adapter.gguf"
_WEIGHTS = ("adapter_model.safetensors", "adapter_config.json")


def convert_lora(adapter: Path, base: Path, out: Path) -> None:
    """Write the PEFT adapter in directory `adapter` as one GGUF file `out`, in f16 (alpha and rank travel in its metadata).

    `base` is the directory of the base's Hugging Face checkpoint, of which only the config and tokenizer are read.
    Raises InvalidArtifact with the converter's last words when llama.cpp cannot hold this adapter.
    """
    refuse_unsafe_files(adapter)
    script = converter("convert_lora_to_gguf.py")
    command = [
        sys.executable,
        str(script),
        "--base",
        str(base),
        "--outfile",
        str(out),
        "--outtype",
        "f16",
        str(adapter),
    ]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if run.returncode or not out.is_file():
        words = " / ".join((run.stderr.strip() or run.stdout.strip()).splitlines()[-3:])
        raise InvalidArtifact(f"llama.cpp cannot take the adapter {adapter}: {words}", mend="train it again")


def lora_gguf(model: ModelRef, base: ModelRef) -> Path:
    """The GGUF file of a PEFT adapter, made once and kept in the cache by the adapter's and the base's hash (seconds)."""
    adapter = model.local_path()
    missing = [name for name in _WEIGHTS if not (adapter / name).is_file()]
    if missing:
        raise InvalidArtifact(f"{adapter} is not a PEFT adapter: it has no {' and no '.join(missing)}")
    weights = {name: sha256_file(adapter / name) for name in _WEIGHTS}
    key = sha256_json({"weights": weights, "base": base.weights_sha256()})
    out = cache_dir() / "lora-gguf" / key[:16]
    if not (out / FILE).is_file():
        checkpoint = base.local_path()
        say(f"converting {adapter} to GGUF (once, some seconds)")
        with publish_directory(out) as tmp:
            convert_lora(adapter, checkpoint, tmp / FILE)
    return out / FILE
