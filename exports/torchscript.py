"""TorchScript: one file that `torch.jit.load` opens with torch alone. A compatibility artifact: TorchScript is deprecated; `pt2` is its successor."""

from __future__ import annotations

from pathlib import Path

from exports import program
from exports.source import Source

FILE = "model.torchscript"
_NOTE = (
    "Compatibility artifact: PyTorch has deprecated TorchScript. Prefer the pt2 export where torch.export.load is available. "
    "It holds code: load it only from whom you trust."
)


def write(source: Source, out: Path, format: str) -> None:
    """Raises StorageError when there is no room, and InvalidArtifact, by name, for a base that cannot be traced rightly."""
    program.refuse(source, "torchscript")
    import torch

    step = program.opened(source)
    program.room(step, out)
    with program.tracing(step, "the TorchScript trace"), torch.inference_mode():
        traced = torch.jit.trace(step, program.sample(step, batch=2, length=5, past=3), check_trace=False)
        program.prove(traced, step, "the TorchScript trace")
    torch.jit.save(traced, str(out / FILE))
    program.describe(source, step, out, FILE, _NOTE)
