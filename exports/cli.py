"""`truemark export` and `truemark verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from exports import FORMATS, GROUPS, report
from truemark.console import say
from truemark.errors import CheckFailed, TruemarkError

EVERY = "fp16,gguf,lora-gguf"
SINGLE = tuple(name for name in FORMATS if name.partition("-")[0] not in (*GROUPS, "gguf"))


def export(
    adapter: Annotated[str, typer.Argument(help="An adapter made by `truemark train`; with --plan also a recipe.")],
    to: Annotated[
        str | None,
        typer.Option(help=f"Formats, separated by commas: {', '.join((*GROUPS, 'gguf', *SINGLE))}; default {EVERY}."),
    ] = None,
    quant: Annotated[
        str, typer.Option(help="GGUF types, separated by commas: f16, q8_0, q6_k, q5_k_m, q4_k_m.")
    ] = "f16,q8_0",
    out: Annotated[Path | None, typer.Option(help="Directory for the exports; default: beside the adapter.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would break where. Exit 1 if something does.")
    ] = False,
    fastest: Annotated[
        bool, typer.Option("--fastest", help="Try the formats (default: all), time them here and recommend one.")
    ] = False,
    max_loss: Annotated[str, typer.Option(help="Loss of domain score that --fastest may accept.")] = "1%",
    prompts: Annotated[
        int | None, typer.Option(help="Held-out prompts of a mark; default: 64, and up to 256 where they cannot tell.")
    ] = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep what fails its mark, labelled as failed.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Write the folder that one copies onto a device; --to names its one format, else gguf-q8_0."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print paths and marks as JSON.")] = False,
) -> None:
    """Export an adapter, measure each export against it, and publish what passes. Exit 1 when one fails."""
    from exports.publish import export as make
    from exports.publish import formats

    wanted = formats(to or EVERY, quant)
    if plan:
        _plan(adapter, wanted if to else list(FORMATS), as_json)
        return
    if fastest:
        _fastest(Path(adapter), wanted if to else None, out, _share(max_loss), prompts, as_json)
        return
    if bundle is not None:
        from exports import bundle as bundles

        wanted = [bundles.one_format(wanted) if to else bundles.DEFAULT]
        bundles.refuse_existing(bundle)
    made = make(Path(adapter), wanted, out, keep_failed=keep_failed, prompts=prompts)
    if as_json:
        print(json.dumps([{"path": str(path), "mark": mark} for path, mark in made], indent=2))
    else:
        print(report.table(made))
    failed = [path.name for path, mark in made if mark["verdict"]["failed"]]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(made)} exports failed their mark: {', '.join(failed)}")
    if bundle is not None:
        say(f"bundle: {bundles.write_bundle(made[0][0], bundle)} (python {bundle / 'run.py'} QUESTION)")


def _plan(text: str, wanted: list[str], as_json: bool) -> None:
    from dataclasses import asdict

    from exports.publish import planned
    from truemark.portability import grouped, lint

    lines = lint(planned(text), wanted)
    if as_json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
    else:
        out = {line.format for line in lines if line.level in ("refused", "absent")}
        fine = [format for format in wanted if format not in out]
        print("\n".join([*grouped(lines), f"can be made: {', '.join(fine) or 'none'}"]))
    if any(line.level == "refused" for line in lines):
        raise CheckFailed(f"{text} cannot be exported to every one of: {', '.join(wanted)}")


def _fastest(
    adapter: Path, wanted: list[str] | None, out: Path | None, max_loss: float, prompts: int | None, as_json: bool
) -> None:
    from exports import frontier

    rows, best = frontier.fastest(adapter, wanted, out, max_loss, prompts)
    if as_json:
        print(json.dumps({"recommended": best["format"] if best else None, "rows": rows}, indent=2))
    else:
        print(frontier.table(rows, best, max_loss))
    if best is None:
        raise CheckFailed("no format keeps the adapter")


def _share(text: str) -> float:
    """`1%` or `0.01`. Raises TruemarkError."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise TruemarkError(f"--max-loss: expected a share such as 1% or 0.01, found {text!r}")
    return value


def verify(
    path: Annotated[Path, typer.Argument(help="An export made by `truemark export`.")],
    prompts: Annotated[int | None, typer.Option(help="Held-out prompts; default: as many as its mark had.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the mark as JSON.")] = False,
) -> None:
    """Recompute an export's mark against its adapter and print it. Exit 1 when a line fails."""
    from exports.publish import verify as recompute

    mark = recompute(path, prompts)
    print(json.dumps(mark, indent=2) if as_json else report.lines(path, mark))
    if mark["verdict"]["failed"]:
        raise CheckFailed(
            f"{path} failed: {', '.join(mark['verdict']['failed'])}",
            mend="make it again from its adapter: truemark export",
        )
