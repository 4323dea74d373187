"""The three files of a leaderboard: valid, self-contained, and deaf to what models write."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

import domains
from evalsuite import html, metrics
from evalsuite.explorer import BUDGET, LONGEST, blocks, clean, unpack
from evalsuite.leaderboard import build
from evalsuite.metrics import Answer, Mean
from tests import evalsuite_helpers as toy
from truemark import artifacts, cli, runtimes
from truemark.errors import InvalidData, ModelNotFound, UnknownName
from truemark.files import read_jsonl, write_json, write_jsonl

HOSTILE = (
    "</pre></article><script>alert(1)</script><img src=x onerror=alert(2)> 999 {{ 7*7 }} | a | \u202e" + "A" * 5000
)


class Length(Mean):
    """Characters of an answer."""

    title, unit, better = "length", "count", "lower"

    def measure(self, answers: Sequence[Answer]) -> np.ndarray:
        return np.array([float(len(answer.prediction.text)) for answer in answers])

    def signature(self) -> str:
        return "characters|v:1"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A base, an adapter and a hostile model, evaluated once for all tests here."""
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
        patch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{toy.__name__}:ToyRuntime")
        toy.write_data(Path("data/toy/test.jsonl"))
        toy.checkpoint(Path("base"), rate=0.1)
        toy.adapter(Path("runs/a"), Path("base"), rate=0.8, seed=1)
        toy.checkpoint(Path("hostile"), rate=0.0, text=HOSTILE)
        evaluate("--model", "base", "--model", "runs/a", "--model", "hostile")
        yield folder


