"""Tokenizer and end tokens from the files beside an export, with `tokenizers` alone: no transformers, no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from truemark import chat
from truemark.errors import InvalidArtifact, MissingDependency


class FileTokenizer:
    """What `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and `generation_config.json` in a directory say."""

    def __init__(self, directory: Path) -> None:
        """Raises InvalidArtifact when a file is missing or broken, MissingDependency without `tokenizers`."""
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingDependency.extra("tokenizers", "train") from None
        file = directory / "tokenizer.json"
        if not file.is_file():
            raise InvalidArtifact(f"{directory} has no tokenizer.json", mend="export it again")
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # noqa: BLE001 - the library raises plain Exception
            raise InvalidArtifact(f"{file} is not a tokenizer: {str(error)[:200]}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.template = chat.read_template(directory)
        special = chat.special_tokens(directory)
        self.bos_token, self.eos_token = special.get("bos_token", ""), special.get("eos_token", "")
        self.generation = _read(directory / "generation_config.json")
        self.eos = self._end_tokens(directory)

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text: special tokens are parsed, none is added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def vocabulary(self) -> list[str]:
        """The token pieces by id."""
        size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        return [str(self._tokenizer.id_to_token(index)) for index in range(size)]

    def _end_tokens(self, directory: Path) -> frozenset[int]:
        configured = (self.generation or _read(directory / "config.json")).get("eos_token_id")
        many = configured if isinstance(configured, list) else [configured]
        own = self._tokenizer.token_to_id(self.eos_token) if self.eos_token else None
        found = frozenset(int(token) for token in (*many, own) if token is not None)
        if not found:
            raise InvalidArtifact(f"{directory} names no end tokens", mend="export it again")
        return found


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArtifact(f"{file} is not JSON: {error}") from None
    if not isinstance(loaded, dict):
        raise InvalidArtifact(f"{file}: expected an object")
    return loaded
