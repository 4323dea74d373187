"""Lines of a streamed answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx


async def lines(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The lines of a body as they arrive, split at LF alone: `aiter_lines` splits at U+2028, U+0085 and more as well, which
    llama-server writes unescaped within its JSON."""
    rest = b""
    async for part in answer.aiter_bytes():
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest
