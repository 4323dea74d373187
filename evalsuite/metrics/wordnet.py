"""WordNet 3.0 (Fellbaum 1998) for METEOR, from a directory on this machine.

Looked for in this order: `TRUEMARK_WORDNET`, NLTK's own data directories, Debian's package wordnet-base.

METEOR asks one thing of it: the names that share a synset with a word. NLTK's reader takes two seconds to open and a millisecond a word, as it
makes an object of every sense with all its relations; here the files of wndb(5WN) are looked up for the names alone. A test holds the two together.
"""

from __future__ import annotations

import mmap
import os
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from truemark.errors import MissingDependency

DEBIAN = Path("/usr/share/wordnet")
PARTS = ("noun", "verb", "adj", "adv")
FILES = tuple(f"{kind}.{part}" for kind in ("index", "data") for part in PARTS) + tuple(f"{part}.exc" for part in PARTS)
MEND = (
    "apt install wordnet-base   (or: python -m nltk.downloader wordnet; or: TRUEMARK_WORDNET=DIRECTORY with data.noun)"
)
ENDINGS = {
    "noun": (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
    "verb": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip
"""Rules of detachment: https://wordnet.princeton.edu/documentation/morphy7wn, with NLTK's `ves`."""
_MARKER = re.compile(rb"\([^()]*\)$")
"""Where an adjective may stand: `ready(p)`."""


def directory() -> Path:
    """The first directory with a dictionary. Raises MissingDependency that says where it looked."""
    wanted = os.environ.get("TRUEMARK_WORDNET")
    places = [Path(wanted)] if wanted else [*_nltk_places(), DEBIAN]
    for place in places:
        if (place / "data.noun").is_file():
            return place
    raise MissingDependency(
        f"WordNet is not installed: METEOR expects a directory with data.noun, looked in {', '.join(map(str, places))}",
        mend=MEND,
    )


def _nltk_places() -> list[Path]:
    if find_spec("nltk") is None:
        return []
    from nltk import data

    return [Path(place) / "corpora" / "wordnet" for place in data.path]


class Dictionary:
    """The files of one directory: indexes and exceptions in memory (some 40 MB), synsets where they lie on disk."""

    def __init__(self, source: Path) -> None:
        """Raises MissingDependency for a directory that lacks a file."""
        if missing := [name for name in FILES if not (source / name).is_file() and not name.endswith(".exc")]:
            raise MissingDependency(f"{source} is not a whole WordNet: it lacks {', '.join(missing)}", mend=MEND)
        self.index = {part: _first_words(source / f"index.{part}") for part in PARTS}
        self.exceptions = {part: _first_words(source / f"{part}.exc") for part in PARTS}
        self.data: dict[str, mmap.mmap] = {}
        for part in PARTS:
            with (source / f"data.{part}").open("rb") as stream:
                self.data[part] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    def names(self, word: str) -> set[str]:
        """Names of one word in all synsets of `word` and of what it may be a form of."""
        found: set[bytes] = set()
        for part in PARTS:
            for form in self._forms(word, part):
                entry = self.index[part].get(form)
                if form and entry is not None:
                    fields = entry.split()
                    for offset in fields[-int(fields[1]) :]:
                        found |= self._synset(part, int(offset))
        return {name.decode() for name in found}

    def _forms(self, word: str, part: str) -> list[bytes]:
        raw = word.encode()
        if raw in self.exceptions[part]:
            return [raw, *self.exceptions[part][raw].split()]
        return [raw, *((word[: -len(old)] + new).encode() for old, new in ENDINGS[part] if word.endswith(old))]

    def _synset(self, part: str, offset: int) -> set[bytes]:
        """Names of one word: of `offset lexicographer type count name id name id …`, all but the names of fixed width."""
        data = self.data[part]
        count = int(data[offset + 14 : offset + 16], 16)
        fields = data[offset + 17 : data.find(b"\n", offset)].split(b" ", 2 * count)
        return {_MARKER.sub(b"", name) for name in fields[0 : 2 * count : 2] if b"_" not in name}


def _first_words(path: Path) -> dict[bytes, bytes]:
    """First word of each line → the rest."""
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    return {line[:end]: line[end:] for line in lines if (end := line.find(b" ")) > 0}


@lru_cache(4)
def read(source: Path) -> Dictionary:
    """The dictionary in `source`, read once."""
    return Dictionary(source)


@lru_cache(2**16)
def synonyms(source: Path, word: str) -> frozenset[str]:
    """Names of one word in the synsets of `word`, its base forms included, and the word itself."""
    return frozenset(read(source).names(word.lower()) | {word})
