"""A bundle: the folder one copies onto a device. One export with its mark, tokenizer and template, licence, and a runner of two short files.

DIR/run.py engine.py bundle.json     python run.py "QUESTION"; bundle.json holds the SHA-256 of every file
DIR/NAME.q8_0.gguf …                 the export's own files, mark.json among them
DIR/NOTICE [LICENSE]                 whose weights these are, under which licence
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from exports.mark import MARK
from truemark import artifacts, chat, models
from truemark.artifacts import Artifact
from truemark.errors import CheckFailed, StorageError, TruemarkError
from truemark.files import publish_directory, sha256_file, write_json

BUNDLE = "bundle.json"
DEFAULT = "gguf-q8_0"
CONTEXT = 2048
"""Tokens of context that the runner asks for, unless the model was made for less."""


@dataclass(frozen=True)
class Runner:
    """What starts an export on a device."""

    module: str
    """File in `exports/runners`, copied as `engine.py`."""
    needs: str
    """What has to be installed there."""


RUNNERS = {
    "gguf": Runner("llamacpp.py", "llama-cpp-python==0.3.36"),
    "onnx": Runner("genai.py", "onnxruntime-genai==0.18.0"),
}
"""First word of a format → its runner."""
LICENCES = {"apache-2.0": "apache-2.0.txt"}
"""SPDX identifier in lower case → its text in `exports/licences`."""


def one_format(wanted: list[str]) -> str:
    """The single format of a bundle. Raises TruemarkError when there are several, or one that no runner starts."""
    if len(wanted) != 1:
        raise TruemarkError(
            f"a bundle holds one export, found {', '.join(wanted)}", mend="--to gguf --quant q8_0 --bundle DIR"
        )
    if wanted[0].split("-")[0] not in RUNNERS:
        raise TruemarkError(
            f"no runner starts {wanted[0]} without torch: expected gguf-* or onnx-*",
            mend="--to gguf --quant q8_0 --bundle DIR",
        )
    return wanted[0]


def refuse_existing(out: Path) -> None:
    """Raise StorageError when `out` is something else than an earlier bundle (or nothing): it would be replaced whole."""
    if out.exists() and not (out / BUNDLE).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise StorageError(
            f"{out} is there and is no bundle: it would be replaced whole", mend="choose another --bundle"
        )


def write_bundle(export: Path, out: Path) -> Path:
    """Write the bundle of a published export to `out`, atomically; an earlier bundle there is replaced.

    Raises InvalidArtifact when a file of the export was changed, CheckFailed when its mark failed.
    """
    refuse_existing(out)
    artifact = artifacts.open_artifact(export)
    if artifact.manifest.failed:
        raise CheckFailed(f"{export} failed its mark: it is not bundled", mend="truemark verify " + str(export))
    runner = RUNNERS[artifact.manifest.format.split("-")[0]]
    with publish_directory(out) as tmp:
        for name in artifact.manifest.files:
            (tmp / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(export / name, tmp / name)
        for source, target in (("run.py", "run.py"), (runner.module, "engine.py")):
            (tmp / target).write_bytes((files("exports") / "runners" / source).read_bytes())
        _licence(artifact, tmp)
        write_json(tmp / BUNDLE, _description(artifact, runner, tmp))
    return out


def _description(artifact: Artifact, runner: Runner, tmp: Path) -> dict[str, Any]:
    manifest = artifact.manifest
    names = sorted(file.relative_to(tmp).as_posix() for file in tmp.rglob("*") if file.is_file())
    mark = json.loads((tmp / MARK).read_text(encoding="utf-8"))
    parent = manifest.parents[0]
    return {
        "schema_version": 1,
        "name": manifest.name,
        "export": artifact.id,
        "adapter": f"{parent.name}@{parent.sha256[:12]}",
        "domain": manifest.domain,
        "format": manifest.format,
        "base": manifest.base.model_dump(),
        "model": next((name for name in names if name.endswith(".gguf")), "."),
        "needs": runner.needs,
        "run": 'python run.py "QUESTION"',
        "context": min(CONTEXT, _longest(artifact)),
        "special_tokens": {"bos_token": "", "eos_token": "", **chat.special_tokens(tmp)},
        "mark": mark["verdict"]["state"],
        "files": {name: sha256_file(tmp / name) for name in names},
    }


def _longest(artifact: Artifact) -> int:
    """Tokens that the base was made for."""
    config = models.resolve(artifact.manifest.base.ref).local_path() / "config.json"
    return int(json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings") or CONTEXT)


def _licence(artifact: Artifact, tmp: Path) -> None:
    manifest = artifact.manifest
    base = manifest.base
    known = LICENCES.get(base.licence.lower())
    if known:
        (tmp / "LICENSE").write_bytes((files("exports") / "licences" / known).read_bytes())
    terms = (
        f"Licence of the base: {base.licence} (its text is in LICENSE)."
        if known
        else f"Licence of the base: {base.licence}. Put its text beside this file before you pass the folder on."
    )
    (tmp / "NOTICE").write_text(
        f"{manifest.name}: a model made by Truemark.\n\n"
        f"It is the base model {base.ref} (weights {base.sha256[:12]}), changed by the adapter "
        f"{manifest.parents[0].name} for the domain {manifest.domain}, in the format {manifest.format}.\n"
        f"{terms}\nAccess to the base: {base.access}.\n\n"
        f"run.py and engine.py are Truemark's, MIT licence. {MARK} says what was measured, {BUNDLE} which files were.\n",
        encoding="utf-8",
    )
