"""Writing so that a reader never sees half of anything: temporary sibling, fsync, rename.

with publish_directory(Path("runs/math")) as tmp:   # tmp is runs/.math.tmp-<pid>
    (tmp / "adapter.safetensors").write_bytes(...)
# here runs/math exists whole, or (after an exception or Ctrl-C) is what it was before
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truemark.errors import InvalidData, StorageError


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's write errors about `path` into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise StorageError(f"no space left while writing {path}", mend=f"df -h {_existing(path)}") from error
        nowhere = error.errno == errno.ENOENT and str(error.filename) in map(
            str, (path, *path.parents)
        )  # as under /proc
        if nowhere or error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            raise StorageError(f"cannot write {path}: {error.strerror}", mend="choose another --out") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            raise StorageError(
                f"cannot write {path}: a file is where a directory is expected, or the other way round",
                mend="choose another --out",
            ) from error
        raise


FULL = ("inline_container.cc", "os error 28", "os error 27", "os error 122", "No space left on device")
"""What torch.save and safetensors, whose errors carry no number, say of ENOSPC, EFBIG and EDQUOT."""


def is_full(error: BaseException) -> bool:
    """Whether a write failed for want of room."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return any(words in str(error) for words in FULL)


def _existing(path: Path) -> Path:
    return next((p for p in (path, *path.parents) if p.exists()), Path())


def require_room(path: Path, needed: int) -> None:
    """Raise StorageError, before any work, when the disk under `path` has fewer than `needed` bytes free."""
    where = _existing(path)
    free = shutil.disk_usage(where).free
    if free < needed:
        raise StorageError(
            f"no space left for {path.name}: it needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free",
            mend=f"df -h {where}",
        )


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value in its canonical form (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a whole text file atomically, making its parent directories; `mode` as with `open(2)`, less the umask."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tmp = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        try:
            with open(tmp, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            tmp.replace(path)
        finally:
            tmp.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically: two-space indent, keys in the order given, final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file. Raises InvalidData that names the first bad line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would also split at U+2028 inside a string
    except FileNotFoundError:
        raise InvalidData(f"no such file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"cannot read {path} as UTF-8 text: {error}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidData(
                f"{path}:{number}: expected one JSON object a line, found {line[:60]!r} ({error})"
            ) from None
        if not isinstance(row, dict):
            raise InvalidData(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
        rows.append(row)
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a JSONL file atomically, one object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


@contextlib.contextmanager
def publish_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; when the block ends well, fsync it and rename it to `path`.

    On any exception (KeyboardInterrupt too) the temporary directory is removed and `path` is left as it was.
    An existing `path` is replaced whole. Leftovers of processes that were killed are swept first.
    """
    named, path = path, path.absolute()
    tmp = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    old = path.with_name(f".{path.name}.old-{os.getpid()}")
    with storage_errors(named):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        tmp.mkdir()
    try:
        with storage_errors(named):
            yield tmp
            for file in sorted(tmp.rglob("*")):
                _fsync(file)
            if path.exists():
                path.rename(old)
            tmp.rename(path)
            _fsync(path.parent)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(tmp, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Bring back or remove what a killed process left beside `path`."""
    for left in path.parent.glob(f".{path.name}.*-*"):
        stem, _, pid = left.name.rpartition("-")
        if not pid.isdigit() or (int(pid) != os.getpid() and Path(f"/proc/{pid}").exists()):
            continue
        if stem.endswith(".old") and not path.exists():
            left.rename(path)
        else:
            shutil.rmtree(left, ignore_errors=True)
