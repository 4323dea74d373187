"""From an adapter to published exports, and from a published export back to its mark."""

from __future__ import annotations

import dataclasses
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from exports import FORMATS, GROUPS
from exports.card import card
from exports.mark import MARK, Check, failed_mark, measure, thresholds
from exports.reference import MORE_PROMPTS, PROMPTS, held_out_size, reference
from exports.source import Source, opened
from truemark import artifacts, models, portability, recipe
from truemark.artifacts import Artifact, Parent
from truemark.console import say
from truemark.errors import InvalidArtifact, TruemarkError, UnknownName
from truemark.files import require_room, write_json, write_text


def formats(to: str, quants: str) -> list[str]:
    """`("fp16,int8,gguf", "f16,q8_0")` → rows of FORMATS: a group is its members, `gguf` its `--quant`s. Raises UnknownName."""
    wanted: list[str] = []
    for name in (word.strip() for word in to.split(",") if word.strip()):
        if name == "gguf":
            wanted += [f"gguf-{quant.strip()}" for quant in quants.split(",")]
        else:
            wanted += GROUPS.get(name, (name,))
    for name in wanted:
        if name not in FORMATS:
            raise UnknownName("format", name, [*FORMATS, *GROUPS, "gguf"])
    if not wanted:
        raise TruemarkError("no format given", mend=f"--to {','.join(FORMATS)}")
    return list(dict.fromkeys(wanted))


def planned(text: str) -> portability.Plan:
    """What an adapter directory, or a recipe by path, name or domain, would bring to its exports."""
    if Path(text).is_dir():
        found = models.resolve(text)
        return portability.of_adapter(found.local_path(), found.base())
    return portability.of_recipe(recipe.load(text))


def export(
    adapter: Path, wanted: list[str], out: Path | None, *, keep_failed: bool, prompts: int | None = None
) -> list[tuple[Path, dict[str, Any]]]:
    """Make every format in `wanted`; returns (path, mark) of each. What exists with a mark of this adapter that did not fail is left as it is.

    A mark is of `prompts` held-out prompts; by default of PROMPTS, and where these leave the score undecided, of up to MORE_PROMPTS.

    Raises InvalidArtifact before any work when one of the formats cannot hold this adapter, StorageError when there is no room for it.
    A format that fails its mark is not published unless `keep_failed`; it is in the result all the same.
    """
    made = []
    with opened(adapter) as source:
        portability.refuse(portability.of_adapter(source.path, source.base), wanted)
        _require_room(source, out or source.path.parent)
        for format in wanted:
            path = (out or source.path.parent) / f"{source.artifact.manifest.name}.{format}"
            mark = _existing(path, source, format, prompts)
            if mark is not None:
                say(f"{path} is already there, from this adapter, its mark {mark['verdict']['state']}")
            else:
                mark = make(source, format, path, keep_failed=keep_failed, prompts=prompts)
            made.append((path, mark))
    return made


def _require_room(source: Source, out: Path) -> None:
    """Room for the largest export and for what it is made from: the fp32 merge, and a converter's copy of it."""
    import tempfile

    fp32 = sum(file.stat().st_size for file in source.base.local_path().glob("*.safetensors"))
    require_room(Path(tempfile.gettempdir()), 2 * fp32)
    require_room(out, fp32)


def _existing(path: Path, source: Source, format: str, prompts: int | None) -> dict[str, Any] | None:
    if not artifacts.is_artifact(path):
        return None
    try:
        artifact = artifacts.open_artifact(path)
        mark: dict[str, Any] = json.loads((path / MARK).read_text(encoding="utf-8"))
        fresh = artifact.manifest.parents[0].sha256 == source.artifact.sha and not artifact.manifest.failed
        state, n = mark["verdict"]["state"], mark["prompts"]["n"]
        least = _more(source) if state == "undecided" else PROMPTS
        same = mark["thresholds"] == thresholds()[format] and (n == prompts if prompts else n >= least)
        return mark if fresh and same and state != "failed" else None
    except (
        InvalidArtifact,
        OSError,
        ValueError,
        LookupError,
        TypeError,
    ):  # whatever is wrong with it, it is made again
        return None


class _MarkFailed(Exception):
    """Leaves the draft of an export whose mark failed unpublished."""


