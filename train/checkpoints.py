"""Which checkpoints count: one is whole when its marker, written last, is there."""

from __future__ import annotations

import shutil
from pathlib import Path

COMPLETE = "complete"
"""Marker written last into a checkpoint: one without it was cut off while it was saved."""


def last_checkpoint(work: Path) -> str | None:
    """The newest checkpoint that was saved whole, or None."""
    whole = [path for path in work.glob("checkpoint-*") if (path / COMPLETE).is_file()]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def steps_done(work: Path) -> int:
    """Steps that an earlier run has left a whole checkpoint of."""
    found = last_checkpoint(work)
    return int(found.rpartition("-")[2]) if found else 0


def sweep(work: Path) -> None:
    """Remove what was cut off: it only takes room."""
    for path in work.glob("checkpoint-*"):
        if not (path / COMPLETE).is_file():
            shutil.rmtree(path, ignore_errors=True)
