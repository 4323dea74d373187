"""NLTK's reader of a WordNet in a directory, also of Debian's, which lacks two files that the reader opens. What our METEOR is compared with."""

from __future__ import annotations

import shutil
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalsuite.metrics.wordnet import FILES
from truemark.files import publish_directory, sha256_json
from truemark.settings import cache_dir


@lru_cache(8)
def open_reader(source: Path) -> Any:
    """NLTK's reader of the dictionary in `source`."""
    from nltk import data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

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
