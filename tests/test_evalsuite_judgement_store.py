"""Votes: blind, kept whatever happens, and refused where they cannot be."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra `votes`")

from truemark.errors import InvalidData, StorageError
from truemark.votes import Answer, Item, anonymous, open_store
from truemark.votes_sql import Store

ROOT = Path(__file__).parent.parent


def item(n: int, *, domain: str = "toy", a: str = "one", b: str = "two") -> Item:
    prompt = [{"role": "user", "content": f"{n}?"}]
    return Item(
        domain, prompt, Answer(f"{a} {n}", "runs/a", "aa" * 32, "a@1"), Answer(f"{b} {n}", "base", "bb" * 32), f"e{n}"
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "new" / "votes.sqlite"), seed=5) as opened:
        yield opened


def test_a_vote_is_of_the_answer_and_not_of_the_side(store: Store) -> None:
    ids = store.offer([item(n) for n in range(60)])
    sides = Counter()
    for id in ids:
        task = store.task("ada", id)
        vote = store.add("ada", id, "left" if task.left.startswith("one") else "right", rating_left=4, rating_right=2)
        assert vote.choice == "a" and task.left.startswith("one" if vote.left == "a" else "two")
        assert (vote.rating_a, vote.rating_b) == ((4, 2) if vote.left == "a" else (2, 4))
        sides[vote.left] += 1
    assert 15 < sides["a"] < 45  # a fair draw of 60 is outside once in 10,000
    assert [vote.choice for vote in store.votes("toy")] == ["a"] * 60


def test_the_sides_stay_and_differ_between_annotators(store: Store, tmp_path: Path) -> None:
    ids = store.offer([item(n) for n in range(30)])
    ada = [store.task("ada", id).left for id in ids]
    assert ada == [store.task("ada", id).left for id in ids] != [store.task("bob", id).left for id in ids]
    with open_store(str(tmp_path / "new" / "votes.sqlite"), seed=99) as again:
        assert again.seed == 5 and ada == [again.task("ada", id).left for id in ids]


def test_a_task_tells_nobody_what_answered(store: Store) -> None:
    store.offer([item(1)])
    shown = repr(store.queue("ada", 1))
    for secret in ("runs/a", "base", "a@1", "aa" * 32, "e1"):
        assert secret not in shown


def test_the_same_vote_once_and_a_change_keeps_what_it_replaced(store: Store) -> None:
    [id] = store.offer([item(1)])
    first = store.add("ada", id, "left")
    assert store.add(" ada ", id, "left") == first
    assert store.add("ada", id, "tie", rating_left=3).revision == 2
    assert store.add("ada", id, "left").revision == 3
    store.add("bob", id, "tie")
    assert [(v.annotator, v.revision) for v in store.votes("toy")] == [("ada", 3), ("bob", 1)]
    assert [v.choice for v in store.history("toy")] == [first.choice, "tie", first.choice, "tie"]


def test_an_item_is_its_content(store: Store) -> None:
    one = item(1)
    swapped = Item(one.domain, one.prompt, one.b, one.a, one.example)
    assert store.offer([one, swapped, one]) == [one.id] * 3
    assert store.items() == [one]
    assert item(1, a="other").id != one.id != item(1, domain="math").id


def test_the_queue_brings_every_item_to_two_annotators(store: Store) -> None:
    store.offer([item(n) for n in range(10)])
    store.offer([item(n, domain="math") for n in range(3)])
    for name in ("ada", "bob"):
        for task in store.queue(name, 5, "toy"):
            store.add(name, task.item, "left")
    judged = Counter(vote.item.id for vote in store.votes("toy"))
    assert len(judged) == 10  # bob was given what ada had not judged
    for name in ("ada", "bob"):
        rest = store.queue(name, 100, "toy")
        assert len(rest) == 5
        for task in rest:
            store.add(name, task.item, "right")
    assert not store.queue("ada", 5, "toy") and len(store.queue("ada", 5)) == 3
    math, toy = store.progress()
    assert (toy.items, toy.votes, toy.annotators, toy.enough) == (10, 20, 2, 10)
    assert (math.items, math.votes, math.enough, math.by_annotators) == (3, 0, 0, {0: 3})


def test_no_text_is_too_odd(store: Store) -> None:
    texts = ["", "a\nb\r\n\u2028c\x00", "é 🙂", "'; DROP TABLE truemark_votes; --", "a\ud800b", "y" * 200_000]
    items = [item(n, a=text) for n, text in enumerate(texts)]
    store.offer(items)
    assert sorted(one.a.text for one in store.items()) == sorted(one.a.text for one in items)
    assert store.items()[0].prompt == items[0].prompt or len(store.items()) == len(items)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "a\x00"])
def test_a_name_that_is_none(store: Store, name: str) -> None:
    with pytest.raises(InvalidData, match="expected an annotator's name"):
        store.queue(name, 1)


def test_a_vote_that_is_none(store: Store) -> None:
    [id] = store.offer([item(1)])
    with pytest.raises(InvalidData, match="left, right or tie, found 'a'"):
        store.add("ada", id, "a")  # type: ignore[arg-type]
    for rating in (0, 6, True, 2.0):
        with pytest.raises(InvalidData, match="rating from 1 to 5"):
            store.add("ada", id, "left", rating_right=rating)  # type: ignore[arg-type]
    with pytest.raises(InvalidData, match="never offered"):
        store.add("ada", "f" * 64, "left")
    assert store.votes() == [] and anonymous() != anonymous()


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "votes.sqlite")
    ids = [item(n).id for n in range(12)]

    def work(name: str) -> None:
        with open_store(path, timeout=60) as mine:  # the first to come makes it
            mine.offer([item(n) for n in range(12)])
            for id in ids:
                mine.add(name, id, "tie")
                mine.add("everybody", id, "tie")

    threads = [threading.Thread(target=work, args=(f"n{n}",)) for n in range(6)]
    code = (
        "import sys; from truemark.votes import open_store\n"
        "with open_store(sys.argv[1], timeout=60) as s:\n"
        "    for id in [i.id for i in s.items()]: s.add('process', id, 'tie')\n"
    )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = subprocess.run([sys.executable, "-c", code, path], env={"PYTHONPATH": str(ROOT), "PATH": ""}, check=True)
    assert run.returncode == 0
    with open_store(path) as store:
        assert len(store.votes("toy")) == len(store.history("toy")) == 12 * 8
        assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_killed_writer_leaves_whole_votes(tmp_path: Path) -> None:
    path = tmp_path / "votes.sqlite"
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from tests.test_evalsuite_judgement_store import *\n"
        "s = open_store(sys.argv[1]); ids = s.offer([item(n) for n in range(9)])\n"
        "for id in ids[:5]: s.add('ada', id, 'tie')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, path, ROOT], env={"PYTHONPATH": str(ROOT), "PATH": ""}, check=False)
    with open_store(str(path)) as store:
        assert len(store.votes()) == 5 and len(store.queue("ada", 9)) == 4


def test_a_locked_store_is_said(tmp_path: Path) -> None:
    path = tmp_path / "votes.sqlite"
    with open_store(str(path), timeout=0.05) as store:
        [id] = store.offer([item(1)])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="is locked: another process"):
            store.add("ada", id, "left")
        assert store.votes() == []  # readers go on
        other.execute("ROLLBACK")
        store.add("ada", id, "left")


def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    foreign, text, torn = tmp_path / "cookies.sqlite", tmp_path / "text.sqlite", tmp_path / "torn.sqlite"
    sqlite3.connect(foreign).execute("CREATE TABLE cookies (name)")
    text.write_text("not a database, but long enough to be looked at as one " * 30)
    with open_store(str(torn)) as store:
        store.offer([item(n) for n in range(200)])
    content = bytearray(torn.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    torn.write_bytes(content)
    for path, match in (
        (foreign, r"is a database of something else \(tables cookies\)"),
        (text, "is no SQLite database"),
        (torn, "or a damaged one"),
    ):
        before = path.read_bytes()
        with pytest.raises(InvalidData, match=match), open_store(str(path)) as store:
            store.votes()
        assert path.read_bytes() == before


def test_other_versions_and_places_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "votes.sqlite"
    open_store(str(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE truemark_vote_store SET version = 7")
    connection.commit()
    with pytest.raises(InvalidData, match="schema version 7, this Truemark reads version 1"):
        open_store(str(path))
    with pytest.raises(InvalidData, match="no votes at"):
        open_store(str(tmp_path / "none.sqlite"), create=False)
    assert not (tmp_path / "none.sqlite").exists()
    (tmp_path / "file").touch()
    for where in (tmp_path / "file" / "votes.sqlite", tmp_path):
        with pytest.raises(StorageError, match=r"cannot (make|write)"):
            open_store(str(where))
    for url in ("mysql://h/x", "sqlite://", "http://x", "postgresql://host", "://"):
        with pytest.raises(InvalidData, match=r"postgresql://"):
            open_store(url)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(
        StorageError, match=r"no answer from postgresql\+psycopg://me:\*\*\*@127.0.0.1:9/votes"
    ) as caught:
        open_store("postgresql://me:secret@127.0.0.1:9/votes", timeout=1)
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own on a socket of its own. It refuses to run as root: then as the user of its package."""
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        pytest.skip("needs PostgreSQL's initdb and pg_ctl")
    pytest.importorskip("psycopg")
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="tm-pg-"))  # a socket's path is short, and its owner another user
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, "postgres")

    def command(*words: str) -> None:
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)

    data = str(folder / "data")
    command("initdb", "-D", data, "-U", "postgres", "--no-sync", "-A", "trust")
    command("pg_ctl", "-D", data, "-w", "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "start")
    yield f"postgresql://postgres@/postgres?host={folder}"
    command("pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.mark.slow
def test_postgresql_keeps_the_same(postgres: str) -> None:
    def work(name: str) -> None:
        with open_store(postgres) as mine:
            ids = mine.offer([item(n, a="a\x00🙂") for n in range(8)])
            for id in ids:
                mine.add(name, id, "left")
                mine.add("everybody", id, "tie")

    threads = [threading.Thread(target=work, args=(f"n{n}",)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_store(postgres, create=False) as store:
        assert len(store.votes("toy")) == len(store.history()) == 8 * 6
        assert {one.a.text for one in store.items()} == {f"a\x00🙂 {n}" for n in range(8)}
        assert store.add("everybody", store.items()[0].id, "left").revision == 2
        assert len(store.queue("new", 3)) == 3 and store.progress()[0].enough == 8
