"""The votes' tables, where a URL leads, and what a database's errors mean. Imported by `votes_sql` alone."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import exc

from truemark.errors import InvalidData, StorageError, TruemarkError

SCHEMA_VERSION = 1
METADATA = sa.MetaData()
STORE = sa.Table(
    "truemark_vote_store",
    METADATA,
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
)
ITEMS = sa.Table(
    "truemark_vote_items",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("domain", sa.Text, nullable=False, index=True),
    sa.Column("example", sa.Text),
    sa.Column("prompt", sa.JSON, nullable=False),
    sa.Column("a", sa.JSON, nullable=False),
    sa.Column("b", sa.JSON, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
)
VOTES = sa.Table(
    "truemark_votes",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("item", sa.String(64), sa.ForeignKey(ITEMS.c.id), nullable=False),
    sa.Column("annotator", sa.Text, nullable=False, index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("choice", sa.String(3), sa.CheckConstraint("choice IN ('a', 'b', 'tie')"), nullable=False),
    sa.Column("shown_left", sa.String(1), sa.CheckConstraint("shown_left IN ('a', 'b')"), nullable=False),
    sa.Column("rating_a", sa.Integer, sa.CheckConstraint("rating_a BETWEEN 1 AND 5")),
    sa.Column("rating_b", sa.Integer, sa.CheckConstraint("rating_b BETWEEN 1 AND 5")),
    sa.Column("created", sa.Text, nullable=False),
    sa.UniqueConstraint("item", "annotator", "revision"),
)


def parse(url: str) -> sa.URL:
    """The URL for SQLAlchemy; a path is a SQLite file. Raises InvalidData for a place where no votes can be kept."""
    if "://" not in url:
        return sa.URL.create("sqlite", database=url)
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        raise InvalidData("expected --store FILE or postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE") from None
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgresql", "postgres") and parsed.database:
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite")
    raise InvalidData(
        f"votes cannot be kept at {parsed.render_as_string(hide_password=True)}: expected a file, sqlite:///FILE or postgresql://…",
    )


def create_tables(connection: sa.Connection, seed: int | None) -> None:
    """All tables or none; another process may have made them since."""
    if connection.dialect.name == "postgresql":  # two that make the same table at once: one would fail at the catalogue
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('truemark_vote_store'))")
    if STORE.name in sa.inspect(connection).get_table_names():
        return
    METADATA.create_all(connection)
    drawn = secrets.randbits(62) if seed is None else seed
    connection.execute(sa.insert(STORE), {"version": SCHEMA_VERSION, "seed": drawn, "created": now()})


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def locked(error: exc.DBAPIError) -> bool:
    """Whether SQLite says that another writer is at work."""
    return isinstance(error.orig, sqlite3.OperationalError) and any(
        word in str(error.orig) for word in ("locked", "busy")
    )


@contextlib.contextmanager
def saying(name: str | None) -> Iterator[None]:
    """A database's errors as ours, without its URL's password and without SQL."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _said(str(name), error) from None
    except OSError as error:
        raise StorageError(f"cannot make {name}: {error.strerror}", mend="name another --store") from None


def _said(name: str, error: exc.DBAPIError) -> TruemarkError:
    what = " ".join(str(error.orig).split())[:200]
    if locked(error):
        return StorageError(
            f"{name} is locked: another process has been writing it for too long",
            mend="wait for it to end, then run the same command",
        )
    if "full" in what and isinstance(error.orig, sqlite3.Error):
        return StorageError(f"no space left while writing {name}", mend="df -h")
    if isinstance(error.orig, sqlite3.OperationalError) and ("unable to open" in what or "readonly" in what):
        return StorageError(f"cannot write {name}: {what}", mend="name another --store")
    if isinstance(error.orig, sqlite3.DatabaseError) and ("not a database" in what or "malformed" in what):
        return InvalidData(
            f"{name} is no SQLite database, or a damaged one: {what}",
            mend=f"sqlite3 {name} .recover | sqlite3 mended.sqlite   (or name another --store)",
        )
    if isinstance(error, exc.OperationalError):
        return StorageError(f"no answer from {name}: {what}", mend="is the server up, and may this user write there?")
    return StorageError(f"{name} refused: {what}", mend="may this user make and write tables there?")
