"""TorchScript, torch.export, MLX and the 8-, 16- and 4-bit checkpoints: each passes its mark on a tiny model, and equals PEFT or refuses by name on every architecture."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exports import FORMATS, mark, reference
from exports.source import opened
from tests import tiny
from truemark import artifacts, cli, holds, models
from truemark.errors import CheckFailed, InvalidArtifact, MissingDependency, ModelNotFound, StorageError
from truemark.runtimes import Sampling, open_runtime

NEEDS = {
    "int8-torchao": "torchao", "int8-w8a8": "compressed_tensors", "int8-w8a16": "compressed_tensors",
    "4bit": "bitsandbytes", "mlx": "mlx.core",
}  # fmt: skip
MINE = ["bf16", "torchscript", "pt2", *NEEDS]
ROUNDED = {"int8-torchao", "int8-w8a8", "int8-w8a16", "4bit"}
"""On random weights, whose next tokens are nearly equally probable, the first changed token says little: these lines are for trained models."""
PROMPTS = [[5, 17, 300, 4000, 9, 81, 2222], [40, 41, 42], [7, 700, 4999, 11, 12, 13, 14, 15, 16, 17, 18, 19]]
"""Of unequal lengths, none of them a length that anything is traced with."""


def needs(format: str) -> None:
    if format in NEEDS:
        pytest.importorskip(NEEDS[format], reason=f"{NEEDS[format]} is not installed", exc_type=ImportError)


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the tiny adapter; marks with few and short answers, references kept apart from the user's cache."""
    kept = tiny.shared(tmp_path_factory)
    shutil.copytree(kept / "tuned", tmp_path / "tuned")
    monkeypatch.setattr(reference, "cache_dir", lambda: kept / "cache")
    short = Sampling(max_tokens=12)
    monkeypatch.setattr(reference, "SAMPLING", short)
    monkeypatch.setattr(mark, "SAMPLING", short)
    return tmp_path


def export(adapter: Path, format: str) -> Path:
    """Written as `truemark export` writes it, unmarked."""
    module, _, attribute = FORMATS[format].partition(":")
    path = adapter.parent / f"{adapter.name}.{format}"
    with opened(adapter) as source:
        base = source.artifact.manifest.base
        with artifacts.create(path, kind="export", name=path.name, domain="math", format=format, base=base) as draft:
            getattr(import_module(module), attribute)(source, draft.path, format)
    return path


def made(tmp_path: Path, architecture: str, *, tied: bool = True, variant: str = "all-linear", **config: Any) -> Path:
    """A tiny adapter on a base of an architecture, with other values in its config.json."""
    base = tiny.checkpoint(tmp_path / "base", architecture=architecture, tied=tied)
    file = base / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return tiny.adapter(tmp_path / "tuned", base, variant=variant)


def answers(path: Path) -> tuple[list[np.ndarray], list[tuple[int, ...]], set[int], list[str]]:
    """Log-probabilities of each prompt, the greedy answers to all of them in one left-padded batch, end tokens, vocabulary."""
    with open_runtime(models.resolve(path)) as runtime:
        rows = [runtime.logprobs(prompt)[:, : len(runtime.vocabulary())] for prompt in PROMPTS]
        said = dict(runtime.generate(PROMPTS, Sampling(max_tokens=7)))
        return rows, [said[index].token_ids for index in range(len(PROMPTS))], runtime.eos_ids(), runtime.vocabulary()


