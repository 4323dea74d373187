"""What is said before work (`--plan`), when a sample cannot tell, and of several formats together (`--fastest`)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import domains
from exports import FORMATS, card, frontier, mark, measures, publish, reference
from exports.measures import Interval
from tests import tiny
from truemark import artifacts, cli, portability
from truemark.errors import CheckFailed, InvalidArtifact, InvalidData, StorageError, TruemarkError, UnknownName
from truemark.recipe import Recipe
from truemark.runtimes import Sampling


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh adapter in the working directory, short marks."""
    kept = tiny.shared(tmp_path_factory)
    shutil.copytree(kept / "tuned", tmp_path / "tuned")
    for module in (reference, mark):
        monkeypatch.setattr(module, "SAMPLING", Sampling(max_tokens=8))
    monkeypatch.setattr(reference, "cache_dir", lambda: kept / "cache-plan")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(variant: str, tmp_path: Path, factory: pytest.TempPathFactory) -> portability.Plan:
    """The plan of a real tiny adapter of this kind."""
    adapter = tiny.adapter(tmp_path / variant, tiny.shared(factory) / "base", variant=variant)
    return publish.planned(str(adapter))


RULES = {
    "dora": ("lora-gguf", "refused", "DoRA"),
    "trained-head": ("lora-gguf", "refused", "modules_to_save"),
    "trained-embeddings": ("fp16", "handled", "untied"),
    "lora-head": ("lora-gguf", "refused", "tied embeddings"),
    "lora-embeddings": ("lora-gguf", "refused", "tied embeddings"),
    "new-tokens": ("lora-gguf", "refused", "2 tokens"),
    "trainable-tokens": ("lora-gguf", "refused", "trainable_token_indices"),
    "rslora": ("lora-gguf", "handled", "folded"),
    "rank-pattern": ("lora-gguf", "handled", "folded"),
}


