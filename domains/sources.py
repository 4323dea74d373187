"""Rows of a public set, from a hub or from files a user has: what the loaders of the domains read.

hf:OWNER/NAME[@REVISION][:CONFIG]     through `datasets`, streamed
a file                                .jsonl .json .csv .parquet, each also with .gz but the last
a directory                           the files whose names begin with the split (`train.jsonl`, `train-00000-of-00002.parquet`)
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from truemark.errors import InvalidData, MissingDependency

ENDINGS = (".jsonl", ".json", ".csv", ".parquet")
MAX_FIELD = 1 << 24
"""Characters in one field of a CSV file."""
_HUB = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?::(?P<config>[\w.-]+))?")


def rows(source: str, columns: Sequence[str], *, split: str = "train") -> Iterator[dict[str, Any]]:
    """The rows of `split`, each of which has at least `columns`. Raises InvalidData naming the row and what it lacks."""
    where, found = _hub(source, split) if source.startswith("hf:") else _files(Path(source), split)
    number = 0
    for number, row in enumerate(found, 1):
        missing = [name for name in columns if not isinstance(row, dict) or name not in row]
        if missing:
            has = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
            raise InvalidData(f"{where}, row {number}: expected {', '.join(columns)}; {', '.join(missing)} is missing, found {has[:200]}")  # fmt: skip
        yield row
    if not number:
        raise InvalidData(f"{where} has no rows")


def _hub(source: str, split: str) -> tuple[str, Iterator[Any]]:
    match = _HUB.fullmatch(source)
    if match is None:
        raise InvalidData(f"expected hf:OWNER/NAME[@REVISION][:CONFIG], found {source!r}")
    try:
        import datasets
    except ImportError:
        raise MissingDependency.extra("datasets", "train") from None
    try:
        opened = datasets.load_dataset(
            match["name"], match["config"], revision=match["revision"], split=split, streaming=True
        )
    except (OSError, ValueError, RuntimeError) as error:  # no network, no such set, no such split, gated
        raise InvalidData(
            f"{source} ({split}) cannot be read: {str(error).strip()[:200]}",
            mend="download its files, then give their directory instead",
        ) from None
    return f"{source} ({split})", iter(opened)


def _files(path: Path, split: str) -> tuple[str, Iterator[Any]]:
    if not path.exists():
        raise InvalidData(f"no file or directory {path}", mend="give a file, a directory or hf:OWNER/NAME")
    if not path.is_dir():
        return str(path), _rows(path)
    found = sorted(
        file for file in path.iterdir() if re.match(rf"{re.escape(split)}(?![A-Za-z0-9])", file.name) and _ending(file)
    )
    if not found:
        raise InvalidData(f"{path} has no file of the split '{split}': expected {split}{{{','.join(ENDINGS)}}}")
    return f"{path} ({split})", (row for file in found for row in _rows(file))


def _ending(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    return next((ending for ending in ENDINGS if name.endswith(ending)), None)


def _rows(path: Path) -> Iterator[Any]:
    ending = _ending(path)
    if ending is None:
        raise InvalidData(f"{path}: expected a file that ends in {', '.join(ENDINGS)}")
    if ending == ".parquet":
        yield from _parquet(path)
        return
    try:
        with _open(path) as file:
            if ending == ".jsonl":
                yield from _lines(path, file)
            elif ending == ".json":
                yield from _array(path, file)
            else:
                csv.field_size_limit(MAX_FIELD)
                yield from csv.DictReader(file)
    except (UnicodeDecodeError, csv.Error, EOFError, OSError) as error:  # BadGzipFile is an OSError
        raise InvalidData(f"{path} cannot be read as {ending} in UTF-8: {error}") from None


def _open(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _lines(path: Path, file: TextIO) -> Iterator[Any]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidData(f"{path}, line {number}: not JSON: {str(error)[:100]}") from None


def _array(path: Path, file: TextIO) -> Iterator[Any]:
    try:
        value = json.load(file)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{path}: not JSON: {str(error)[:100]}") from None
    if not isinstance(value, list):
        raise InvalidData(f"{path}: expected a list of rows, found {type(value).__name__}")
    yield from value


def _parquet(path: Path) -> Iterator[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingDependency.extra("pyarrow", "train") from None
    try:
        for batch in parquet.ParquetFile(path).iter_batches(256):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidData(f"{path} cannot be read as .parquet: {str(error)[:100]}") from None
