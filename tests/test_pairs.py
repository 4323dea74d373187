"""`truemark data sample` and `truemark data pairs`: what was checked, or voted on, becomes preference pairs; the test set never does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import domains.cli
from domains import get, pairs
from domains.base import Verdict
from truemark.errors import InvalidData, StorageError
from truemark.files import read_jsonl, sha256_json, write_jsonl


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with data/math."""
    home = tmp_path_factory.mktemp("pairs")
    for split, rows in get("math").build(3, 24, ["basics"]).items():
        write_jsonl(home / "math" / f"{split}.jsonl", [dict(row) for row in rows])
    return home


@pytest.fixture
def examples(built: Path) -> list[Any]:
    return read_jsonl(built / "math" / "train.jsonl")


def invoke(*arguments: object) -> Any:
    result = CliRunner().invoke(domains.cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def answers(example: Any, *texts: str) -> list[dict[str, Any]]:
    return [{"id": example["id"], "text": text, "example_sha256": sha256_json(example)} for text in texts]


def right(example: Any) -> str:
    return str(example["messages"][-1]["content"])


def test_a_pair_is_a_passed_and_a_failed_answer(built: Path, examples: list[Any], tmp_path: Path) -> None:
    both, won, lost, other = examples[:4]
    rows = [
        *answers(both, right(both), "Answer: 123456", right(both) + "  ", "no idea"),
        *answers(won, right(won)),
        *answers(lost, "no idea", "no  idea", "Answer: 98765"),
        {**answers(other, right(other))[0], "example_sha256": "of an earlier version"},
    ]
    write_jsonl(tmp_path / "from" / "one.jsonl", rows[::2])
    write_jsonl(tmp_path / "from" / "two.jsonl", rows[1::2])
    out = tmp_path / "pairs.jsonl"
    arguments = ("pairs", "math", "--data", built, "--out", out, "--json")
    counts = json.loads(invoke(*arguments, "--from", tmp_path / "from").stdout)
    assert [counts[key] for key in ("both", "passed", "failed", "pairs")] == [1, 1, 1, 2]
    assert counts["left_out"] == {"repeated answers": 2, "answers to an earlier version of their example": 1}
    first = out.read_bytes()
    for row in read_jsonl(out):
        assert set(row) == {"id", "prompt", "chosen", "rejected", "meta"}
        assert row["prompt"] == both["messages"][:-1] and row["chosen"] == right(both)
        assert row["meta"]["source"] == "check" and row["meta"]["level"] == "basics"
    assert {row["rejected"] for row in read_jsonl(out)} == {"Answer: 123456", "no idea"}
    invoke(*arguments, "--from", tmp_path / "from" / "two.jsonl", "--from", tmp_path / "from" / "one.jsonl")
    assert out.read_bytes() == first, "whatever the order of the files"
    counts = json.loads(invoke(*arguments, "--from", tmp_path / "from", "--gold").stdout)
    assert counts["gold"] == 1 and counts["pairs"] == 4
    assert {row["chosen"] for row in read_jsonl(out) if row["meta"]["source"] == "gold"} == {right(lost)}


def test_at_most_k_pairs_none_twice(examples: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub:
        def check(self, text: str, example: Any) -> Verdict:
            return Verdict(float(text.startswith("p")), text.startswith("p"), "ok")

    for good, bad in ((1, 1), (2, 3), (4, 2), (3, 3), (1, 5)):
        texts = [*(f"p{i}" for i in range(good)), *(f"f{i}" for i in range(bad))]
        for k in (1, 4, 100):
            rows, _ = pairs.from_answers(Stub(), examples[:1], answers(examples[0], *texts), k=k)  # type: ignore[arg-type]
            found = [(row["chosen"], row["rejected"]) for row in rows]
            assert len(set(found)) == len(found) == min(k, good * bad)
            if k == 4 and good * bad >= 4:
                assert len({a for a, _ in found}) == min(good, 4) and len({b for _, b in found}) == min(bad, 4)


def test_the_test_set_is_refused(built: Path, examples: list[Any], tmp_path: Path) -> None:
    test = read_jsonl(built / "math" / "test.jsonl")[0]
    write_jsonl(tmp_path / "test.jsonl", [*answers(examples[0], "x"), *answers(test, right(test))])
    write_jsonl(tmp_path / "votes.jsonl", [{"id": test["id"], "prompt": "1 + 1?", "a": "2", "b": "3", "vote": "a"}])
    for arguments in (("--from", tmp_path / "test.jsonl"), ("--votes", tmp_path / "votes.jsonl")):
        with pytest.raises(InvalidData, match="of the test set, which nothing may be trained on"):
            invoke("pairs", "math", "--data", built, "--out", tmp_path / "out.jsonl", *arguments)
    assert not (tmp_path / "out.jsonl").exists()


def test_votes(built: Path, tmp_path: Path) -> None:
    vote = {"id": "v", "prompt": "What is 2 + 2?", "a": "4", "b": "five"}
    votes = [
        {**vote, "vote": "a"},
        {**vote, "vote": "a"},
        {**vote, "vote": "tie"},
        {**vote, "prompt": [{"role": "user", "content": "2 + 3?"}], "vote": "b"},
    ]
    write_jsonl(tmp_path / "votes.jsonl", votes)
    invoke("pairs", "math", "--data", built, "--out", tmp_path / "out.jsonl", "--votes", tmp_path / "votes.jsonl")
    first, second = read_jsonl(tmp_path / "out.jsonl")
    assert (first["chosen"], first["rejected"], first["meta"]) == ("4", "five", {"source": "vote"})
    assert first["prompt"] == get("math").messages("What is 2 + 2?")
    assert (second["chosen"], second["rejected"]) == ("five", "4")
    for bad in ({**vote, "vote": "c"}, {**vote, "a": 4, "vote": "a"}, {**vote, "prompt": [], "vote": "a"}, {}):
        write_jsonl(tmp_path / "votes.jsonl", [bad])
        with pytest.raises(InvalidData, match=r"votes\.jsonl:1: expected a vote"):
            invoke("pairs", "math", "--data", built, "--out", tmp_path / "x.jsonl", "--votes", tmp_path / "votes.jsonl")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": 3, "text": "x"}, "expected an answer with `id` and `text`"),
        ({"id": "x"}, "expected an answer"),
        ({"id": "nobody", "text": "x"}, "none of the 1 answers is to a train or dev example"),
    ],
)
def test_rows_that_are_no_answers(row: dict[str, Any], words: str, built: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "bad.jsonl", [row])
    with pytest.raises(InvalidData, match=words):
        invoke("pairs", "math", "--data", built, "--out", tmp_path / "out.jsonl", "--from", tmp_path / "bad.jsonl")


