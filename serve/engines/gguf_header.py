"""The few numbers of a GGUF file's header that tell how large its key/value cache is.

`gguf.GGUFReader` reads the whole vocabulary into Python objects first, seconds before each start of a server.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from truemark.errors import ModelNotFound

_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST = 1 << 20
"""Bytes of a string, and elements of an array, that are believed."""


def read(path: Path) -> dict[str, Any]:
    """Keys and values up to the vocabulary, which comes last. Raises ModelNotFound for what is not such a file."""
    found: dict[str, Any] = {}
    try:
        with path.open("rb") as file:
            magic, _, _, keys = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF":
                raise ModelNotFound(f"{path} is not a GGUF file")
            for _ in range(min(keys, _MOST)):
                key = _string(file)
                if key.startswith("tokenizer."):
                    break
                found[key] = _value(file, *struct.unpack("<I", file.read(4)))
    except (struct.error, KeyError, UnicodeDecodeError, OSError, MemoryError):
        raise ModelNotFound(f"{path} is not a whole GGUF file") from None
    return found


def kv_bytes_per_token(path: Path) -> int:
    """Bytes of keys and values in half precision for one token, over all layers; 0 where the header does not tell."""
    header = read(path)
    kind = header.get("general.architecture")

    def number(key: str, otherwise: int) -> int:
        value = header.get(f"{kind}.{key}", otherwise)
        return max(map(count, value), default=0) if isinstance(value, list) else count(value)

    def count(value: Any) -> int:
        return value if isinstance(value, int) and 0 <= value < _MOST else 0

    layers, heads = number("block_count", 0), number("attention.head_count", 1)
    kv_heads = header.get(f"{kind}.attention.head_count_kv", heads)  # one number, or one per layer
    width = number("embedding_length", 0) // max(heads, 1)
    row = number("attention.key_length", width) + number("attention.value_length", width)
    return (sum(map(count, kv_heads)) if isinstance(kv_heads, list) else count(kv_heads) * layers) * row * 2


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MOST:
        raise KeyError(length)
    data = file.read(length)
    if len(data) < length:
        raise KeyError(length)
    return data.decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        of, length = struct.unpack("<IQ", file.read(12))
        if length > _MOST or of == _ARRAY:
            raise KeyError(length)
        return [_value(file, of) for _ in range(length)]
    format = "<" + _FORMATS[kind]
    return struct.unpack(format, file.read(struct.calcsize(format)))[0]
