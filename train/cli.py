"""`truemark train`: data → adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from truemark.console import say


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name, a domain (its recipe for the embedded base), or a YAML file.")
    ],
    *,
    method: Annotated[str | None, typer.Option(help="Another training method than the recipe's.")] = None,
    preset: Annotated[str | None, typer.Option(help="One of the recipe's presets, e.g. trial.")] = None,
    change: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field, e.g. optim.steps=60; may be repeated."),
    ] = [],  # noqa: B006
    start: Annotated[str | None, typer.Option("--from", metavar="REF", help="An adapter to go on from.")] = None,
    data: Annotated[Path | None, typer.Option(help="Training JSONL; default data/DOMAIN/train.jsonl.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the adapter goes; default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Insist on continuing an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train again what is already there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the adapter's id and path as JSON.")] = False,
) -> None:
    """Train a LoRA adapter from a recipe. An interrupted run continues by itself."""
    from train.adapter import train_adapter
    from truemark import models, portability
    from truemark.recipe import load

    changes = [*change, *([f"start={json.dumps(start)}"] if start else [])]
    wanted = load(recipe, method=method, preset=preset, changes=changes)
    plan = None if wanted.base == models.NONE else portability.of_recipe(wanted)
    for line in portability.grouped(portability.lint(plan, portability.FAMILIES)) if plan else []:
        say(f"warning: exports: {line}")
    artifact = train_adapter(wanted, data, out or Path("runs") / wanted.name, resume=resume, force=force)
    say(f"{artifact.manifest.kind} {artifact.id} → {artifact.path}")
    if as_json:
        print(json.dumps({"id": artifact.id, "path": str(artifact.path), "sha256": artifact.sha}))