@pytest.fixture(autouse=True)
def here(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test changes a copy of its own."""
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(metrics.METRICS, "length", f"{__name__}:Length")


def evaluate(*words: str) -> None:
    assert cli.run(["eval", "toy", "--runtime", "toy", *words]) == 0


def leaderboard(*words: str) -> tuple[dict, str, str]:  # type: ignore[type-arg]
    assert cli.run(["leaderboard", *words]) == 0
    folder = Path("leaderboard")
    assert sorted(file.name for file in folder.iterdir()) == ["LEADERBOARD.md", "index.html", "leaderboard.json"]
    board = json.loads((folder / "leaderboard.json").read_text())
    return board, (folder / "LEADERBOARD.md").read_text(), (folder / "index.html").read_text()


def frontier() -> None:
    """As `truemark export --fastest` leaves one."""
    from matplotlib.figure import Figure

    folder = Path("results/toy/frontier/a")
    folder.mkdir(parents=True)
    row = {"format": "gguf-q8_0", "mb": 145.0, "kl": 5e-4, "difference": {"mean": 0.0, "low": -0.05, "high": 0.05}, "state": "passed",
           "tokens_per_second": {"1": 100.0, "16": 150.0}, "peak_rss_mb": 454.0, "keeps_score": True}  # fmt: skip
    write_json(folder / "frontier.json", {"adapter": "a@0", "machine": "this one", "recommended": "gguf-q8_0", "max_loss": 0.05, "rows": [row]})  # fmt: skip
    Figure().savefig(folder / "frontier.png")


class Page(HTMLParser):
    """Every tag, every attribute that can fetch something, and balance."""

    VOID = frozenset({"meta", "br", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.fetches: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetches += [
            f"{tag} {k}={v}" for k, v in attrs if k in ("src", "href", "srcset", "action") or k[:2] == "on"
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_json(tmp_path: Path) -> None:
    board, _, _ = leaderboard()
    assert board["schema_version"] == 3 and board["machines"] and board["libraries"]["python"]
    [domain] = board["domains"]
    assert (domain["name"], domain["n"], domain["baseline"]) == ("toy", 40, "base")
    assert list(domain["engines"].values()) == [{"engine": "toy", "version": "1"}]
    assert len(board["rows"]) == 9
    first = board["rows"][0]
    assert first["ref"] == "runs/a" and first["slice"] == "numbers" and first["mark"] is None
    assert first["adapter_sha256"] == first["sha256"] and first["quantization"] is None and first["group"] == "a"
    assert first["sampling"]["seed"] == 0 and len({row["prompts_sha256"] for row in board["rows"]}) == 3
    accuracies = [row["accuracy"]["value"] for row in board["rows"] if row["slice"] == "all"]
    assert accuracies == sorted(accuracies, reverse=True)


def test_json_is_as_its_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(html.__file__).parent / "leaderboard.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    frontier()
    board, _, _ = leaderboard("--metric", "tokens_per_second", "--metric", "length")
    validator.validate(board)
    [told] = [row["metrics"]["length"] for row in board["rows"] if row["ref"] == "hostile" and row["slice"] == "all"]
    assert told["interval"]["method"] == "none: all values are equal"
    assert told["difference"]["p"] == 2 / 2**6 and not told["difference"]["significant"], "four tests, six families"
    for change in ({"group": ""}, {"accuracy": {"value": 80}}, {"surprise": 1}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**board, "rows": [{**board["rows"][0], **change}]})


def test_html_is_whole_and_fetches_nothing() -> None:
    _, _, text = leaderboard()
    page = Page(text)
    assert page.open == [] and page.fetches == []
    assert not {"img", "link", "iframe", "object"} & set(page.tags)
    assert "http://" not in text and "https://" not in text and "url(" not in text and "@import" not in text
    assert page.tags.count("circle") == 9 + 6, "accuracy of each row, and the difference of all but the baseline's"
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in text


def test_the_only_script_is_ours_and_the_blocks_are_inert() -> None:
    _, _, text = leaderboard()
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    [own] = [body for attributes, body in scripts if "text/plain" not in attributes]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "innerHTML" not in own and "eval" not in own
    blocks = [body for attributes, body in scripts if "text/plain" in attributes]
    assert len(blocks) == 1 + 3 and all(re.fullmatch(r"[A-Za-z0-9+/=]+", block) for block in blocks)
    questions, *answers = map(unpack, blocks)
    assert [row[0] for row in questions["rows"]] == [f"toy-{i}" for i in range(40)]
    assert all(len(one[key]) == 40 for one in answers for key in ("right", "reason", "text", "message"))


def test_a_large_page_cuts_its_answers() -> None:
    board = build(Path("results"))
    rows = board.sections[0].rows
    assert blocks(rows, 120).longest == LONGEST
    large = blocks(rows, 200_000)
    assert large.longest == BUDGET // 200_000 == 320
    assert max(len(text) for text in unpack(large.answers[-1])["text"]) < 360


def test_hostile_answers_stay_text_and_are_cut() -> None:
    _, markdown, text = leaderboard()
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    assert "{{ 7*7 }}" in text and "\u202e" not in text
    assert "A" * LONGEST not in text and "more characters)" in text
    assert "<script" not in markdown


def test_wrong_answers_come_first() -> None:
    _, _, text = leaderboard()
    base = text.split('class="row is-base"')[1].split('<tr role="row" class="row')[0]
    verdicts = re.findall(r'<b class="(pass|fail)">', base)
    assert "fail" in verdicts and verdicts == sorted(verdicts)
    assert "unparsable" in base and "no number in the answer" in base and "Reference: " in base


def test_markdown() -> None:
    _, markdown, _ = leaderboard()
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 3 * (2 + 3)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {11}
    assert "sign-flip test by family" in markdown and "greedy, ≤ 256" in markdown
    assert "## Sums, wording: wordings never trained on (n = 20)" in markdown


def test_a_failed_export_is_labelled() -> None:
    base = artifacts.Base(ref="base", sha256=artifacts.open_artifact(Path("runs/a")).manifest.base.sha256)
    with artifacts.create(Path("runs/a.q"), kind="export", name="a.q", domain="toy", format="fp16", base=base) as draft:
        (draft.path / "config.json").write_text("{}")
        (draft.path / "skill.json").write_text(json.dumps({"rate": 0.4, "seed": 2}))
        write_json(draft.path / "mark.json", {"verdict": {"state": "failed"}})
        draft.manifest.failed = True
    evaluate("--model", "base", "--model", "runs/a.q")
    board, markdown, text = leaderboard()
    row = next(row for row in board["rows"] if row["ref"] == "runs/a.q")
    assert row["failed"] is True and row["mark"] == "failed"
    assert "| FAILED |" in markdown and "is-failed" in text and ">FAILED<" in text


def test_baseline_is_the_base_unless_named() -> None:
    board, _, _ = leaderboard("--baseline", "runs/a")
    assert board["domains"][0]["baseline"].startswith("a@")
    assert next(row for row in board["rows"] if row["ref"] == "base")["difference"]["value"] < 0


def test_a_model_trained_again_replaces_its_row() -> None:
    toy.adapter(Path("runs/a"), Path("base"), rate=0.95, seed=3)
    evaluate("--model", "runs/a")
    board, _, _ = leaderboard()
    assert len([row for row in board["rows"] if row["ref"] == "runs/a"]) == 3
    assert any("1 earlier evaluations" in note for note in board["notes"])


def test_a_sample_or_another_test_set_does_not_mix_in() -> None:
    evaluate("--model", "runs/a", "--limit", "5")
    board, _, _ = leaderboard()
    assert board["domains"][0]["n"] == 40 and len(board["rows"]) == 9
    assert any("on another test set or sample" in note for note in board["notes"])


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("scores/*/examples.jsonl", lambda text: text.replace("1 + 1", "2 + 1"), "examples.jsonl was changed"),
        ("scores/*/a@*.json", lambda text: text[:200], "is not an evaluation"),
        ("scores/*/a@*.json", lambda text: text.replace('"toy-3"', '"toy-x"'), "has no answer of a@"),
    ],
)
def test_changed_scores_are_refused(file: str, change: object, message: str) -> None:
    path = next(Path("results/toy").glob(file))
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(InvalidData, match=message):
        leaderboard()


def test_a_score_without_its_prediction_is_refused() -> None:
    path = next(Path("results/toy/predictions").glob("a@*"))
    write_jsonl(path, read_jsonl(path)[1:])
    with pytest.raises(InvalidData, match="which has a score"):
        leaderboard()


def test_nothing_evaluated() -> None:
    with pytest.raises(InvalidData, match="no scores under empty/"):
        cli.run(["leaderboard", "--results", "empty"])


def test_clean() -> None:
    assert clean("a\x1b[31m\u202eb\n\tc") == "a\ufffd[31m\ufffdb\n\tc"
    assert clean("é 🙂 ∫x²") == "é 🙂 ∫x²"
    assert clean("x" * (LONGEST + 3)).endswith("… (3 more characters)")


def test_a_metric_beside_accuracy_has_its_column() -> None:
    _, markdown, text = leaderboard("--metric", "length")
    assert "| length ↓ |" in markdown and "length: characters" in markdown and "p (Holm)" in markdown
    assert 'data-label="length ↓"' in text
    with pytest.raises(UnknownName, match="unknown metric 'lenght': did you mean 'length'"):
        cli.run(["leaderboard", "--metric", "lenght"])


def test_model_index(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("leaderboard", ignore_errors=True)
    capsys.readouterr()
    assert cli.run(["leaderboard", "--model-index", "./runs/a", "--metric", "length"]) == 0
    text = capsys.readouterr().out
    assert not Path("leaderboard").exists(), "it only prints"
    index = yaml.safe_load(text)
    [model] = index["model-index"]
    assert model["name"] == "a" and [one["dataset"].get("config") for one in model["results"]] == [
        "numbers",
        "wording",
        None,
    ]
    assert model["results"][-1]["metrics"][0]["args"]["n"] == 40
    hub = pytest.importorskip("huggingface_hub.repocard_data")
    name, results = hub.model_index_to_eval_results(index["model-index"])
    assert name == "a" and {one.metric_type for one in results} == {"accuracy", "length"} and len(results) == 6


def test_model_index_of_another(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelNotFound, match="expected one model, 'runs/b' has no row: there are a@"):
        cli.run(["leaderboard", "--model-index", "runs/b"])
