"""`truemark data build`: a dataset whole or not at all, and not built twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import domains.cli
from domains import get
from truemark.errors import StorageError, TruemarkError, UnknownName
from truemark.files import read_jsonl, sha256_file

FILES = {"train.jsonl", "dev.jsonl", "test.jsonl", "dataset.json"}


def build(*arguments: str) -> str:
    result = CliRunner().invoke(domains.cli.app, ["build", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time the domain really builds."""
    math, times = get("math"), []
    real = math.build

    def counted(seed: int, n: int, levels: list[str]) -> object:
        times.append(n)
        return real(seed, n, levels)

    monkeypatch.setattr(math, "build", counted)
    return times


def test_what_is_written_is_what_the_domain_builds(tmp_path: Path) -> None:
    report = json.loads(
        build("math", "--level", "basics", "--n", "20", "--seed", "3", "--out", str(tmp_path), "--json")
    )
    assert {file.name for file in (tmp_path / "math").iterdir()} == FILES
    for split, rows in get("math").build(3, 20, ["basics"]).items():
        path = tmp_path / "math" / f"{split}.jsonl"
        assert read_jsonl(path) == rows
        assert report[str(path)]["sha256"] == sha256_file(path)
        assert report[str(path)]["examples"] == len(rows)


def test_the_same_dataset_is_not_built_twice(tmp_path: Path, builds: list[int]) -> None:
    first = build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path), "--json")
    assert build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path), "--json") == first
    assert builds == [20]
    build("math", "--level", "basics", "--n", "21", "--out", str(tmp_path))
    assert builds == [20, 21]


@pytest.mark.parametrize("damage", ["train.jsonl", "dataset.json"])
def test_a_changed_or_missing_file_is_built_again(damage: str, tmp_path: Path, builds: list[int]) -> None:
    first = build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path), "--json")
    (tmp_path / "math" / damage).write_text("{}\n")
    assert build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path), "--json") == first
    (tmp_path / "math" / damage).unlink()
    assert build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path), "--json") == first
    assert builds == [20, 20, 20]


def test_other_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "math").mkdir()
    (tmp_path / "math" / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path))
    assert (tmp_path / "math" / "notes.txt").read_text() == "mine"


def test_a_failure_leaves_the_old_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path), "--json")

    def full(*_: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(domains.cli, "write_json", full)
    with pytest.raises(StorageError):
        build("math", "--level", "basics", "--n", "30", "--out", str(tmp_path))
    monkeypatch.undo()
    assert {file.name for file in tmp_path.rglob("*")} == {"math", *FILES}
    assert build("math", "--level", "basics", "--n", "20", "--out", str(tmp_path), "--json") == first


@pytest.mark.parametrize(
    ("arguments", "error"), [(("mat",), UnknownName), (("math", "--out", "/proc/none"), StorageError)]
)
def test_mistakes_are_said(arguments: tuple[str, ...], error: type[TruemarkError]) -> None:
    with pytest.raises(error):
        build(*arguments, "--n", "5")
