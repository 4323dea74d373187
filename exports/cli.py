"""`truemark export` and `truemark verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from truemark.console import say
from truemark.errors import CheckFailed

EVERY = "fp16,gguf,lora-gguf"


def export(
    adapter: Annotated[Path, typer.Argument(help="An adapter made by `truemark train`.")],
    to: Annotated[str, typer.Option(help="Formats, separated by commas: fp16, gguf, lora-gguf.")] = EVERY,
    quant: Annotated[
        str, typer.Option(help="GGUF types, separated by commas: f16, q8_0, q6_k, q5_k_m, q4_k_m.")
    ] = "f16,q8_0",
    out: Annotated[Path | None, typer.Option(help="Directory for the exports; default: beside the adapter.")] = None,
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

    wanted = formats(to, quant)
    if bundle is not None:
        from exports import bundle as bundles

        wanted = [bundles.DEFAULT if to == EVERY else bundles.one_format(wanted)]
        bundles.refuse_existing(bundle)
    made = make(adapter, wanted, out, keep_failed=keep_failed)
    if as_json:
        print(json.dumps([{"path": str(path), "mark": mark} for path, mark in made], indent=2))
    else:
        print(_table(made))
    failed = [path.name for path, mark in made if not mark["verdict"]["passed"]]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(made)} exports failed their mark: {', '.join(failed)}")
    if bundle is not None:
        say(f"bundle: {bundles.write_bundle(made[0][0], bundle)} (python {bundle / 'run.py'} QUESTION)")


def verify(
    path: Annotated[Path, typer.Argument(help="An export made by `truemark export`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the mark as JSON.")] = False,
) -> None:
    """Recompute an export's mark against its adapter and print it. Exit 1 when a line fails."""
    from exports.publish import verify as recompute

    mark = recompute(path)
    print(json.dumps(mark, indent=2) if as_json else _lines(path, mark))
    if not mark["verdict"]["passed"]:
        raise CheckFailed(
            f"{path} failed: {', '.join(mark['verdict']['failed'])}",
            mend="make it again from its adapter: truemark export",
        )


def _lines(path: Path, mark: dict[str, Any]) -> str:
    adapter, prompts = mark["adapter"] or {"name": "?", "sha256": "?"}, mark.get("prompts", {"n": "no"})
    rows = [f"{path}  ({mark['format']}, against {adapter['name']}@{adapter['sha256'][:12]}, {prompts['n']} prompts)"]
    for check in mark["checks"]:
        rows.append(
            f"  {'✓' if check['passed'] else '✗'} {check['name']:14} {_number(check['value']):>10}  {_bound(check):>12}  {check['text']}"
        )
    speed = mark.get("speed")
    rows.append(
        f"  {mark['size_mb']} MB"
        + (f", {speed['tokens_per_second']} tokens/s on {speed['threads']} threads" if speed else "")
    )
    rows.append("PASSED" if mark["verdict"]["passed"] else f"FAILED: {', '.join(mark['verdict']['failed'])}")
    return "\n".join(rows)


def _bound(check: dict[str, Any]) -> str:
    sign = {
        "kl": "≤",
        "kl_p99": "≤",
        "perplexity": "≤",
        "vocabulary": "≤",
        "top1": "≥",
        "prefix": "≥",
        "canary": "≥",
        "prompt_tokens": "≥",
        "score": "≥",
    }
    return f"{sign[check['name']]} {_number(check['bound'])}" if check["name"] in sign else ""


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2e}" if value and abs(value) < 1e-3 else f"{value:.4g}"
    return str(value)


def _table(made: list[tuple[Path, dict[str, Any]]]) -> str:
    rows = [f"{'format':10} {'MB':>6} {'KL':>8} {'top-1':>6} {'score Δ [95 %]':>24} {'tok/s':>6}  mark"]
    for path, mark in made:
        values = {check["name"]: check["value"] for check in mark["checks"]}
        if "kl" not in values:
            rows.append(f"{mark['format']:10} {mark['size_mb']:6.0f} {'':54}✗ {mark['checks'][0]['text']}")
            continue
        gap = mark["score"]["difference"]
        interval = f"{gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        verdict = f"✓ {path}" if mark["verdict"]["passed"] else f"✗ {', '.join(mark['verdict']['failed'])}"
        rows.append(
            f"{mark['format']:10} {mark['size_mb']:6.0f} {values['kl']:8.1e} {values['top1']:6.3f} {interval:>24} "
            f"{mark['speed']['tokens_per_second']:6.0f}  {verdict}"
        )
    return "\n".join(rows)
