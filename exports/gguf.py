"""One GGUF file with the adapter merged in, for llama.cpp: f16 or q8_0, converted from the fp32 merge by llama.cpp's own script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from exports.source import Source
from truemark.errors import EngineError
from truemark.toolchain import converter


def write(source: Source, out: Path, format: str) -> None:
    """`format` is `gguf-QUANT`. Raises EngineError with the converter's last words."""
    quant = format.removeprefix("gguf-")
    file = out / f"{source.artifact.manifest.name}.{quant}.gguf"
    command = [
        sys.executable,
        str(converter("convert_hf_to_gguf.py")),
        str(source.merged()),
        "--outfile",
        str(file),
        "--outtype",
        quant,
        "--model-name",
        source.artifact.manifest.name,
    ]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if run.returncode or not file.is_file():
        words = " / ".join((run.stderr.strip() or run.stdout.strip()).splitlines()[-3:])
        raise EngineError(f"llama.cpp cannot convert {source.ref.text}: {words}", mend="truemark doctor")
    source.copy_tokenizer(out)
