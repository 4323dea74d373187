"""Public sets from files, an endpoint as a writer, and what a test set may not share with its training set."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

import domains.cli
from domains.base import Example
from domains.contamination import findings, words
from domains.endpoint import Endpoint
from domains.sources import rows
from truemark.errors import EngineError, InvalidData

ROWS = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "And\n\"so\", 'on'?", "answer": "é ≤ 3"}]


def write(path: Path) -> Path:
    if path.name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        return path
    if ".csv" in path.name:
        text = "question,answer\n" + "".join(
            ",".join('"' + value.replace('"', '""') + '"' for value in row.values()) + "\n" for row in ROWS
        )
    elif ".jsonl" in path.name:
        text = "\n".join(json.dumps(row) for row in ROWS) + "\n\n"
    else:
        text = json.dumps(ROWS)
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(
    "name", ["train.jsonl", "train.json", "train.csv", "train.parquet", "train.jsonl.gz", "train.csv.gz"]
)
def test_every_kind_of_file_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    file = write(tmp_path / name)
    assert list(rows(str(file), ["question"])) == ROWS
    assert list(rows(str(tmp_path), ["question", "answer"], split="train")) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"question": 1}\n{"question": \n', "line 2: not JSON"),
        ("a.jsonl", b'{"other": 1}\n', "row 1: expected question; question is missing, found other"),
        ("a.jsonl", b"[1, 2]\n", "found list"),
        ("a.jsonl", b"\xff\xfe", "UTF-8"),
        ("a.jsonl", b"", "no rows"),
        ("a.jsonl", b"[" * 100_000, "not JSON"),
        ("a.json", b'{"question": 1}', "expected a list of rows, found dict"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        ("a.parquet", b"PAR1 but not", "cannot be read as .parquet"),
        ("a.csv", b"", "no rows"),
        ("a.xlsx", b"", "expected a file that ends in"),
    ],
)
def test_a_bad_file_is_named_with_its_row(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidData, match=said.replace("(", r"\(")):
        list(rows(str(tmp_path / name), ["question"]))


@pytest.mark.parametrize("source", ["nowhere", "hf:no-owner", "hf:a/b c"])
def test_a_source_that_is_none(source: str) -> None:
    with pytest.raises(InvalidData, match=r"expected|no file"):
        list(rows(source, []))


def test_a_directory_without_the_split(tmp_path: Path) -> None:
    write(tmp_path / "trainer.jsonl")
    with pytest.raises(InvalidData, match="no file of the split 'train'"):
        list(rows(str(tmp_path), ["question"]))


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A real HTTP endpoint that speaks the chat protocol; its requests as they come."""
    asked: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            body = json.dumps(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "m",
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "stop",
                            "message": {"role": "assistant", "content": f"answer {len(asked)}"},
                        }
                    ],
                }
            ).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{endpoint.server_address[1]}/v1", asked
    endpoint.shutdown()
    endpoint.server_close()


def test_an_endpoint_is_asked_once_for_the_same_words(
    server: tuple[str, list[dict[str, object]]], tmp_path: Path
) -> None:
    url, asked = server
    say_it = [{"role": "user", "content": "say it"}]
    for _ in range(2):
        endpoint = Endpoint("m", base_url=url, cache=tmp_path)
        assert endpoint.complete(say_it) == "answer 1"
        endpoint.close()
    assert len(asked) == 1
    assert asked[0]["messages"] == say_it
    endpoint = Endpoint("m", base_url=url, cache=tmp_path)
    assert endpoint.complete(say_it, seed=1) == "answer 2", "another seed is another question"
    endpoint.close()


def test_an_endpoint_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truemark.runtimes.http.RETRIES", 0)
    with pytest.raises(EngineError, match="did not answer for 'm'"):
        Endpoint("m", base_url="http://127.0.0.1:9/v1", cache=tmp_path).complete([{"role": "user", "content": "hi"}])
    assert not list(tmp_path.iterdir())


LONG = "a farmer in the north sells seven crates of red apples to two shops in town"


