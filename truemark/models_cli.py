"""`truemark models`: what can be used here; `truemark models pull REF`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from truemark import access, artifacts, files
from truemark.console import say
from truemark.errors import InvalidArtifact, MissingDependency, ModelNotFound, StorageError
from truemark.models import ALIASES

app = typer.Typer(help="Say which models can be used here, or fetch one.", invoke_without_command=True)
PLACES = ("runs", "adapters")


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False
) -> None:
    """Say which models can be used here: embedded bases, and the artifacts under ./runs and ./adapters."""
    if context.invoked_subcommand:
        return
    rows = [*_bases(), *_artifacts()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['ref']:34} {row['kind']:8} {row['format']:10} {row['state']:12} {row['id']}")
    if len(rows) == len(ALIASES):
        say("no adapters or exports here yet: truemark quickstart, or truemark train math")


@app.command()
def pull(ref: Annotated[str, typer.Argument(help="hf:OWNER/NAME[@REVISION]")]) -> None:
    """Fetch a model from the Hub into the local cache."""
    scheme, _, target = ref.partition(":")
    if scheme != "hf" or not target:
        raise ModelNotFound(f"cannot pull '{ref}': expected hf:OWNER/NAME[@REVISION]")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import EntryNotFoundError, HFValidationError, HTTPError, RevisionResolutionError
    except ImportError:
        raise MissingDependency.extra("huggingface_hub", "train") from None
    name, _, revision = target.partition("@")
    if words := access.explained(name):
        say(words)
    try:
        path = snapshot_download(
            name, revision=revision or None, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        )
    except (HTTPError, OSError, EntryNotFoundError, HFValidationError, RevisionResolutionError) as error:
        if files.is_full(error):
            raise StorageError(f"no space left while fetching {name}", mend="df -h ~/.cache/huggingface") from None
        raise access.refused(target, error) from None
    print(path)


def _bases() -> list[dict[str, Any]]:
    rows = []
    for name, base in ALIASES.items():
        state = "missing"
        with contextlib.suppress(MissingDependency):
            state = "installed" if base.gguf() else "missing"
        rows.append(
            {"ref": name, "kind": "base", "format": "gguf q4_1", "state": state, "id": f"{name}@{base.sha256[:12]}"}
        )
    return rows


def _artifacts() -> list[dict[str, Any]]:
    rows = []
    for place in PLACES:
        for manifest in sorted(Path(place).glob(f"*/{artifacts.MANIFEST}")):
            row = {"ref": str(manifest.parent), "kind": "?", "format": "?", "state": "broken", "id": ""}
            with contextlib.suppress(InvalidArtifact):
                artifact = artifacts.open_artifact(manifest.parent, verify=False)
                row |= {
                    "kind": artifact.manifest.kind,
                    "format": artifact.manifest.format,
                    "state": _state(artifact),
                    "id": artifact.id,
                }
            rows.append(row)
    return rows


def _state(artifact: artifacts.Artifact) -> str:
    if artifact.manifest.kind == "adapter":
        return "trained"
    return "mark FAILED" if artifact.manifest.failed else "marked"
