"""API keys and the file that holds them: one row a key, the key itself never in it.

A key is `tm-ID-SECRET`. ID (48 bits, public) names its row; the row holds the SHA-256 of the whole key. SECRET has 256
random bits, so a plain hash is right: a slow one guards words that people choose, and would let strangers burn our CPU.

    key, text = create(path, "alice", scopes=("inference",))     # `text` is shown once and kept nowhere
    ring = KeyRing(path)                                         # in the server: reads the file again when it changes
    ring.find(text)                                              # the Key, or None
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from truemark.errors import InvalidConfig, StorageError, TruemarkError, UnknownName
from truemark.files import storage_errors, write_text

log = logging.getLogger("truemark.serve")
Scope = Literal["inference", "metrics", "admin"]
"""inference: /v1. metrics: /metrics. admin: loading and unloading adapters. None contains another."""
SCOPES: tuple[str, ...] = get_args(Scope)
_KEY = re.compile(r"tm-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")
_NOBODY = "0" * 64
"""Compared with where no row has the id, so that an unknown id takes as long as a wrong secret."""
MAX_FILE = 4 << 20
"""Bytes; a row is about 300."""


def _distinct(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    if len(set(scopes)) != len(scopes):
        raise ValueError("a scope is there twice")
    return scopes


class Key(BaseModel):
    """A row of the file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    """For people and the log; no two keys share one."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1), AfterValidator(_distinct)]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    requests_per_minute: int | None = Field(default=None, ge=1, le=10**9)
    """None, here and below: no limit."""
    tokens_per_minute: int | None = Field(default=None, ge=1, le=10**12)
    """Prompt and answer together."""
    concurrent: int | None = Field(default=None, ge=1, le=10**6)
    """Requests at once."""

    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _one_each(self) -> _File:
        for what in ("id", "name"):
            values = [getattr(key, what) for key in self.keys]
            if len(set(values)) != len(values):
                raise ValueError(f"two keys have the same {what}")
        return self


def default_file() -> Path:
    """Where `truemark keys` writes unless told: `TRUEMARK_KEYS`, else keys.json in the user's configuration directory."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(os.environ.get("TRUEMARK_KEYS") or home / "truemark" / "keys.json")


def read(path: Path) -> tuple[Key, ...]:
    """The keys in a file. Raises InvalidConfig: none there, not such a file, or one that others could write."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise InvalidConfig(f"{path} is not a regular file", mend="truemark keys create NAME")
            if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise InvalidConfig(
                    f"{path} can be written by others (mode {stat.S_IMODE(about.st_mode):04o}): whoever writes it, lets "
                    "himself in",
                    mend=f"chmod 600 {path}",
                )
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidConfig(
            f"cannot read the keys in {path}: {error.strerror}", mend=f"truemark keys create NAME --file {path}"
        ) from None
    if len(data) > MAX_FILE:
        raise InvalidConfig(f"{path} is larger than {MAX_FILE} bytes: no keys file of ours")
    try:
        return _File.model_validate_json(data).keys
    except ValidationError as error:  # never with the input: it may hold a key pasted by mistake
        rows = error.errors(include_input=False, include_url=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, row['loc'])) or 'file'}: {row['msg']}" for row in rows[:5])
        raise InvalidConfig(
            f"{path} is no keys file: {said}", mend=f"truemark keys create NAME --file {path}"
        ) from None


def create(
    path: Path,
    name: str,
    *,
    scopes: Sequence[str] = ("inference",),
    expires: datetime | None = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    concurrent: int | None = None,
) -> tuple[Key, str]:
    """Add a key to a file, which is made where there is none: its row, and the key itself, which is kept nowhere.

    Raises TruemarkError for a bad or taken name, UnknownName for a scope, InvalidConfig, StorageError.
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise UnknownName("scope", scope, SCOPES)
    with _changing(path) as rows:
        ident = secrets.token_hex(6)
        text = f"tm-{ident}-{secrets.token_urlsafe(32)}"
        if any(row.name == name for row in rows):
            raise TruemarkError(f"a key named '{name}' exists", mend=f"truemark keys revoke {name}")
        row = {
            "id": ident,
            "name": name,
            "sha256": _hash(text),
            "scopes": tuple(dict.fromkeys(scopes)),
            "created": datetime.now(UTC).replace(microsecond=0),
            "expires": expires,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "concurrent": concurrent,
        }
        try:
            key = Key.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            raise TruemarkError(
                f"a key's {'.'.join(map(str, first['loc']))}: {first['msg']}; a name has letters, digits and . _ @ -",
                mend="truemark keys create alice",
            ) from None
        rows.append(key)
    return key, text


def revoke(path: Path, which: str) -> Key:
    """Take a key, by name or id, out of a file. A running server refuses it from the next request on."""
    with _changing(path) as rows:
        for row in rows:
            if which in (row.name, row.id):
                rows.remove(row)
                return row
        raise UnknownName("key", which, [row.name for row in rows], mend="truemark keys list")


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The rows of a file, written back whole and with mode 0600 when the block ends well. One process at a time."""
    if path.is_symlink():  # replacing it would leave the file it points to, and its keys, as they were
        raise StorageError(f"{path} is a symbolic link: it is read, not written", mend=f"--file {path.resolve()}")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = list(read(path)) if path.exists() else []
        yield rows
        text = _File(keys=tuple(rows)).model_dump_json(indent=2) + "\n"
        write_text(path, text, mode=0o600)
    finally:
        os.close(lock)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class KeyRing:
    """The keys of a file while a server runs. A changed file counts from the next request on.

    A file that is gone lets nobody in. One that cannot be read as keys (a slip of an editor) is told in the log, and the
    last good keys stay: `truemark keys` itself never leaves such a file.
    """

    def __init__(self, path: Path) -> None:
        """Raises InvalidConfig as `read` does."""
        self.path = path
        self._seen = self._signature()
        self._rows: Mapping[str, Key] = {key.id: key for key in read(path)}

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, text: str) -> Key | None:
        """The valid key that `text` is."""
        self._refresh()
        match = _KEY.fullmatch(text)
        row = self._rows.get(match[1]) if match else None
        same = hmac.compare_digest(_hash(text) if match else _NOBODY, row.sha256 if row else _NOBODY)
        return row if row is not None and same and not row.expired() else None

    def ids(self) -> frozenset[str]:
        """Ids of the keys in the file as last read."""
        return frozenset(self._rows)

    def _signature(self) -> tuple[int, int, int, int] | None:
        try:
            about = self.path.stat()
        except OSError:
            return None
        return about.st_ino, about.st_mtime_ns, about.st_size, about.st_mode

    def _refresh(self) -> None:
        now = self._signature()
        if now == self._seen:
            return
        self._seen = now
        if now is None:
            self._rows = {}
            log.error("%s is gone: every key is refused", self.path)
            return
        try:
            self._rows = {key.id: key for key in read(self.path)}
        except InvalidConfig as error:
            log.error("the keys stay as they were: %s", error.message)
        else:
            log.info("%d key(s) read again from %s", len(self._rows), self.path.name)