@pytest.mark.parametrize("variant", RULES)
def test_a_rule_names_what_breaks_on_a_real_adapter(
    variant: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    format, level, words = RULES[variant]
    found = plan(variant, tmp_path, tmp_path_factory)
    lines = portability.lint(found, [format])
    assert any(line.level == level and words in line.text for line in lines), lines
    refused = [line for line in portability.lint(found, ["fp16", "gguf-f16"]) if line.level == "refused"]
    assert not refused, "merged, all of them can be held"
    if level == "refused":
        with pytest.raises(InvalidArtifact, match=words):
            portability.refuse(found, [format])


def test_a_plain_adapter_has_nothing_to_say(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["export", "tuned", "--plan", "--to", "fp16,gguf,lora-gguf"]) == 0
    assert "can be made: fp16, gguf-f16, gguf-q8_0, lora-gguf" in capsys.readouterr().out
    assert [path.name for path in home.iterdir()] == ["tuned"], "nothing is written"


def test_a_refused_format_stops_all_before_any_work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tiny.adapter(tmp_path / "magnitudes", tiny.shared(tmp_path_factory) / "base", variant="dora")
    with pytest.raises(InvalidArtifact, match=r"lora-gguf: llama\.cpp's adapter file would lose .*DoRA"):
        cli.run(["export", str(tmp_path / "magnitudes"), "--to", "fp16,lora-gguf"])
    assert [path.name for path in tmp_path.iterdir()] == ["magnitudes"]


def test_no_space_left_is_said_before_any_work(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil._ntuple_diskusage(10**9, 10**9, 4096)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(StorageError, match=r"needs 2\d MB, 0 MB are free"):
        cli.run(["export", "tuned", "--to", "fp16"])
    assert [path.name for path in home.iterdir()] == ["tuned"]


def test_an_architecture_that_an_exporter_does_not_know_is_refused() -> None:
    odd = portability.Plan("odd", {}, {"architectures": ["MambaTwoForNobody"], "tie_word_embeddings": False})
    for format in ("gguf-f16", "onnx-fp32"):
        assert "does not know MambaTwoForNobody" in portability.blocked(odd, [format])[0].text


def recipe(**fields: Any) -> Recipe:
    return Recipe(name="planned", domain="math", base="smollm2-135m", **fields)


def test_a_recipe_is_held_against_the_formats_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = portability.of_recipe(recipe(lora={"use_dora": True, "modules_to_save": ["lm_head"]}))
    said = portability.grouped(portability.lint(found, portability.FAMILIES))
    assert said[0].startswith("refused: lora-gguf:") and "DoRA" in said[0] and "whole trained modules" in said[0]
    assert any("untied, 28M more numbers" in line for line in said)
    assert portability.grouped(portability.lint(portability.of_recipe(recipe()), portability.FAMILIES)) == []
    file = tmp_path / "dora.yaml"
    file.write_text(yaml.safe_dump({"name": "dora", "domain": "math", "base": "smollm2-135m", "lora": {"use_dora": True}}))  # fmt: skip
    with pytest.raises(CheckFailed, match="lora-gguf"):
        cli.run(["export", str(file), "--plan", "--to", "lora-gguf"])
    assert "refused: lora-gguf" in capsys.readouterr().out
    with pytest.raises(TruemarkError, match="no training data"):
        cli.run(["train", str(file), "--data", str(tmp_path / "none.jsonl")])
    assert "warning: exports: refused: lora-gguf" in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown use_rslore"):
        recipe(lora={"use_rslore": True})
    with pytest.raises(UnknownName, match="recipe"):
        cli.run(["export", "no-such-thing", "--plan"])


@pytest.mark.parametrize(("low", "mean", "high", "allowed", "expected"), [(-0.01, 0.0, 0.01, 0.02, True), (-0.03, 0.0, 0.03, 0.02, None),
                                                                          (-0.2, -0.1, -0.05, 0.02, False), (-0.02, 0.0, 0.0, 0.02, True)])  # fmt: skip
def test_a_difference_passes_fails_or_is_undecided(low: float, mean: float, high: float, allowed: float, expected: bool | None) -> None:  # fmt: skip
    assert measures.judge(Interval(mean, low, high), allowed) is expected


def test_examples_that_would_settle_it() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    few = measures.paired_difference([0.0] * 3 + [1.0] * 61, [1.0, 1.0, 0.0] + [1.0] * 61)
    assert measures.judge(few, 0.05) is None
    needed = measures.examples_needed(few, 0.05, 64)
    assert needed is not None and needed > 64
    more = rng.permutation(np.repeat([[0, 1], [0, 0], [1, 1]], [2, 1, 61], axis=0).repeat(-(-needed // 64), axis=0))
    settled = measures.paired_difference(more[:, 0].tolist(), more[:, 1].tolist())
    assert measures.judge(settled, 0.05) is not None, "as many examples with the same mean decide"
    assert measures.examples_needed(Interval(-0.05, -0.1, 0.0), 0.05, 64) is None, "on the bound no number does"


def test_an_undecided_mark_is_published_and_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mark.measures, "judge", lambda *_: None)
    assert cli.run(["export", "tuned", "--to", "fp16", "--prompts", "3"]) == 0
    assert "UNDECIDED: score" in capsys.readouterr().out
    found = json.loads(Path("tuned.fp16/mark.json").read_text())
    assert found["verdict"] == {"state": "undecided", "passed": False, "failed": [], "undecided": ["score"]}
    assert found["prompts"]["n"] == 3 and not artifacts.open_artifact(Path("tuned.fp16")).manifest.failed
    most = len(domains.get("math").build(7, 1)["test"])
    with pytest.raises(TruemarkError, match=f"expected 1 to {most} prompts"):
        cli.run(["export", "tuned", "--to", "fp16", "--prompts", str(most + 1)])


def test_a_mark_that_cannot_tell_is_measured_once_more_on_more_prompts(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish, "PROMPTS", 2)
    monkeypatch.setattr(publish, "MORE_PROMPTS", 4)
    judged = iter([None, True])
    monkeypatch.setattr(mark.measures, "judge", lambda *_: next(judged))
    assert cli.run(["export", "tuned", "--to", "fp16"]) == 0
    assert "2 prompts leave score undecided: once more on 4" in capsys.readouterr().err
    found = json.loads(Path("tuned.fp16/mark.json").read_text())
    assert found["verdict"]["passed"] and found["prompts"]["n"] == 4
    assert cli.run(["export", "tuned", "--to", "fp16"]) == 0, "and is kept: it has as many as are asked for, and more"
    assert "already there" in capsys.readouterr().err


def test_a_model_card_has_the_hubs_metadata_and_the_mark(home: Path) -> None:
    assert cli.run(["export", "tuned", "--to", "fp16", "--prompts", "3"]) == 0
    text = Path("tuned.fp16/README.md").read_text()
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    metadata = yaml.safe_load(head)
    assert metadata["base_model_relation"] == "merge" and metadata["library_name"] == "transformers"
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["type"] == "accuracy"
    assert "| kl |" in body and "**passed**" in body and "Licence of the base" in body
    from huggingface_hub import ModelCard

    assert ModelCard(text).data.to_dict()["base_model_relation"] == "merge", "the Hub's own reader takes it"
    manifest = artifacts.open_artifact(Path("tuned.fp16")).manifest
    assert "quantized" in card.card(manifest.model_copy(update={"format": "gguf-q8_0"}), json.loads(Path("tuned.fp16/mark.json").read_text()))  # fmt: skip


def row(format: str, speed: float, keeps: bool | None, **more: Any) -> frontier.Row:
    gap = {"mean": 0.0, "low": -0.01, "high": 0.01}
    return {"format": format, "path": format, "mb": 100.0, "state": "passed", "kl": 1e-3, "top1": 1.0, "difference": gap, "peak_rss_mb": 300.0,
            "tokens_per_second": {"1": speed, "16": 4 * speed}, "keeps_score": keeps, **more}  # fmt: skip


def test_the_fastest_that_keeps_the_score_is_recommended() -> None:
    rows = [row("a", 90, False), row("b", 80, None), row("c", 70, True), row("d", 60, True)]
    assert frontier.recommend(rows) is rows[2]
    assert frontier.recommend(rows[:2]) is rows[1]
    assert frontier.recommend(rows[:1]) is None
    assert "more --prompts" in frontier.table(rows[:2], rows[1], 0.01)


def test_fastest_tries_times_recommends_saves_and_plots(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.run(["export", "tuned", "--fastest", "--to", "fp16,torchscript", "--prompts", "3", "--max-loss", "2%"]) == 0
    )
    said = capsys.readouterr().out
    assert "recommended on this machine:" in said and "within 2.0%" in said
    saved = json.loads(Path("results/math/frontier/tuned/frontier.json").read_text())
    assert {entry["format"] for entry in saved["rows"]} == {"fp16", "torchscript"}
    assert all(entry["tokens_per_second"]["1"] > 0 and entry["peak_rss_mb"] > 50 for entry in saved["rows"])
    assert Path("results/math/frontier/tuned/frontier.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(TruemarkError, match="expected a share"):
        cli.run(["export", "tuned", "--fastest", "--max-loss", "a lot"])


def test_training_data_for_openai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["data", "build", "math", "--n", "20"]) == 0
    assert cli.run(["data", "export", "math", "--format", "openai"]) == 0
    rows = [json.loads(line) for line in Path("data/math.train.openai.jsonl").read_text().splitlines()]
    assert len(rows) == 20 and all(set(entry) == {"messages"} for entry in rows)
    assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant"]
    with pytest.raises(UnknownName, match="openai"):
        cli.run(["data", "export", "math", "--format", "opnai"])
    with pytest.raises(UnknownName, match="split"):
        cli.run(["data", "export", "math", "--split", "test"])
    Path("data/math/train.jsonl").write_text('{"messages": [{"role": "user", "content": 7}]}\n' * 10)
    with pytest.raises(InvalidData, match="example 1: expected a role"):
        cli.run(["data", "export", "math"])


def test_every_format_has_its_bounds_and_a_reason() -> None:
    assert set(mark.thresholds()) == set(FORMATS)
    assert all(len(bounds["reason"]) > 20 for bounds in mark.thresholds().values())
