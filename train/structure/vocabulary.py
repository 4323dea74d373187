"""Text ↔ tokens for a model from scratch: a token is a digit, a sign or a word of the training file, each with the space before it.

Not SmolLM2's tokens cut down to those that occur: byte-pair merges such as `)(` or `^2` straddle places in an expression, so that
one token would have two roles. Words that the training file lacks (of wordings that were never trained on) are spelled in letters.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from truemark.errors import InvalidArtifact

FILE = "vocabulary.json"
SPECIAL = ("<pad>", "<question>", "<answer>", "<end>", "<unknown>")
PAD, QUESTION, ANSWER, END, UNKNOWN = range(len(SPECIAL))
MAX_WORDS = 4000
_PIECE = re.compile(r" ?(?:[A-Za-z]+|\d|->|<=|>=|[^\sA-Za-z\d])|\s")
_LETTERS = string.ascii_letters + string.digits + string.punctuation
_ALWAYS = [*SPECIAL, "\n", " ", *_LETTERS, *(f" {letter}" for letter in _LETTERS), *(f"{space}{sign}" for sign in ("->", "<=", ">=") for space in ("", " "))]  # fmt: skip


class Vocabulary:
    """The tokens in order; an index is a token's id."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        self.ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """All single characters of ASCII, and the words that occur twice or more, the most frequent ones first."""
        counts = Counter(piece for text in texts for _, piece in _split(text) if len(piece.strip()) > 1)
        words = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
        return cls([*_ALWAYS, *(word for word in words if word not in set(_ALWAYS))][: len(_ALWAYS) + MAX_WORDS])

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """From a directory. Raises InvalidArtifact for a file that is not a list of tokens that begins with the special ones."""
        try:
            tokens = json.loads((path / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidArtifact(f"{path / FILE} is not a list of tokens: {error}", mend="train it again") from None
        if not isinstance(tokens, list) or tokens[: len(_ALWAYS)] != _ALWAYS or len(set(map(str, tokens))) < len(tokens):  # fmt: skip
            raise InvalidArtifact(f"{path / FILE} is not a list of tokens", mend="train it again")
        return cls(tokens)

    def pieces(self, text: str) -> list[tuple[int, str]]:
        """The text cut into tokens of this vocabulary, each with where it begins; their concatenation is the text."""
        found: list[tuple[int, str]] = []
        for start, piece in _split(text):
            if piece in self.ids:
                found.append((start, piece))
            else:
                space = piece.startswith(" ") and len(piece) > 1
                head = piece[:2] if space else piece[:1]
                found.append((start, head))
                found += [(start + len(head) + offset, letter) for offset, letter in enumerate(piece[len(head) :])]
        return found

    def encode(self, pieces: Iterable[str]) -> list[int]:
        """Ids of pieces; UNKNOWN for a character that is none of ASCII."""
        return [self.ids.get(piece, UNKNOWN) for piece in pieces]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special ones left out."""
        return "".join(self.tokens[index] for index in ids if index >= len(SPECIAL))


def _split(text: str) -> Iterable[tuple[int, str]]:
    return ((match.start(), match[0]) for match in _PIECE.finditer(text))