def divergence(adapter: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Mean KL(adapter ‖ other), nats per token."""
    return float(np.mean([(np.exp(p) * (p - q)).sum(axis=1).mean() for p, q in zip(adapter, other, strict=True)]))


def assert_same(adapter: Path, path: Path, *, exact: bool) -> None:
    """`exact`: the same fp32 numbers; else far nearer to the adapter than its base is."""
    wanted, found = answers(adapter), answers(path)
    assert found[2:] == wanted[2:]
    if exact:
        for left, right in zip(wanted[0], found[0], strict=True):
            np.testing.assert_allclose(right, left, atol=2e-4)
        assert found[1] == wanted[1]
    else:
        with open_runtime(models.resolve(adapter)) as runtime, runtime.without_adapter():  # type: ignore[attr-defined]
            base = [runtime.logprobs(prompt)[:, : len(runtime.vocabulary())] for prompt in PROMPTS]
        assert 10 * divergence(wanted[0], found[0]) < divergence(wanted[0], base)


@pytest.mark.parametrize("format", MINE)
def test_it_is_published_with_a_passed_mark(home: Path, format: str, capsys: pytest.CaptureFixture[str]) -> None:
    needs(format)
    arguments = ["export", str(home / "tuned"), "--to", format, "--prompts", "6", "--keep-failed"]
    if format in ROUNDED:
        with contextlib.suppress(CheckFailed):
            cli.run(arguments)
    else:
        assert cli.run(arguments) == 0
    found = json.loads((home / f"tuned.{format}" / "mark.json").read_text())
    assert set(found["verdict"]["failed"]) <= ({"top1", "prefix", "perplexity"} if format in ROUNDED else set())
    assert found["size_mb"] > 3


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "qwen2": {"sliding_window": 6, "use_sliding_window": True, "layer_types": ["full_attention", "sliding_attention"]},
    "qwen3": {},
    "gemma": {},
    "gemma2": {"sliding_window": 6},
    "gemma3": {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]},
}
"""With windows shorter than the prompts, where an architecture has windows."""


def some(names: Iterable[str], fast: set[str]) -> list[Any]:
    """Test parameters, those outside `fast` marked slow."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("architecture", some(ARCHITECTURES, {"llama", "qwen2", "gemma3"}))
def test_programs_answer_as_peft_on_every_architecture(tmp_path: Path, architecture: str) -> None:
    adapter = made(tmp_path, architecture, tied=architecture in ("llama", "gemma"), **ARCHITECTURES[architecture])
    for format in ("torchscript", "pt2"):
        assert_same(adapter, export(adapter, format), exact=True)


@pytest.mark.parametrize("architecture", some(ARCHITECTURES, {"qwen3", "gemma3"}))
def test_mlx_answers_as_peft_or_refuses_by_name(tmp_path: Path, architecture: str) -> None:
    needs("mlx")
    adapter = made(tmp_path, architecture, **ARCHITECTURES[architecture])
    if architecture in ("mistral", "qwen2", "gemma2"):
        with pytest.raises(InvalidArtifact, match="sliding window of 6 tokens"):
            export(adapter, "mlx")
        return
    assert_same(adapter, export(adapter, "mlx"), exact=False)


@pytest.mark.parametrize("architecture", some(["mistral", "qwen2", "gemma2"], {"gemma2"}))
def test_mlx_without_a_short_window(tmp_path: Path, architecture: str) -> None:
    needs("mlx")
    adapter = made(tmp_path, architecture, tied=architecture == "gemma2")
    assert_same(adapter, export(adapter, "mlx"), exact=False)


@pytest.mark.parametrize(
    "format", some(["bf16", "int8-torchao", "int8-w8a8", "int8-w8a16", "4bit"], {"int8-torchao", "int8-w8a8"})
)
def test_rounded_checkpoints_of_biased_and_untied_models(tmp_path: Path, format: str) -> None:
    needs(format)
    adapter = made(tmp_path, "qwen2", tied=False)
    assert_same(adapter, export(adapter, format), exact=False)


@pytest.mark.parametrize("variant", some(["new-tokens", "trained-head"], {"new-tokens"}))
def test_a_grown_vocabulary_and_a_head_of_its_own_are_kept(tmp_path: Path, variant: str) -> None:
    adapter = made(tmp_path, "llama", variant=variant)
    for format in ("torchscript", "mlx", "int8-w8a8"):
        needs(format)
        assert_same(adapter, export(adapter, format), exact=format == "torchscript")


ALONE = """
import json, sys
from pathlib import Path
for name in ("transformers", "peft", "accelerate", "trl", "safetensors"):
    sys.modules[name] = None
from truemark.runtimes import Sampling, open_runtime
prompts, path = json.loads(sys.argv[1]), sys.argv[2]
with open_runtime(path) as runtime:
    said = dict(runtime.generate(prompts, Sampling(max_tokens=7)))
    answers = [said[index].token_ids for index in range(len(prompts))]

# and without a line of ours, by what program.json says
import torch
about = json.loads((Path(path) / "program.json").read_text())
file = str(Path(path) / about["file"])
program = torch.jit.load(file) if file.endswith(".torchscript") else torch.export.load(file).module()
ids = torch.tensor(prompts[:1])
past = tuple(torch.zeros(1, layer["heads"], 0, layer["head_dim"]) for layer in about["layers"] for _ in range(2))
logits, _ = program(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None], torch.tensor([ids.shape[1] - 1]), past)
assert logits.shape == (1, 1, about["vocabulary"]) and int(logits.argmax()) == answers[0][0]
print(json.dumps(answers))
"""


@pytest.mark.parametrize("format", ["torchscript", "pt2"])
def test_programs_run_with_torch_alone(home: Path, format: str) -> None:
    path = export(home / "tuned", format)
    run = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(PROMPTS), str(path)], capture_output=True, text=True, timeout=200, check=False
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert [tuple(answer) for answer in json.loads(run.stdout)] == answers(home / "tuned")[1]


