"""Names found in a text by a walk over its words: the longest name at each word, in time linear in the text whatever the number of names."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+")
_GAP = 3
"""Characters that may stand between two words of a name."""


class Lexicon:
    """Names by their words; a plural s at the end of a name is no difference."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for name in names:
            tokens = tuple(_WORD.findall(name.casefold()))
            self._names.setdefault(tokens[0].removesuffix("s"), []).append((tokens, name))
        for group in self._names.values():
            group.sort(key=lambda entry: (-len(entry[0]), entry))

    def find(self, text: str) -> list[tuple[str, int, int]]:
        """(name, start, end) of each name in `text`, none inside another."""
        tokens = [(match[0].casefold(), match.start(), match.end()) for match in _WORD.finditer(text)]
        found, place = [], 0
        while place < len(tokens):
            hit = next(
                (
                    entry
                    for entry in self._names.get(tokens[place][0].removesuffix("s"), ())
                    if _stands(entry[0], tokens, place)
                ),
                None,
            )
            if hit is None:
                place += 1
                continue
            last = place + len(hit[0]) - 1
            found.append((hit[1], tokens[place][1], tokens[last][2]))
            place = last + 1
        return found


def _stands(name: tuple[str, ...], tokens: list[tuple[str, int, int]], place: int) -> bool:
    if place + len(name) > len(tokens):
        return False
    for offset, word in enumerate(name):
        token, start, _ = tokens[place + offset]
        if token != word and not (offset == len(name) - 1 and token.removesuffix("s") == word.removesuffix("s")):
            return False
        if offset and start - tokens[place + offset - 1][2] > _GAP:
            return False
    return True
