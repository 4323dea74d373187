"""WordNet 3.0 (Fellbaum 1998) for METEOR, from a directory on this machine, read by NLTK.

Looked for in this order: `TRUEMARK_WORDNET`, NLTK's own data directories, Debian's package wordnet-base.
"""

from __future__ import annotations

import os
import shutil
import warnings
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from truemark.errors import MissingDependency
from truemark.files import publish_directory, sha256_json
from truemark.settings import cache_dir

DEBIAN = Path("/usr/share/wordnet")
FILES = (
    *(f"{kind}.{part}" for kind in ("index", "data") for part in ("noun", "verb", "adj", "adv")),
    *(f"{part}.exc" for part in ("noun", "verb", "adj", "adv")),
)
"""What NLTK's reader opens and METEOR uses."""
MEND = (
    "apt install wordnet-base   (or: python -m nltk.downloader wordnet; or: TRUEMARK_WORDNET=DIRECTORY with data.noun)"
)


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
    from nltk import data

    return [Path(place) / "corpora" / "wordnet" for place in data.path]


@lru_cache(8)
def open_reader(source: Path) -> Any:
    """NLTK's reader of the dictionary in `source`. Raises MissingDependency for a directory that lacks a file."""
    from nltk import data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    if missing := [name for name in FILES if not (source / name).is_file() and not name.endswith(".exc")]:
        raise MissingDependency(f"{source} is not a whole WordNet: it lacks {', '.join(missing)}", mend=MEND)
    place = _as_nltk_has_it(source)
    if str(place.parents[1]) not in data.path:
        data.path.append(str(place.parents[1]))  # NLTK opens nothing outside its data path
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that it is English alone
        return WordNetCorpusReader(data.FileSystemPathPointer(str(place)), None)


def _as_nltk_has_it(source: Path) -> Path:
    """`DATA/corpora/wordnet`: the directory itself, or a copy in the cache with what Debian's package leaves out.

    That is the names of lexicographers and the index by sense: METEOR uses neither, but the reader opens them.
    """
    if source.parts[-2:] == ("corpora", "wordnet") and (source / "lexnames").is_file():
        return source
    sizes = {name: (source / name).stat().st_size for name in FILES if (source / name).is_file()}
    out = cache_dir() / f"wordnet-{sha256_json(sizes)[:12]}"
    place = out / "corpora" / "wordnet"
    if not place.is_dir():
        with publish_directory(out) as tmp:
            copy = tmp / "corpora" / "wordnet"
            copy.mkdir(parents=True)
            for name in FILES:
                shutil.copyfile(source / name, copy / name) if name in sizes else (copy / name).touch()
            (copy / "index.sense").touch()
            (copy / "lexnames").write_text("".join(f"{n:02}\tunnamed.{n}\t1\n" for n in range(45)))
    return place


@lru_cache(2**16)
def synonyms(source: Path, word: str) -> frozenset[str]:
    """Names of one word in the synsets of `word`, by NLTK's lookup (its inflections too), and the word itself."""
    lemmas = chain.from_iterable(synset.lemmas() for synset in open_reader(source).synsets(word))
    return frozenset(lemma.name() for lemma in lemmas if "_" not in lemma.name()) | {word}
