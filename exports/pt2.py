"""A `torch.export` program in PyTorch's `.pt2` archive: the successor of TorchScript, opened by `torch.export.load` with torch alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exports import program
from exports.source import Source

FILE = "model.pt2"
_NOTE = "torch.export.load(...).module() runs it. Reading a .pt2 can run code of whoever wrote it: load it only from whom you trust."


def write(source: Source, out: Path, format: str) -> None:
    """Raises StorageError when there is no room, and InvalidArtifact, by name, for a base that cannot be exported rightly."""
    program.refuse(source, "pt2")
    import torch

    step = program.opened(source)
    program.room(step, out)
    inputs = program.sample(step, batch=2, length=5, past=3)
    with program.tracing(step, "the exported program"), torch.no_grad():
        exported = torch.export.export(step, inputs, dynamic_shapes=_dynamic(len(inputs[-1])), strict=False)
        exported.example_inputs = None  # they would be kept as a pickle; without them the archive holds none
        for node in exported.graph.nodes:  # names files of this machine, and is half of the archive's text
            node.meta.pop("stack_trace", None)
        program.prove(exported.module(), step, "the exported program")
    torch.export.save(exported, out / FILE)
    program.describe(source, step, out, FILE, _NOTE)


def _dynamic(tensors: int) -> tuple[Any, ...]:
    """Every size that may vary, with the least it can be: unnamed (`Dim.AUTO`) they would all be at least 2."""
    from torch.export import Dim

    batch, length, total = Dim("batch", min=1), Dim("length", min=1), Dim("total", min=1)
    past, kept = Dim("past", min=0), Dim("kept", min=1)
    return (
        {0: batch, 1: length},
        {0: batch, 1: total},
        {0: batch, 1: length},
        {0: kept},
        tuple({0: batch, 2: past} for _ in range(tensors)),
    )
