"""`truemark train`: data → adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from truemark.console import say
from truemark.errors import TruemarkError


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name, a domain (its recipe for the embedded base), or a YAML file.")
    ] = "",
    *,
    listed: Annotated[bool, typer.Option("--list", help="Say which recipes are shipped, and stop.")] = False,
    method: Annotated[str | None, typer.Option(help="Another training method than the recipe's.")] = None,
    preset: Annotated[str | None, typer.Option(help="One of the recipe's presets, e.g. trial.")] = None,
    change: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field, e.g. optim.steps=60; may be repeated."),
    ] = [],  # noqa: B006
    start: Annotated[str | None, typer.Option("--from", metavar="REF", help="An adapter to go on from.")] = None,
    data: Annotated[Path | None, typer.Option(help="Training JSONL or its directory; default data/DOMAIN.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the adapter goes; default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Insist on continuing an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train again what is already there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time, memory and disk, and do nothing else.")
    ] = False,
    launch: Annotated[
        str | None, typer.Option(metavar="CONFIG", help="Over several devices: fsdp, zero2, zero3 or cpu-fsdp.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="How many, with --launch; default the configuration's.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the adapter's id and path, the list or the estimate as JSON.")
    ] = False,
) -> None:
    """Train a LoRA adapter from a recipe. An interrupted run continues by itself."""
    from train import distributed, estimate
    from train.adapter import train_adapter
    from truemark import models, portability
    from truemark.recipe import listing, load

    if listed:
        rows = listing()
        print(json.dumps(rows, indent=2) if as_json else _table(rows))
        return
    if not recipe:
        raise TruemarkError("expected a recipe's name, a domain or a YAML file", mend="truemark train --list")
    changes = [*change, *([f"start={json.dumps(start)}"] if start else [])]
    wanted = load(recipe, method=method, preset=preset, changes=changes)
    plan = None if wanted.base == models.NONE else portability.of_recipe(wanted)
    for line in portability.grouped(portability.lint(plan, portability.FAMILIES)) if plan else []:
        say(f"warning: exports: {line}")
    if dry_run:
        found = estimate.dry_run(wanted, data)
        print(json.dumps(found.to_json(), indent=2) if as_json else found.table())
        return
    if launch is not None:
        values = {"--method": method, "--preset": preset, "--from": start, "--data": data, "--out": out}
        again = [word for name, value in values.items() if value is not None for word in (name, str(value))]
        again += [word for text in change for word in ("--set", text)]
        flags = {"--resume": resume, "--force": force, "--json": as_json}
        again += [name for name, given in flags.items() if given]
        raise typer.Exit(distributed.launch(launch, [recipe, *again], processes))
    artifact = train_adapter(wanted, data, out or Path("runs") / wanted.name, resume=resume, force=force)
    say(f"{artifact.manifest.kind} {artifact.id} → {artifact.path}")
    if as_json and distributed.main():
        print(json.dumps({"id": artifact.id, "path": str(artifact.path), "sha256": artifact.sha}))


def _table(rows: list[dict[str, Any]]) -> str:
    """Aligned columns; what a recipe is stands on a line of its own below it."""
    texts = [
        [row["name"], row["method"], row["base"], "presets " + ", ".join(row["presets"]) if row["presets"] else ""]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        + f"\n    {row['about']}"
        for line, row in zip(texts, rows, strict=True)
    )