def example(id: str, question: str, system: str = "") -> Example:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "yes"}]
    opening = [{"role": "system", "content": system}] if system else []
    return {"id": id, "messages": [*opening, *messages], "reference": "yes", "meta": {"family": "f", "slice": "s"}}


@pytest.mark.parametrize(
    ("train", "test", "kind"),
    [
        ("What is 2 + 2?", "What is 2 + 2?", "exact"),
        ("What is 2 + 2?", "what is  2 + 2", "normalised"),
        (f"Today {LONG}. Why?", f"Look: {LONG.title()}; how many?", "13-gram"),
        ("What is 2 + 2?", "What is 2 - 2?", None),
        ("What is 1.5 of 2?", "What is 15 of 2?", None),
        (" ".join(LONG.split()[:12]), " ".join(LONG.split()[:12]) + " again", None),
    ],
)
def test_contamination(train: str, test: str, kind: str | None) -> None:
    found = list(findings({"train": [example("a", train)], "dev": [], "test": [example("b", test)]}))
    assert [finding.kind for finding in found] == ([kind] if kind else [])
    assert all((finding.left, finding.right) == ("test:b", "train:a") for finding in found)


def test_a_persona_is_no_contamination_and_a_problem_in_the_system_text_is() -> None:
    persona = "You are an expert who writes programs with care, rule by rule, and says nothing else at all. Problem: "
    split = {
        "train": [example("a", "Write it.", persona + LONG), example("c", "Write it!", persona + "Colour a graph.")],
        "dev": [],
        "test": [example("b", "Go.", persona + "Today " + LONG)],
    }
    assert [(f.kind, f.left) for f in findings(split)] == [("13-gram", "test:b")]
    split["test"] = [example("b", "Go.", persona + "Place eight queens.")]
    assert list(findings(split)) == []


def test_a_duplicate_within_a_split_is_found_once() -> None:
    twice = [example("a", "What is 2?"), example("b", "What is 2?"), example("c", "what is 2")]
    assert [(f.kind, f.left, f.right) for f in findings({"train": twice})] == [
        ("exact", "train:b", "train:a"),
        ("normalised", "train:c", "train:a"),
    ]


def test_words() -> None:
    assert words("Solve 3x^2 = 1,000.50; “now”!") == ("solve", "3", "x", "^", "2", "=", "1,000.50", "now")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(domains.cli.app, [*arguments])
    return result.exit_code if not result.exception else 1, f"{result.output}{result.exception or ''}"


def test_check_and_stats_from_the_command_line(tmp_path: Path) -> None:
    directory = tmp_path / "math"
    directory.mkdir()
    for name, text in {"train": "What is 2 + 2?", "dev": "What is 3 + 3?", "test": "what is 2 + 2"}.items():
        (directory / f"{name}.jsonl").write_text(json.dumps(example(name, text)) + "\n")
    code, said = run("check", "math", "--data", str(tmp_path))
    assert code == 1
    assert "1 normalised" in said
    assert "test:test repeats train:train" in said
    code, said = run("stats", "math", "--data", str(tmp_path), "--json")
    assert json.loads(said)["math"]["test"]["question_words"] == {"least": 5, "median": 5, "most": 5}
    (directory / "dev.jsonl").unlink()
    code, said = run("check", "math", "--data", str(tmp_path))
    assert code == 1
    assert "no data at" in said


def test_a_public_set_becomes_a_dataset_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "train.jsonl"
    source.write_text("".join(json.dumps({"question": f"What is {n} + 1?", "answer": f"{n} + 1 = <<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"}) + "\n" for n in range(5)))  # fmt: skip
    code, said = run("load", "math/gsm8k", "--from", str(source), "--limit", "3", "--out", str(tmp_path / "data"))
    assert code == 0, said
    written = [json.loads(line) for line in (tmp_path / "data/math-gsm8k/train.jsonl").read_text().splitlines()]
    assert [row["reference"] for row in written] == ["1", "2", "3"]
    code, said = run("load", "math/gsm9k", "--from", str(source))
    assert code == 1
    assert "did you mean 'math/gsm8k'" in said
