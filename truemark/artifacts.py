"""An artifact is a directory with `truemark.json`: what it is, what it was made from, and the hash of every file.

    with artifacts.create(Path("runs/math-smollm2"), kind="adapter", name="math-smollm2", ...) as draft:
        model.save_pretrained(draft.path)
        draft.manifest.seed = 7
    artifact = artifacts.open_artifact(Path("runs/math-smollm2"))   # verifies the hashes
    artifact.id                                                    # math-smollm2@3f9c0a1b2d4e

`artifact.sha` is the hash of what the artifact *does* (weights, tokenizer, template, parents), not of what describes
it (mark, scores, plots, README), so the same weights made twice have one id.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from truemark.errors import InvalidArtifact
from truemark.files import publish_directory, sha256_file, sha256_json, write_json

MANIFEST = "truemark.json"
UNSAFE_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
_DESCRIPTIVE_NAMES = {"mark.json", "training.json", "scores.json", "README.md"}
_DESCRIPTIVE_SUFFIXES = {".png"}
_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "llama-cpp-python",
    "gguf",
    "onnxruntime",
    "onnxruntime-genai",
    "torchao",
    "sympy",
)


Kind = Literal["adapter", "export", "scorer", "model"]
"""`scorer` judges text and writes none (a reward model); `model` was trained from scratch and stands on no base."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileEntry(_Strict):
    sha256: str
    size: int
    """Bytes."""


class Parent(_Strict):
    """An artifact this one was made from."""

    name: str
    sha256: str
    """`Artifact.sha` of the parent."""
    path: str
    """Where it lay when this one was made; absolute, or relative to the directory that holds this artifact."""


class Base(_Strict):
    """The base model an adapter or export stands on."""

    ref: str
    """Model reference that resolves to it, e.g. `smollm2-135m`."""
    sha256: str
    """Hash of the base's weights."""
    licence: str = "unknown"
    access: str = "open"
    """One line: who may fetch it, and the licence step where it is gated."""


class Probe(_Strict):
    """A question, and what the adapter and its base say to it (truemark/canary.py)."""

    messages: list[dict[str, str]]
    adapter: str
    base: str


class Manifest(_Strict):
    """The content of `truemark.json`."""

    schema_version: Literal[1] = 1
    kind: Kind
    name: str
    domain: str
    format: str
    """`peft` for an adapter; for an export `fp16`, `gguf-q8_0`, `lora-gguf`, …"""
    base: Base
    """The reference `none` where the kind is `model`."""
    parents: list[Parent] = Field(default_factory=list)
    recipe: dict[str, Any] = Field(default_factory=dict)
    data_sha256: str | None = None
    """Hash of the training file."""
    levels: list[str] = Field(default_factory=list)
    """Levels of the domain that the training file holds; empty where it holds none. Marks are measured on the same ones."""
    seed: int | None = None
    trust_remote_code: bool = False
    canary: list[Probe] = Field(default_factory=list)
    """What the adapter says, to tell by that it is the one that runs; empty in artifacts of earlier versions."""
    failed: bool = False
    """True for an export kept with `--keep-failed`: its mark did not pass."""
    created: str = ""
    git_commit: str | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    files: dict[str, FileEntry] = Field(default_factory=dict)


@dataclass
class Draft:
    """An artifact while it is being written: put files under `path`, set fields of `manifest`."""

    path: Path
    manifest: Manifest


@dataclass(frozen=True)
class Artifact:
    """An artifact that lies whole on disk."""

    path: Path
    manifest: Manifest

    @property
    def sha(self) -> str:
        """Hex SHA-256 over the hashes of all files that define behaviour."""
        files = {name: entry.sha256 for name, entry in self.manifest.files.items() if not _descriptive(name)}
        return sha256_json({"kind": self.manifest.kind, "base": self.manifest.base.sha256, "files": files})

    @property
    def id(self) -> str:
        """`name@sha12`, the id used in predictions and on the leaderboard."""
        return f"{self.manifest.name}@{self.sha[:12]}"


