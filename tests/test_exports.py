"""Exports on a tiny model: a true one passes its mark; every way of being fooled that we know fails it, by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from exports import FORMATS, mark, measures, publish, reference, source
from exports.measures import Distributions
from tests import tiny
from truemark import artifacts, cli
from truemark.errors import CheckFailed, InvalidArtifact, ModelNotFound, TruemarkError, UnknownName
from truemark.runtimes import Sampling


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the tiny base and adapter; marks with few and short answers, references kept apart from the user's cache."""
    kept = tiny.shared(tmp_path_factory)
    shutil.copytree(kept / "tuned", tmp_path / "tuned")
    monkeypatch.setattr(reference, "PROMPTS", 6)
    short = Sampling(max_tokens=12)
    monkeypatch.setattr(reference, "SAMPLING", short)
    monkeypatch.setattr(mark, "SAMPLING", short)
    monkeypatch.setattr(reference, "cache_dir", lambda: kept / "cache")
    return tmp_path


def rehash(path: Path) -> None:
    """What a forger would do: make the manifest agree with the changed files."""
    artifact = artifacts.open_artifact(path, verify=False)
    manifest = artifact.manifest
    manifest.files = artifacts._hash_files(path)
    (path / artifacts.MANIFEST).write_text(manifest.model_dump_json())