def test_nothing_to_make_pairs_of(built: Path, examples: list[Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="no answers and no votes"):
        invoke("pairs", "math", "--data", built)
    with pytest.raises(InvalidData, match="found nothing at"):
        invoke("pairs", "math", "--data", built, "--from", tmp_path / "nowhere")
    write_jsonl(tmp_path / "won.jsonl", answers(examples[0], right(examples[0])))
    with pytest.raises(InvalidData, match="no pair"):
        invoke("pairs", "math", "--data", built, "--out", tmp_path / "out.jsonl", "--from", tmp_path / "won.jsonl")


def test_samples_of_a_model_are_drawn_once_and_make_pairs(built: Path, tmp_path: Path) -> None:
    arguments = ("sample", "math", "--model", "rule:sympy", "--n", 2, "--limit", 20, "--data", built)
    out = tmp_path / "math.train.samples.jsonl"
    invoke(*arguments, "--out", out)
    first = out.read_bytes()
    rows = read_jsonl(out)
    assert [row["sample"] for row in rows] == [0, 1] * 20 and rows[0]["id"] == rows[1]["id"]
    out.write_bytes(first[: len(first) * 9 // 10])
    invoke(*arguments, "--out", out)
    assert out.read_bytes() == first
    with pytest.raises(InvalidData, match="other settings"):
        invoke(*arguments, "--temperature", "0.1", "--out", out)
    write_jsonl(tmp_path / "bad.jsonl", [{**row, "text": "no idea"} for row in rows])
    made = tmp_path / "pairs.jsonl"
    invoke("pairs", "math", "--data", built, "--out", made, "--from", out, "--from", tmp_path / "bad.jsonl")
    assert all(row["rejected"] == "no idea" for row in read_jsonl(made))


def test_pairs_beside_a_dataset_do_not_stop_it_and_are_not_removed(tmp_path: Path) -> None:
    build = ("build", "math", "--level", "basics", "--n", 20, "--out", tmp_path)
    invoke(*build)
    (tmp_path / "math" / "pairs.jsonl").write_text("{}\n")
    invoke(*build)
    with pytest.raises(StorageError, match=r"pairs\.jsonl"):
        invoke("build", "math", "--level", "basics", "--n", 21, "--out", tmp_path)
    assert (tmp_path / "math" / "pairs.jsonl").is_file()