@contextlib.contextmanager
def create(path: Path, *, kind: Kind, name: str, domain: str, format: str, base: Base) -> Iterator[Draft]:
    """Write an artifact atomically: nothing is visible under `path` until the block has ended well.

    Raises StorageError when the disk is full or unwritable.
    """
    with publish_directory(path) as tmp:
        draft = Draft(tmp, Manifest(kind=kind, name=name, domain=domain, format=format, base=base))
        yield draft
        manifest = draft.manifest
        manifest.created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest.git_commit = git_commit()
        manifest.libraries = library_versions()
        manifest.machine = machine()
        manifest.files = _hash_files(tmp)
        write_json(tmp / MANIFEST, manifest.model_dump())


def open_artifact(path: Path, *, verify: bool = True) -> Artifact:
    """Read an artifact; with `verify`, re-hash every file. Raises InvalidArtifact naming the first file that differs."""
    manifest_path = path / MANIFEST
    if not path.is_dir():
        raise InvalidArtifact(f"no artifact at {path}: expected a directory with {MANIFEST}", mend="truemark models")
    if not manifest_path.is_file():
        raise InvalidArtifact(f"{path} has no {MANIFEST}: half-written, or not made by truemark", mend="make it again")
    try:
        manifest = Manifest.model_validate_json(manifest_path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise InvalidArtifact(f"{manifest_path} is not a valid manifest: {where}: {first['msg']}") from None
    for name in manifest.files:
        _refuse_outside(path, name)
    artifact = Artifact(path, manifest)
    if verify:
        _verify_files(artifact)
    return artifact


def is_artifact(path: Path) -> bool:
    """True where `path` holds a manifest (which may still prove invalid)."""
    return (path / MANIFEST).is_file()


def refuse_unsafe_files(path: Path) -> None:
    """Raise InvalidArtifact if a model directory holds pickled tensors: loading them runs their author's code."""
    for file in sorted(path.rglob("*")):
        if file.suffix in UNSAFE_SUFFIXES and file.is_file():
            raise InvalidArtifact(
                f"{file} may hold pickled code: expected safetensors only", mend="convert it to .safetensors first"
            )


def _refuse_outside(path: Path, name: str) -> None:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InvalidArtifact(f"{path / MANIFEST} names a file outside the artifact: {name!r}")


def _verify_files(artifact: Artifact) -> None:
    found = set(_files_of(artifact.path))
    expected = set(artifact.manifest.files)
    for name in sorted(expected - found):
        raise InvalidArtifact(f"{artifact.path}: {name} is missing", mend="make the artifact again")
    for name, entry in sorted(artifact.manifest.files.items()):
        if sha256_file(artifact.path / name) != entry.sha256:
            raise InvalidArtifact(
                f"{artifact.path}: {name} was changed after the artifact was made", mend="make it again"
            )
    for name in sorted(found - expected):
        if not _descriptive(name):
            raise InvalidArtifact(
                f"{artifact.path}: {name} is not in the manifest", mend=f"remove it, or make {artifact.path} again"
            )


def _files_of(path: Path) -> Iterator[str]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != MANIFEST:
            yield file.relative_to(path).as_posix()


def _hash_files(path: Path) -> dict[str, FileEntry]:
    return {
        name: FileEntry(sha256=sha256_file(path / name), size=(path / name).stat().st_size) for name in _files_of(path)
    }


def _descriptive(name: str) -> bool:
    return Path(name).name in _DESCRIPTIVE_NAMES or Path(name).suffix in _DESCRIPTIVE_SUFFIXES


def git_commit() -> str | None:
    """Commit of the checkout in the working directory, `-dirty` when files differ; None outside a checkout."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None


def library_versions() -> dict[str, str]:
    """Versions of the libraries that shape an artifact, as installed here."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def machine() -> str:
    """One line: processor, cores, memory, system."""
    import os

    cpu = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores, {gib:.0f} GiB, {platform.system()}"