def failed_lines(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Names of the failed lines of `truemark verify`, which must exit with 1."""
    capsys.readouterr()
    with pytest.raises(CheckFailed):
        cli.run(["verify", str(path), "--json"])
    return list(json.loads(capsys.readouterr().out)["verdict"]["failed"])


@pytest.mark.parametrize("format", ["fp16", "gguf-f16", "lora-gguf"])
def test_an_export_is_published_with_a_passed_mark(home: Path, format: str, capsys: pytest.CaptureFixture[str]) -> None:
    if format == "lora-gguf":
        with pytest.raises(CheckFailed):  # its base has no GGUF file here: said by name, nothing published
            cli.run(["export", str(home / "tuned"), "--to", format])
        assert "no GGUF here" in capsys.readouterr().out
        assert not (home / "tuned.lora-gguf").exists()
        return
    to = ["--to", "gguf", "--quant", "f16"] if format.startswith("gguf") else ["--to", format]
    assert cli.run(["export", str(home / "tuned"), *to]) == 0
    export = artifacts.open_artifact(home / f"tuned.{format}")
    found = json.loads((export.path / "mark.json").read_text())
    assert found["verdict"] == {"passed": True, "failed": []}
    assert found["adapter"]["sha256"] == artifacts.open_artifact(home / "tuned").sha
    assert {check["name"] for check in found["checks"]} == {
        "template", "prompt_tokens", "vocabulary", "eos", "kl", "kl_p99", "top1", "perplexity", "canary", "prefix", "score"}  # fmt: skip
    before = (export.path / "mark.json").stat().st_mtime_ns
    assert cli.run(["export", str(home / "tuned"), *to]) == 0
    assert (export.path / "mark.json").stat().st_mtime_ns == before, "the second run has nothing to do"
    assert cli.run(["verify", str(export.path)]) == 0
    assert "PASSED" in capsys.readouterr().out


@pytest.fixture
def exported(home: Path) -> Path:
    assert cli.run(["export", str(home / "tuned"), "--to", "fp16"]) == 0
    return home / "tuned.fp16"


def test_one_changed_weight_fails_integrity(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = exported / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-500] ^= 0x10
    weights.write_bytes(content)
    assert failed_lines(exported, capsys) == ["integrity"]


def test_changed_weights_with_a_forged_manifest_fail_the_measured_lines(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(exported / "model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    tensors[name] = tensors[name] * 1.5
    save_file(tensors, exported / "model.safetensors", metadata={"format": "pt"})
    rehash(exported)
    assert {"kl", "kl_p99"} <= set(failed_lines(exported, capsys))


def test_a_swapped_template_fails_template_and_prompt_tokens(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "chat_template.jinja").write_text(
        "{% for m in messages %}User: {{ m['content'] }}\n{% endfor %}Assistant:"
    )
    rehash(exported)
    assert failed_lines(exported, capsys)[:2] == ["template", "prompt_tokens"]


def test_the_base_in_place_of_the_adapter_fails_the_canary(exported: Path, tmp_path_factory: pytest.TempPathFactory,
                                                           capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    import torch
    from safetensors.torch import load_file, save_file

    base = load_file(tiny.shared(tmp_path_factory) / "base" / "model.safetensors")
    save_file(
        {name: tensor.to(torch.float16) for name, tensor in base.items()},
        exported / "model.safetensors",
        metadata={"format": "pt"},
    )
    rehash(exported)
    assert "canary" in failed_lines(exported, capsys)


def test_an_export_of_the_base_is_not_published(home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    base = tiny.shared(tmp_path_factory) / "base"

    def forget_the_adapter(ref: object, base_ref: object, out: Path) -> None:
        shutil.copytree(base, out, dirs_exist_ok=True)
        shutil.copy(home / "tuned" / "chat_template.jinja", out)

    monkeypatch.setattr(source, "merge", forget_the_adapter)
    with pytest.raises(CheckFailed, match=r"tuned\.fp16"):
        cli.run(["export", str(home / "tuned"), "--to", "fp16"])
    assert [path.name for path in home.iterdir()] == ["tuned"], "nothing is left behind"
    with pytest.raises(CheckFailed):
        cli.run(["export", str(home / "tuned"), "--to", "fp16", "--keep-failed"])
    assert artifacts.open_artifact(home / "tuned.fp16").manifest.failed


def test_a_changed_or_missing_parent_is_said(exported: Path, home: Path) -> None:
    shutil.rmtree(home / "tuned")
    with pytest.raises(InvalidArtifact, match="made from tuned@"):
        publish.verify(exported)


def test_interruption_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "measure", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cli.run(["export", str(home / "tuned"), "--to", "fp16"])
    assert [path.name for path in home.iterdir()] == ["tuned"]


def change_weights(path: Path, change: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = path / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if "lora_B" in name)
    if change == "nan":
        tensors[name][0, 0] = float("nan")
    elif change == "rank":
        (path / "adapter_config.json").write_text(
            (path / "adapter_config.json").read_text().replace('"r": 4', '"r": 8')
        )
    elif change == "nothing":
        tensors = {name: torch.zeros_like(tensor) if "lora_B" in name else tensor for name, tensor in tensors.items()}
    save_file(tensors, file)
    if change == "truncated":
        file.write_bytes(file.read_bytes()[:-200])
    elif change == "pickle":
        (path / "adapter_model.bin").write_bytes(b"\x80\x04.")
    rehash(path)


@pytest.mark.parametrize(("change", "words"), [("nan", "NaN or Inf"), ("rank", "says rank 8"), ("truncated", "cut off"),
                                               ("pickle", "pickled"), ("nothing", "does nothing|is its base")])  # fmt: skip
def test_a_bad_adapter_is_refused_before_any_work(home: Path, change: str, words: str) -> None:
    change_weights(home / "tuned", change)
    with pytest.raises(InvalidArtifact, match=words):
        cli.run(["export", str(home / "tuned"), "--to", "fp16"])
    assert [path.name for path in home.iterdir()] == ["tuned"]


def test_another_revision_of_the_base_is_refused(home: Path) -> None:
    manifest = artifacts.open_artifact(home / "tuned").manifest
    manifest.base.sha256 = "0" * 64
    (home / "tuned" / artifacts.MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(ModelNotFound, match="another revision"):
        cli.run(["export", str(home / "tuned"), "--to", "fp16"])
    manifest.base.ref = str(home / "gone")
    (home / "tuned" / artifacts.MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(ModelNotFound, match="gone"):
        cli.run(["export", str(home / "tuned"), "--to", "fp16"])


def test_usage() -> None:
    assert publish.formats("fp16,gguf", "f16,q8_0") == ["fp16", "gguf-f16", "gguf-q8_0"]
    with pytest.raises(UnknownName, match="gguf"):
        publish.formats("gguff", "f16")
    with pytest.raises(UnknownName, match="gguf-q8_0"):
        publish.formats("gguf", "q8")
    with pytest.raises(TruemarkError, match="no format"):
        publish.formats(" , ", "f16")
    assert set(mark.thresholds()) == set(FORMATS), "every format has its bounds"


logits = arrays(np.float32, (3, 40), elements=st.floats(-8, 8, width=32))


def log_softmax(values: np.ndarray) -> np.ndarray:
    values = values - values.max(axis=1, keepdims=True)
    result: np.ndarray = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return result


@given(logits, logits)
def test_kl_is_never_negative_never_above_the_full_one_and_zero_for_itself(one: np.ndarray, other: np.ndarray) -> None:
    p, q = log_softmax(one), log_softmax(other)
    full = (np.exp(p) * (p - q)).sum(axis=1)
    assert np.allclose(measures.kl_per_token(Distributions.of(p, top=40), q), full, atol=1e-4)
    kept = measures.kl_per_token(Distributions.of(p, top=5), q)
    assert (kept >= 0).all() and (kept <= full + 1e-4).all()
    assert np.allclose(measures.kl_per_token(Distributions.of(p, top=5), p), 0, atol=1e-6)


def test_measures_by_hand() -> None:
    p = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], dtype=np.float32))
    q = np.log(np.array([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]], dtype=np.float32))
    found = measures.kl_per_token(Distributions.of(p), q)
    assert found == pytest.approx([0.25 * np.log(2), 0], abs=1e-6)
    assert measures.top1_agreement(Distributions.of(p), q).tolist() == [False, True]
    assert measures.nll(p, [0, 1]) == pytest.approx([np.log(2), -np.log(0.8)])
    assert measures.perplexity_ratio(np.array([np.log(4)]), np.array([np.log(2)])) == pytest.approx(2)
    assert measures.prefix_match([1, 2, 3, 4], [1, 2, 9]) == 0.5 and measures.prefix_match([], []) == 1
    gap = measures.paired_difference([1, 1, 0, 1], [1, 0, 0, 1])
    assert gap.mean == 0.25 and gap.low <= 0.25 <= gap.high
    assert measures.paired_difference([1, 0], [1, 0]) == measures.Interval(0, 0, 0)
