"""The device, the number type and the process settings that torch work here runs with, measured rather than assumed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from truemark.settings import threads

if TYPE_CHECKING:
    import torch


def prepare() -> None:
    """Pin torch's threads and keep freed memory in the process. Safe to call twice.

    Giving large buffers back to the kernel and faulting them in again each step cost a third of the time of a training
    step on a virtual machine (see train/README.md).
    """
    import torch

    torch.set_num_threads(threads())
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX of malloc.h
            libc.mallopt(-1, 2**31 - 1)
            libc.mallopt(-2, 256 << 20)
            libc.mallopt(-4, 0)


def device() -> str:
    """`cuda`, `mps` or `cpu`: the first that is here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def training_dtype(device: str) -> torch.dtype:
    """bf16 where the hardware multiplies it, else fp32: without such instructions a CPU emulates bf16 80 times slower than fp32."""
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device == "mps":
        return torch.float16
    return torch.bfloat16 if {"avx512_bf16", "amx_bf16", "bf16"} & _cpu_flags() else torch.float32


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.lower().startswith(("flags", "features"))), "").split())