def test_a_pt2_with_a_pickle_and_files_from_elsewhere_are_not_loaded(home: Path) -> None:
    path = export(home / "tuned", "pt2")
    with zipfile.ZipFile(path / "model.pt2") as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        assert not [name for name, content in entries.items() if content[:2] in (b"\x80\x02", b"PK")], (
            "ours hold no pickle"
        )
    name = next(name for name in entries if "/sample_inputs/" in name)
    with zipfile.ZipFile(path / "model.pt2", "w") as archive:
        for entry, content in {**entries, name: b"\x80\x04."}.items():
            archive.writestr(entry, content)
    with pytest.raises(InvalidArtifact, match="was changed"):
        open_runtime(str(path))
    manifest = artifacts.open_artifact(path, verify=False).manifest
    manifest.files = artifacts._hash_files(path)
    (path / artifacts.MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(InvalidArtifact, match="pickled data"):
        open_runtime(str(path))
    (path / "model.pt2").write_bytes(b"not a zip")
    manifest.files = artifacts._hash_files(path)
    (path / artifacts.MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(InvalidArtifact, match="cannot be read"):
        open_runtime(str(path))
    (path / artifacts.MANIFEST).unlink()
    with pytest.raises(ModelNotFound):
        open_runtime(str(path))


@pytest.mark.parametrize(("format", "change", "words"), [
    ("torchscript", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "'dynamic' rotary"),
    ("pt2", {"model_type": "mixtral"}, "this is mixtral"),
    ("mlx", {"hidden_act": "gelu"}, "computes 'silu'"),
])  # fmt: skip
def test_what_a_format_cannot_hold_is_refused_before_any_work(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    format: str, change: dict[str, Any], words: str,
) -> None:  # fmt: skip
    needs(format)
    adapter = made(tmp_path, "llama", **change) if "model_type" not in change else made(tmp_path, "llama")
    if "model_type" in change:  # an adapter cannot be made on a broken base: break it afterwards
        file = tmp_path / "base" / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    monkeypatch.setattr("exports.source.merge", lambda *_: pytest.fail("it was merged"))
    with pytest.raises(InvalidArtifact, match=words):
        cli.run(["export", str(adapter), "--to", format])
    assert not (tmp_path / f"tuned.{format}").exists()


@pytest.mark.parametrize("format", ["torchscript", "pt2"])
def test_a_full_disk_is_said_before_torch_writes(home: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 4096))  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match="no space left"):
        cli.run(["export", str(home / "tuned"), "--to", format])
    assert [path.name for path in home.iterdir()] == ["tuned"]


@pytest.mark.parametrize(("config", "words"), [
    ({"model_type": "phi3"}, "this is phi3"),
    ({"model_type": "llama", "rope_parameters": {"rope_type": "yarn"}}, "'yarn'"),
    ({"model_type": "llama", "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial"),
    ({"model_type": "gemma", "tie_word_embeddings": False}, "untied"),
    ({"model_type": "qwen3", "attention_bias": True}, "biases"),
    ({"model_type": "gemma2", "attn_logit_softcapping": None}, "not capped"),
    ({"model_type": "gemma3_text", "layer_types": ["sliding_attention"]}, "every n-th layer"),
])  # fmt: skip
def test_what_mlx_would_compute_otherwise_is_named(config: dict[str, Any], words: str) -> None:
    assert words in str(holds.mlx(config))


@pytest.mark.parametrize(("format", "module"), [("int8-torchao", "torchao"), ("int8-w8a8", "compressed_tensors"), ("4bit", "bitsandbytes")])  # fmt: skip
def test_a_missing_package_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, format: str, module: str) -> None:
    for name in (module, "torchao.quantization", "compressed_tensors.compressors"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=module):
        cli.run(["export", str(home / "tuned"), "--to", format])
    assert [path.name for path in home.iterdir()] == ["tuned"]


def test_a_weight_beyond_fp16_is_refused_there_and_kept_in_bf16(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    base = tiny.checkpoint(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.weight"][0, 0] = 1e5
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    adapter = tiny.adapter(tmp_path / "tuned", base)
    with pytest.raises(InvalidArtifact, match=r"q_proj.weight does not fit fp16.*65,504"):
        export(adapter, "fp16")
    stored = load_file(export(adapter, "bf16") / "model.safetensors")
    assert stored["model.layers.0.self_attn.q_proj.weight"].isfinite().all()