def make(source: Source, format: str, path: Path, *, keep_failed: bool, prompts: int | None) -> dict[str, Any]:
    """Write one export and measure it; published at `path` unless its mark failed. Returns the mark."""
    module, _, attribute = FORMATS[format].partition(":")
    writer = getattr(import_module(module), attribute)
    manifest = source.artifact.manifest
    mark: dict[str, Any] = {}
    try:
        with artifacts.create(
            path, kind="export", name=path.name, domain=manifest.domain, format=format, base=manifest.base
        ) as draft:
            say(f"writing {path}")
            writer(source, draft.path, format)
            draft.manifest.parents = [
                Parent(name=manifest.name, sha256=source.artifact.sha, path=_relative(source.path, path))
            ]
            for field in ("recipe", "data_sha256", "levels", "seed", "canary"):
                setattr(draft.manifest, field, getattr(manifest, field))
            mark = _marked(Artifact(draft.path, draft.manifest), source, prompts)
            write_json(draft.path / MARK, mark)
            write_text(draft.path / "README.md", card(draft.manifest, mark))
            draft.manifest.failed = mark["verdict"]["state"] == "failed"
            if draft.manifest.failed and not keep_failed:
                raise _MarkFailed
    except _MarkFailed:
        say(f"not published: {path} failed {', '.join(mark['verdict']['failed'])} (--keep-failed keeps it, labelled)")
    return mark


def _marked(export: Artifact, source: Source, prompts: int | None) -> dict[str, Any]:
    """The mark on `prompts` prompts; where none were asked for and the first cannot tell, once more on as many as there are, up to MORE_PROMPTS."""
    domain, more = export.manifest.domain, _more(source)
    mark = measure(export, reference(source.ref, source.base, domain, prompts or PROMPTS))
    if prompts is None and mark["verdict"]["state"] == "undecided" and more > PROMPTS:
        say(f"{PROMPTS} prompts leave {', '.join(mark['verdict']['undecided'])} undecided: once more on {more}")
        mark = measure(export, reference(source.ref, source.base, domain, more))
    return mark


def _more(source: Source) -> int:
    return min(held_out_size(source.artifact.manifest.domain, source.ref.levels), MORE_PROMPTS)


def _relative(parent: Path, child: Path) -> str:
    """The parent's path as seen from the directory that holds the child, so that both can be moved together."""
    import os

    return os.path.relpath(parent.absolute(), child.absolute().parent)


def verify(path: Path, prompts: int | None = None) -> dict[str, Any]:
    """Recompute the mark of a published export, on as many prompts as before or on `prompts`. The first line, `integrity`, says whether its files are those of its manifest.

    Raises InvalidArtifact when `path` is no export, or its adapter is not beside it any more.
    """
    artifact = artifacts.open_artifact(path, verify=False)
    if artifact.manifest.kind != "export":
        raise InvalidArtifact(
            f"{path} is an {artifact.manifest.kind}, expected an export", mend=f"truemark export {path} --to fp16,gguf"
        )
    integrity = _integrity(path)
    if not integrity.passed:  # files that are not the marked ones are not run
        return failed_mark(artifact, [integrity])
    source = _parent(artifact)
    n = prompts or _prompts_before(path)
    mark = measure(artifact, reference(source, source.base(), artifact.manifest.domain, n))
    return {**mark, "checks": [dataclasses.asdict(integrity), *mark["checks"]]}


def _prompts_before(path: Path) -> int:
    try:
        return int(json.loads((path / MARK).read_text(encoding="utf-8"))["prompts"]["n"])
    except (OSError, ValueError, LookupError, TypeError):  # a mark that is gone or broken is what verify replaces
        return PROMPTS


def _integrity(path: Path) -> Check:
    try:
        artifacts.open_artifact(path)
        artifacts.refuse_unsafe_files(path)
    except InvalidArtifact as error:
        return Check("integrity", False, True, False, error.message)
    return Check("integrity", True, True, True, "every file has the hash in truemark.json")


def _parent(artifact: Artifact) -> models.ModelRef:
    """The adapter an export was made from. Raises InvalidArtifact when it is gone or is not that adapter any more."""
    if not artifact.manifest.parents:
        raise InvalidArtifact(f"{artifact.path} names no adapter it was made from", mend="export it again")
    parent = artifact.manifest.parents[0]
    path = artifact.path.absolute().parent / parent.path
    if not artifacts.is_artifact(path):
        raise InvalidArtifact(
            f"{artifact.path} was made from {parent.name}@{parent.sha256[:12]}, which is not at {path}",
            mend="put the adapter back there: a mark is measured against it",
        )
    found = models.resolve(path)
    if found.artifact is None or found.artifact.sha != parent.sha256:
        raise InvalidArtifact(
            f"{artifact.path} was made from {parent.name}@{parent.sha256[:12]}, but {path} is now {found.label}",
            mend=f"truemark export {path} --to {artifact.manifest.format}",
        )
    return found
