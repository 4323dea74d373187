"""`truemark export` and `truemark verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from truemark.errors import CheckFailed


def export(
    adapter: Annotated[Path, typer.Argument(help="An adapter made by `truemark train`.")],
    to: Annotated[
        str, typer.Option(help="Formats, separated by commas: fp16, gguf, lora-gguf.")
    ] = "fp16,gguf,lora-gguf",
    quant: Annotated[str, typer.Option(help="GGUF types, separated by commas: f16, q8_0.")] = "f16,q8_0",
    out: Annotated[Path | None, typer.Option(help="Directory for the exports; default: beside the adapter.")] = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep what fails its mark, labelled as failed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print paths and marks as JSON.")] = False,
) -> None:
    """Export an adapter, measure each export against it, and publish what passes. Exit 1 when one fails."""
    from exports.publish import export as make
    from exports.publish import formats

    made = make(adapter, formats(to, quant), out, keep_failed=keep_failed)
    if as_json:
        print(json.dumps([{"path": str(path), "mark": mark} for path, mark in made], indent=2))
    else:
        print(_table(made))
    failed = [path.name for path, mark in made if mark["verdict"]["failed"]]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(made)} exports failed their mark: {', '.join(failed)}")


def verify(
    path: Annotated[Path, typer.Argument(help="An export made by `truemark export`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the mark as JSON.")] = False,
) -> None:
    """Recompute an export's mark against its adapter and print it. Exit 1 when a line fails."""
    from exports.publish import verify as recompute

    mark = recompute(path)
    print(json.dumps(mark, indent=2) if as_json else _lines(path, mark))
    if mark["verdict"]["failed"]:
        raise CheckFailed(
            f"{path} failed: {', '.join(mark['verdict']['failed'])}",
            mend="make it again from its adapter: truemark export",
        )


SIGN = {True: "✓", False: "✗", None: "?"}


def _verdict(mark: dict[str, Any]) -> str:
    """`passed`, or what is failed or undecided."""
    verdict = mark["verdict"]
    if verdict["failed"]:
        return f"FAILED: {', '.join(verdict['failed'])}"
    return "passed" if verdict["passed"] else f"UNDECIDED: {', '.join(verdict['undecided'])}"


def _lines(path: Path, mark: dict[str, Any]) -> str:
    adapter, prompts = mark["adapter"] or {"name": "?", "sha256": "?"}, mark.get("prompts", {"n": "no"})
    rows = [f"{path}  ({mark['format']}, against {adapter['name']}@{adapter['sha256'][:12]}, {prompts['n']} prompts)"]
    for check in mark["checks"]:
        rows.append(
            f"  {SIGN[check['passed']]} {check['name']:14} {_number(check['value']):>10}  {_bound(check):>12}  {check['text']}"
        )
    speed = mark.get("speed")
    rows.append(
        f"  {mark['size_mb']} MB"
        + (f", {speed['tokens_per_second']} tokens/s on {speed['threads']} threads" if speed else "")
    )
    rows.append(_verdict(mark).upper() if mark["verdict"]["passed"] else _verdict(mark))
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
        verdict = f"{SIGN[mark['verdict']['passed']]} {path}" if mark["verdict"]["passed"] else _verdict(mark)
        rows.append(
            f"{mark['format']:10} {mark['size_mb']:6.0f} {values['kl']:8.1e} {values['top1']:6.3f} {interval:>24} "
            f"{mark['speed']['tokens_per_second']:6.0f}  {verdict}"
        )
    return "\n".join(rows)
