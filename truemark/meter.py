"""How much memory a process has used at most: on a GPU what torch reserved there, else what the kernel counts as resident."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def now(device: str) -> int:
    """Bytes at present; 0 where nothing tells."""
    if device == "cuda":
        import torch

        return int(torch.cuda.memory_reserved())
    return _field("VmRSS") if STATUS.exists() else _most()


def reset(device: str) -> None:
    """Forget the peak so far, where the system can."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # Linux: VmHWM starts again from what is resident (man 5 proc)
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: str) -> int:
    """Bytes at most since `reset`; since the process began where the system cannot reset. 0 where nothing tells."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_reserved())
    if device == "mps":
        import torch

        return int(torch.mps.driver_allocated_memory())
    return _field("VmHWM") if STATUS.exists() else _most()


def _field(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _most() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
