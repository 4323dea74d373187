"""The votes in a database, through SQLAlchemy. Imported by `votes.open_store` alone.

    truemark_vote_store    one row: schema version, seed of the sides
    truemark_vote_items    what is to be judged, by content
    truemark_votes         appended to, never changed: an annotator's second word on an item is a further row with the next revision

Answers and prompts are JSON: PostgreSQL holds no NUL in a text, and models write some.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from truemark.errors import InvalidData, MissingDependency, StorageError, TruemarkError
from truemark.votes import RATINGS, Answer, Choice, Item, Progress, Shown, Task, Vote, check_annotator, draw_left

SCHEMA_VERSION = 1
TRIES = 4
"""Of one write, when another writer was quicker."""
_METADATA = sa.MetaData()
STORE = sa.Table(
    "truemark_vote_store",
    _METADATA,
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
)
ITEMS = sa.Table(
    "truemark_vote_items",
    _METADATA,
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
    _METADATA,
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
T = TypeVar("T")


class Store:
    """An open store; made by `votes.open_store`. Safe for many threads and processes at once."""

    def __init__(self, url: str, *, create: bool, seed: int | None, timeout: float) -> None:
        self.url = _parse(url)
        self.timeout = timeout
        self.name = self.url.database if self._sqlite else self.url.render_as_string(hide_password=True)
        self._engine = self._open(create)
        try:
            self.seed = self._prepare(create, seed)
        except BaseException:
            self.close()
            raise

    @property
    def _sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def offer(self, items: Sequence[Item]) -> list[str]:
        """Put items up for judgement; their ids. One that is there already stays as it is, with its votes."""
        rows = {
            item.id: {
                "id": item.id,
                "domain": item.domain,
                "example": item.example,
                "prompt": list(item.prompt),
                "a": asdict(item.a),
                "b": asdict(item.b),
                "created": _now(),
            }
            for item in items
        }

        def insert(connection: sa.Connection) -> None:
            known = set[str]()
            wanted = list(rows)
            for start in range(0, len(wanted), 500):  # SQLite takes a limited number of parameters
                some = sa.select(ITEMS.c.id).where(ITEMS.c.id.in_(wanted[start : start + 500]))
                known |= set(connection.scalars(some))
            new = [row for id, row in rows.items() if id not in known]
            if new:
                connection.execute(sa.insert(ITEMS), new)

        self._write(insert)
        return [item.id for item in items]

    def queue(self, annotator: str, n: int, domain: str | None = None) -> list[Task]:
        """At most `n` items that `annotator` has not judged, those with the fewest annotators first, equals in a drawn order."""
        annotator = check_annotator(annotator)
        said = (
            sa.select(VOTES.c.item, sa.func.count(VOTES.c.annotator.distinct()).label("annotators"))
            .group_by(VOTES.c.item)
            .subquery()
        )
        own = sa.select(VOTES.c.item).where(VOTES.c.annotator == annotator)
        query = (
            sa.select(ITEMS.c.id, sa.func.coalesce(said.c.annotators, 0))
            .outerjoin(said, said.c.item == ITEMS.c.id)
            .where(ITEMS.c.id.not_in(own))
        )
        if domain is not None:
            query = query.where(ITEMS.c.domain == domain)
        with self._reading() as connection:
            found = connection.execute(query).all()
            # one order for all annotators: so the first items have their second judge soon
            draw = {id: random.Random(f"{self.seed}{id}").random() for id, _ in found}
            chosen = [id for id, _ in sorted(found, key=lambda row: (row[1], draw[row[0]]))[:n]]
            items = self._items(connection, ITEMS.c.id.in_(chosen))
        return [self._task(annotator, items[id]) for id in chosen]

    def task(self, annotator: str, item: str) -> Task:
        """One item as `annotator` sees it, judged or not. Raises InvalidData for an item that was never offered."""
        return self._task(check_annotator(annotator), self._item(item))

    def add(
        self,
        annotator: str,
        item: str,
        choice: Shown,
        *,
        rating_left: int | None = None,
        rating_right: int | None = None,
    ) -> Vote:
        """Keep a vote on a task: the better side or `tie`, and how good each side is from 1 to 5.

        The same vote again changes nothing; another one replaces it, and the old one stays in `history`. Raises InvalidData
        for an unknown item, choice or rating.
        """
        annotator = check_annotator(annotator)
        if choice not in ("left", "right", "tie"):
            raise InvalidData(f"expected a vote of left, right or tie, found {choice!r}")
        for rating in (rating_left, rating_right):
            if rating is not None and (type(rating) is not int or rating not in RATINGS):
                raise InvalidData(f"expected a rating from 1 to 5 or none, found {rating!r}")
        known = self._item(item)
        left = draw_left(self.seed, annotator, item)
        ratings = (rating_left, rating_right) if left == "a" else (rating_right, rating_left)
        vote = Vote(known, annotator, _unblind(choice, left), left, *ratings, created=_now())

        def insert(connection: sa.Connection) -> Vote:
            mine = (VOTES.c.item == item) & (VOTES.c.annotator == annotator)
            last = connection.execute(sa.select(VOTES).where(mine).order_by(VOTES.c.revision.desc()).limit(1)).first()
            if last is not None and (last.choice, last.rating_a, last.rating_b) == (vote.choice, *ratings):
                return _vote(last, known)
            row = {
                "item": item,
                "annotator": annotator,
                "revision": (last.revision if last else 0) + 1,
                "choice": vote.choice,
                "shown_left": left,
                "rating_a": vote.rating_a,
                "rating_b": vote.rating_b,
                "created": vote.created,
            }
            connection.execute(sa.insert(VOTES), row)
            return Vote(known, annotator, vote.choice, left, *ratings, vote.created, row["revision"])

        return self._write(insert)

    def votes(self, domain: str | None = None) -> list[Vote]:
        """Of each annotator and item the last word, in the order in which they were first said."""
        rows: dict[tuple[str, str], Vote] = {}
        for vote in self.history(domain):
            rows[vote.item.id, vote.annotator] = vote
        return list(rows.values())

    def history(self, domain: str | None = None) -> list[Vote]:
        """Every vote ever cast, the oldest first."""
        where = sa.true() if domain is None else ITEMS.c.domain == domain
        query = sa.select(VOTES).join(ITEMS, ITEMS.c.id == VOTES.c.item).where(where).order_by(VOTES.c.number)
        with self._reading() as connection:
            rows = connection.execute(query).all()
            items = self._items(connection, where)
        return [_vote(row, items[row.item]) for row in rows]

    def items(self, domain: str | None = None) -> list[Item]:
        """What has been put up for judgement."""
        with self._reading() as connection:
            return list(self._items(connection, sa.true() if domain is None else ITEMS.c.domain == domain).values())

    def progress(self) -> list[Progress]:
        """How far each domain is, by name."""
        with self._reading() as connection:
            items = connection.execute(sa.select(ITEMS.c.id, ITEMS.c.domain)).all()
            pairs = connection.execute(sa.select(VOTES.c.item, VOTES.c.annotator).distinct()).all()
        judges: dict[str, set[str]] = {id: set() for id, _ in items}
        for item, annotator in pairs:
            judges.setdefault(item, set()).add(annotator)
        found = []
        for domain in sorted({domain for _, domain in items}):
            own = [judges[id] for id, other in items if other == domain]
            counts = dict(sorted(Counter(map(len, own)).items()))
            found.append(Progress(domain, len(own), sum(map(len, own)), len(set[str]().union(*own)), counts))
        return found

    def close(self) -> None:
        """End the connections. Safe to call twice."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _task(self, annotator: str, item: Item) -> Task:
        left, right = item.a, item.b
        if draw_left(self.seed, annotator, item.id) == "b":
            left, right = right, left
        return Task(item.id, item.domain, item.prompt, left.text, right.text)

    def _item(self, id: str) -> Item:
        with self._reading() as connection:
            found = self._items(connection, ITEMS.c.id == id)
        if id not in found:
            raise InvalidData(f"{self.name} has no item {id[:12]!r} to vote on: it was never offered")
        return found[id]

    def _items(self, connection: sa.Connection, where: Any) -> dict[str, Item]:
        rows = connection.execute(sa.select(ITEMS).where(where).order_by(ITEMS.c.created, ITEMS.c.id))
        found = {}
        for row in rows:
            try:
                found[row.id] = Item(row.domain, row.prompt, Answer(**row.a), Answer(**row.b), row.example)
            except TypeError:
                raise InvalidData(f"{self.name}: item {row.id[:12]} holds no two answers: changed by hand?") from None
        return found

    def _open(self, create: bool) -> sa.Engine:
        if not self._sqlite:
            try:
                return sa.create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": int(self.timeout) or 1})  # fmt: skip
            except ModuleNotFoundError as error:
                raise MissingDependency.extra(error.name or "psycopg", "votes") from None
        path = Path(str(self.url.database))
        if not path.exists():
            if not create:
                raise InvalidData(f"no votes at {path}", mend="truemark demo   (its annotate page writes them)")
            with _saying(self.name):
                path.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(self.url, connect_args={"timeout": self.timeout})
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine

    def _prepare(self, create: bool, seed: int | None) -> int:
        """Make the tables where there are none, and read the seed. Raises InvalidData for a database that is no store."""
        with self._reading() as connection:
            tables = set(sa.inspect(connection).get_table_names())
        if STORE.name not in tables:
            if tables and self._sqlite:
                raise InvalidData(
                    f"{self.name} is a database of something else (tables {', '.join(sorted(tables)[:4])}), no store of votes",
                    mend="name another file with --store",
                )
            if not create:
                raise InvalidData(f"no votes in {self.name}", mend="truemark demo   (its annotate page writes them)")
            if self._sqlite:
                self._retried(self._use_wal)
            self._write(lambda connection: _create(connection, seed))
        with self._reading() as connection:
            [found] = connection.execute(sa.select(STORE.c.version)).all() or [(0,)]
            if found[0] != SCHEMA_VERSION:
                raise InvalidData(
                    f"{self.name} is a store of schema version {found[0]}, this Truemark reads version {SCHEMA_VERSION}",
                    mend="use the version of Truemark that wrote it, or name another --store",
                )
            missing = {table.name for table in _METADATA.sorted_tables} - set(sa.inspect(connection).get_table_names())
            if missing:
                raise InvalidData(
                    f"{self.name} lacks the tables {', '.join(sorted(missing))}", mend="name another --store"
                )
            return int(connection.scalars(sa.select(STORE.c.seed)).one())

    def _use_wal(self) -> None:
        """Readers and a writer at once; stays with the file. Where a file system cannot, the old journal does."""
        with self._engine.connect().execution_options(begin="") as connection:  # not inside a transaction
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _saying(self.name), self._engine.connect() as connection, connection.begin():
            yield connection

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction of its own; again when another writer was quicker or held the lock."""

        def once() -> T:
            with self._engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection, connection.begin():
                return work(connection)

        return self._retried(once)

    def _retried(self, work: Callable[[], T]) -> T:
        with _saying(self.name):
            for number in range(TRIES):
                try:
                    return work()
                except (exc.IntegrityError, exc.ProgrammingError):  # the same row, the same table, a moment earlier
                    if number == TRIES - 1:
                        raise
                except exc.OperationalError as error:
                    if number == TRIES - 1 or not (_locked(error) or error.connection_invalidated):
                        raise
                time.sleep(random.uniform(0, 0.05 * 2**number))
        raise AssertionError  # the last try returned or raised


def _parse(url: str) -> sa.URL:
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


def _create(connection: sa.Connection, seed: int | None) -> None:
    """All tables or none; another process may have made them since."""
    if connection.dialect.name == "postgresql":  # two that make the same table at once: one would fail at the catalogue
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('truemark_vote_store'))")
    if STORE.name in sa.inspect(connection).get_table_names():
        return
    _METADATA.create_all(connection)
    drawn = secrets.randbits(62) if seed is None else seed
    connection.execute(sa.insert(STORE), {"version": SCHEMA_VERSION, "seed": drawn, "created": _now()})


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, tables made inside one
    connection.execute("PRAGMA foreign_keys=ON")


def _on_begin(connection: sa.Connection) -> None:
    # a writer takes the lock at once: one that read first and then writes would be refused without any waiting
    statement = connection.get_execution_options().get("begin", "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)


def _vote(row: Any, item: Item) -> Vote:
    return Vote(item, row.annotator, row.choice, row.shown_left, row.rating_a, row.rating_b, row.created, row.revision)


def _unblind(choice: Shown, left: str) -> Choice:
    if choice == "tie":
        return "tie"
    return "a" if (choice == "left") == (left == "a") else "b"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _locked(error: exc.DBAPIError) -> bool:
    return isinstance(error.orig, sqlite3.OperationalError) and any(
        word in str(error.orig) for word in ("locked", "busy")
    )


@contextlib.contextmanager
def _saying(name: str | None) -> Iterator[None]:
    """A database's errors as ours, without its URL's password and without SQL."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _said(str(name), error) from None
    except OSError as error:
        raise StorageError(f"cannot make {name}: {error.strerror}", mend="name another --store") from None


def _said(name: str, error: exc.DBAPIError) -> TruemarkError:
    what = " ".join(str(error.orig).split())[:200]
    if _locked(error):
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
