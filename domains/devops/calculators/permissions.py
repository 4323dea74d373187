"""Permission bits of files (POSIX.1-2017, chmod and umask)."""

from __future__ import annotations

import re
from typing import Any

from domains.devops.expressions import ExpressionError

_SYMBOLIC = re.compile("[r-][w-][x-][r-][w-][x-][r-][w-][x-]")


def symbolic(bits: int) -> str:
    """`0o640` → `rw-r-----`. The nine permission bits."""
    return "".join(letter if bits >> (8 - place) & 1 else "-" for place, letter in enumerate("rwx" * 3))


def bits_of(text: str) -> int:
    """The nine bits of `640`, `0640` or `rw-r-----`."""
    if _SYMBOLIC.fullmatch(text):
        return sum(1 << (8 - place) for place, letter in enumerate(text) if letter != "-")
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ExpressionError(f"{text[:20]!r} is no permission mode")
    return int(text, 8)


def mode_symbolic(mode: str) -> dict[str, Any]:
    """Octal → `rwx` letters, and those of each class."""
    text = symbolic(bits_of(mode))
    return {"text": text, "user": text[:3], "group": text[3:6], "other": text[6:]}


def mode_octal(mode: str) -> dict[str, Any]:
    """`rwx` letters → octal, and the sum of each class."""
    bits = bits_of(mode)
    sums = [" + ".join(str(value) for value in (4, 2, 1) if part & value) or "0" for part in _classes(bits)]
    return {"octal": f"{bits:04o}", "user": sums[0], "group": sums[1], "other": sums[2]}


def _classes(bits: int) -> tuple[int, int, int]:
    return bits >> 6 & 7, bits >> 3 & 7, bits & 7


def umask(mask: str) -> dict[str, Any]:
    """The modes that new files (from 666) and directories (from 777) get."""
    bits = bits_of(mask)
    return {"file": f"{0o666 & ~bits:04o}", "directory": f"{0o777 & ~bits:04o}"}
