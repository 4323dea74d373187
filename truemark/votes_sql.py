"""The votes in a database, through SQLAlchemy. Imported by `votes.open_store` alone.

    truemark_vote_store    one row: schema version, seed of the sides
    truemark_vote_items    what is to be judged, by content
    truemark_votes         appended to, never changed: an annotator's second word on an item is a further row with the next revision

Answers and prompts are JSON: PostgreSQL holds no NUL in a text, and models write some.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from truemark.errors import InvalidData, MissingDependency
from truemark.votes import RATINGS, Answer, Choice, Item, Progress, Shown, Task, Vote, check_annotator, draw_left
from truemark.votes_schema import (
    ITEMS,
    METADATA,
    SCHEMA_VERSION,
    STORE,
    VOTES,
    create_tables,
    locked,
    now,
    parse,
    saying,
)

TRIES = 4
"""Of one write, when another writer was quicker."""
T = TypeVar("T")


class Store:
    """An open store; made by `votes.open_store`. Safe for many threads and processes at once."""

    def __init__(self, url: str, *, create: bool, seed: int | None, timeout: float) -> None:
        self.url = parse(url)
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
                "created": now(),
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
        vote = Vote(known, annotator, _unblind(choice, left), left, *ratings, created=now())

        def insert(connection: sa.Connection) -> Vote:
            mine = (VOTES.c.item == item) & (VOTES.c.annotator == annotator)
            last = connection.execute(sa.select(VOTES).where(mine).order_by(VOTES.c.revision.desc()).limit(1)).first()
            if last is not None and (last.choice, last.rating_a, last.rating_b) == (vote.choice, *ratings):
                return _vote(last, known)
            revision = (last.revision if last else 0) + 1
            row = {
                "item": item,
                "annotator": annotator,
                "revision": revision,
                "choice": vote.choice,
                "shown_left": left,
                "rating_a": vote.rating_a,
                "rating_b": vote.rating_b,
                "created": vote.created,
            }
            connection.execute(sa.insert(VOTES), row)
            return Vote(known, annotator, vote.choice, left, *ratings, vote.created, revision)

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
            with saying(self.name):
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
            self._write(lambda connection: create_tables(connection, seed))
        with self._reading() as connection:
            version = connection.scalars(sa.select(STORE.c.version)).first()
            if version != SCHEMA_VERSION:
                raise InvalidData(
                    f"{self.name} is a store of schema version {version}, this Truemark reads version {SCHEMA_VERSION}",
                    mend="use the version of Truemark that wrote it, or name another --store",
                )
            missing = {table.name for table in METADATA.sorted_tables} - set(sa.inspect(connection).get_table_names())
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
        with saying(self.name), self._engine.connect() as connection, connection.begin():
            yield connection

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction of its own; again when another writer was quicker or held the lock."""

        def once() -> T:
            with self._engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection, connection.begin():
                return work(connection)

        return self._retried(once)

    def _retried(self, work: Callable[[], T]) -> T:
        with saying(self.name):
            for number in range(TRIES):
                try:
                    return work()
                except (exc.IntegrityError, exc.ProgrammingError):  # the same row, the same table, a moment earlier
                    if number == TRIES - 1:
                        raise
                except exc.OperationalError as error:
                    if number == TRIES - 1 or not (locked(error) or error.connection_invalidated):
                        raise
                time.sleep(random.uniform(0, 0.05 * 2**number))
        raise AssertionError  # the last try returned or raised


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
