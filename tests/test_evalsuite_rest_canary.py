"""The canary: an eval scores the adapter that its manifest tells of, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import domains
from evalsuite.evaluations import Evaluation
from tests import evalsuite_helpers as toy
from tests import tiny
from truemark import artifacts, canary, cli, models, runtimes
from truemark.artifacts import Manifest, Probe
from truemark.files import write_jsonl
from truemark.runtimes import open_runtime

SHIPPED = Path(__file__).parent.parent / "adapters" / "math-smollm2"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
    monkeypatch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{toy.__name__}:ToyRuntime")
    toy.write_data(Path("data/toy/test.jsonl"))
    toy.checkpoint(Path("base"), rate=0.0)
    toy.adapter(Path("runs/a"), Path("base"), rate=0.9, seed=1)
    return tmp_path


def keep(adapter: str, *probes: tuple[str, str]) -> None:
    """Put what the adapter and its base say of `7 + 7` and so on into a manifest, as training does."""
    path = Path(adapter) / artifacts.MANIFEST
    manifest = Manifest.model_validate_json(path.read_bytes())
    manifest.canary = [
        Probe(messages=[{"role": "user", "content": f"{i} + {i}"}], adapter=own, base=base)
        for i, (own, base) in enumerate(probes, 7)
    ]
    path.write_text(manifest.model_dump_json())


def evaluate(*words: str, code: int = 0) -> None:
    assert cli.run(["eval", "toy", "--runtime", "toy", *words]) == code


def evaluation(name: str) -> Evaluation:
    return Evaluation.model_validate_json(next(Path("results").rglob(f"scores/*/{name}*.json")).read_bytes())


def test_the_adapter_of_the_manifest_is_scored(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep("runs/a", ("14", "I am not sure"), ("16", "I am not sure"))
    evaluate("--model", "runs/a")
    assert evaluation("a@").canary == "matched"
    assert "canary: 2 of 2 to answer" in capsys.readouterr().err
    rows = [json.loads(line) for line in next(Path("results/toy/also/canary").rglob("*.jsonl")).open()]
    assert [row["sampling"]["max_tokens"] for row in rows] == [canary.TOKENS] * 2
    monkeypatch.setattr(toy.ToyRuntime, "__init__", lambda *_: pytest.fail("opened a model for nothing"))
    evaluate("--model", "runs/a")


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (("I am sure", "14"), "answers like its base"),
        (("fourteen it is", "I am not sure"), "answers like neither its adapter nor its base"),
    ],
)
def test_another_model_is_refused_before_it_is_asked_more(
    here: Path, kept: tuple[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep("runs/a", kept, kept)
    evaluate("--model", "base", "--model", "runs/a", code=1)
    told = capsys.readouterr()
    assert words in told.err.replace("\n", " ") and "It was not scored" in told.err
    assert "base" in told.out, "the other model has its row"
    assert not list(Path("results").rglob("predictions/a@*")) and not list(Path("results").rglob("scores/*/a@*"))


def test_a_manifest_of_an_earlier_version_is_said_and_scored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate("--model", "base", "--model", "runs/a")
    assert "has no canary in its manifest" in capsys.readouterr().err
    assert (evaluation("a@").canary, evaluation("base").canary) == ("absent", "unasked")


def test_the_shipped_adapter_is_still_read() -> None:
    manifest = artifacts.open_artifact(SHIPPED).manifest
    content = json.loads((SHIPPED / artifacts.MANIFEST).read_text())
    content.pop("canary", None)
    assert Manifest.model_validate(content).model_copy(update={"canary": manifest.canary}) == manifest


def test_an_artifacts_hash_does_not_know_its_canary(here: Path) -> None:
    before = artifacts.open_artifact(Path("runs/a")).sha
    keep("runs/a", ("14", "x"))
    assert artifacts.open_artifact(Path("runs/a")).sha == before


words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=6).map(" ".join)


@given(words, words)
def test_likeness_is_a_share(own: str, kept: str) -> None:
    found = canary.compare([Probe(messages=[], adapter=kept, base=own)], [own])
    assert 0 <= found.adapter <= 1 and found.base == 1
    assert (found.adapter == 1) == (own.split() == kept.split())


@pytest.mark.parametrize(
    ("adapter", "base", "as_adapter", "as_export"),
    [(1.0, 0.1, True, True), (0.5, 0.1, False, True), (0.9, 0.9, False, False), (0.1, 0.0, False, False)],
)
def test_who_it_is(adapter: float, base: float, as_adapter: bool, as_export: bool) -> None:
    found = canary.Likeness(adapter, base)
    assert (found.is_adapter(export=False), found.is_adapter(export=True)) == (as_adapter, as_export)


def test_what_a_real_adapter_says_is_told_from_its_base(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("torch")
    home = tiny.shared(tmp_path_factory)
    room = domains.get("math")
    ref = models.resolve(home / "tuned")
    probes = canary.record(ref, [room.messages(question) for question in room.CARD.examples])
    assert probes and all(probe.adapter != probe.base for probe in probes)
    with open_runtime(ref) as runtime:
        texts = dict(runtime.generate([probe.messages for probe in probes], canary.SAMPLING))
        found = canary.compare(probes, [texts[i].text for i in range(len(probes))])
        assert found.adapter == 1 and found.is_adapter(export=False)
        ids = [runtime.prompt_ids(probe.messages) for probe in probes]
    with open_runtime(str(home / "base")) as base:
        said = dict(base.generate(ids, canary.SAMPLING))
    found = canary.compare(probes, [said[i].text for i in range(len(probes))])
    assert found.base > 0.9 and not found.is_adapter(export=True)


@pytest.mark.slow
def test_training_keeps_it_and_an_eval_finds_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    splits = domains.get("math").build(3, 24, ["basics"])
    for name in ("train", "test"):
        write_jsonl(Path(f"data/math/{name}.jsonl"), [dict(row) for row in splits[name][:24]])
    values = {"name": "t", "domain": "math", "base": str(tiny.shared(tmp_path_factory) / "base"), "lora": {"rank": 4, "alpha": 8}, "optim": {"steps": 12, "batch_size": 2, "warmup_steps": 2, "learning_rate": 0.02}}  # fmt: skip
    Path("t.yaml").write_text(json.dumps(values))
    assert cli.run(["train", "t.yaml", "--out", "runs/t"]) == 0
    probes = artifacts.open_artifact(Path("runs/t")).manifest.canary
    assert probes and all(probe.adapter != probe.base for probe in probes)
    words = ["eval", "math", "--model", "runs/t", "--limit", "2", "--max-tokens", "8", "--allow-contaminated"]
    assert cli.run(words) == 0
    assert evaluation("t@").canary == "matched"
