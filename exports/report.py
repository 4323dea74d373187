"""Marks as a person reads them in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIGN = {True: "✓", False: "✗", None: "?"}


def _verdict(mark: dict[str, Any]) -> str:
    """`passed`, or what is failed or undecided."""
    verdict = mark["verdict"]
    if verdict["failed"]:
        return f"FAILED: {', '.join(verdict['failed'])}"
    return "passed" if verdict["passed"] else f"UNDECIDED: {', '.join(verdict['undecided'])}"


def lines(path: Path, mark: dict[str, Any]) -> str:
    """A mark, one line for each comparison."""
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


def table(made: list[tuple[Path, dict[str, Any]]]) -> str:
    """Several marks, one line for each."""
    rows = [f"{'format':12} {'MB':>6} {'KL':>8} {'top-1':>6} {'score Δ [95 %]':>24} {'batch tok/s':>11}  mark"]
    for path, mark in made:
        values = {check["name"]: check["value"] for check in mark["checks"]}
        if "kl" not in values:
            rows.append(f"{mark['format']:12} {mark['size_mb']:6.0f} {'':59}✗ {mark['checks'][0]['text']}")
            continue
        gap = mark["score"]["difference"]
        interval = f"{gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        verdict = f"{SIGN[mark['verdict']['passed']]} {path}" if mark["verdict"]["passed"] else _verdict(mark)
        rows.append(
            f"{mark['format']:12} {mark['size_mb']:6.0f} {values['kl']:8.1e} {values['top1']:6.3f} {interval:>24} "
            f"{mark['speed']['tokens_per_second']:11.0f}  {verdict}"
        )
    return "\n".join(rows)
