"""`truemark export --fastest`: every format measured on this machine, the fastest that keeps the score recommended, the trade-off plotted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exports import FORMATS
from exports.card import SIGN
from exports.measures import Interval, judge
from exports.probe import probe
from exports.publish import export, planned
from truemark.artifacts import machine, open_artifact
from truemark.console import progress, say
from truemark.errors import EngineError
from truemark.files import publish_directory, write_json
from truemark.portability import blocked, grouped

CANDIDATES = tuple(name for name in FORMATS if name not in ("bf16", "torchscript", "pt2", "4bit", "mlx"))
"""What is tried when no format is asked for: all but compatibility artifacts and what is made for other hardware."""
Row = dict[str, Any]
"""format, path, mb, kl, top1, difference {mean, low, high}, state, tokens_per_second {"1", "16"}, peak_rss_mb, keeps_score (true, false, null)"""


def fastest(
    adapter: Path, formats: Sequence[str] | None, out: Path | None, max_loss: float, prompts: int | None
) -> tuple[list[Row], Row | None]:
    """Export, mark and time `formats` (None: all of CANDIDATES that can hold this adapter here); returns their rows, fastest first, and the recommended one.

    Recommended is the fastest at batch 1 whose mark did not fail and whose score loss is below `max_loss` (accuracy in [0, 1]) with
    its whole interval; where no interval is that narrow, the fastest that the sample leaves undecided. None when all have failed.
    Failed exports are not published and not timed.
    """
    domain = open_artifact(adapter, verify=False).manifest.domain
    if formats is None:
        lines = blocked(planned(str(adapter)), CANDIDATES)
        say("\n".join(grouped(lines)))
        formats = [name for name in CANDIDATES if name not in {line.format for line in lines}]
    made = export(adapter, list(formats), out, keep_failed=False, prompts=prompts)
    rows = [_row(path, mark, max_loss) for path, mark in made]
    with progress("speed on this machine", total=len(rows) + 1) as advance:
        reference = probe(adapter, domain)
        advance()
        for row in rows:
            if row["state"] != "failed":
                row.update(_speed(row["path"], domain))
            advance()
    rows.sort(key=lambda row: -row.get("tokens_per_second", {}).get("1", 0.0))
    best = recommend(rows)
    _save(adapter, domain, rows, best, max_loss, reference)
    return rows, best


def recommend(rows: Sequence[Row]) -> Row | None:
    """The first of `rows` (fastest first) that keeps the score, else the first that may."""
    timed = [row for row in rows if "tokens_per_second" in row]
    for wanted in (True, None):
        for row in timed:
            if row["keeps_score"] is wanted:
                return row
    return None


def _row(path: Path, mark: dict[str, Any], max_loss: float) -> Row:
    values = {check["name"]: check["value"] for check in mark["checks"]}
    row: Row = {"format": mark["format"], "path": str(path), "mb": mark["size_mb"], "state": mark["verdict"]["state"]}
    if "score" not in mark:
        return {**row, "keeps_score": False, "reason": mark["checks"][0]["text"]}
    gap = mark["score"]["difference"]
    return {
        **row,
        "kl": values["kl"],
        "top1": values["top1"],
        "difference": gap,
        "keeps_score": False if row["state"] == "failed" else judge(Interval(**gap), max_loss),
    }


def _speed(path: str, domain: str) -> Row:
    try:
        found = probe(path, domain)
    except EngineError as error:
        say(str(error))
        return {}
    return {key: found[key] for key in ("tokens_per_second", "peak_rss_mb", "load_seconds", "time_to_first_token_ms")}


def _save(adapter: Path, domain: str, rows: list[Row], best: Row | None, max_loss: float, reference: Row) -> None:
    directory = Path("results") / domain / "frontier" / adapter.name
    with publish_directory(directory) as tmp:
        write_json(
            tmp / "frontier.json",
            {
                "adapter": open_artifact(adapter, verify=False).id,
                "machine": machine(),
                "max_loss": max_loss,
                "recommended": best["format"] if best else None,
                "adapter_speed": reference,
                "rows": rows,
            },
        )
        plot(rows, best, tmp / "frontier.png")
    say(f"saved: {directory / 'frontier.json'}, {directory / 'frontier.png'}")


def plot(rows: Sequence[Row], best: Row | None, path: Path) -> None:
    """Size against KL, each point labelled with its format and speed; the recommended one green, those whose score is undecided hollow."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    drawn = sorted((row for row in rows if "kl" in row), key=lambda row: -row["kl"])
    places = [(row["mb"], max(row["kl"], 1e-14)) for row in drawn]
    colours = ["#b3261e" if row["state"] == "failed" else "#1b6e3c" if row is best else "#4a6fa5" for row in drawn]
    for row, place, colour in zip(drawn, places, colours, strict=True):
        inside = "white" if row["keeps_score"] is None else colour
        axes.scatter(*place, s=90 if row is best else 45, facecolor=inside, edgecolor=colour, linewidth=1.5, zorder=3)
    recommended = f"; recommended: {best['format']}" if best else ""
    hollow = "; hollow: score undecided" if any(row["keeps_score"] is None for row in drawn) else ""
    axes.set_title(f"Smaller is left, truer is down{recommended}{hollow}", fontsize=10)
    axes.set(xlabel="size, MB", ylabel="KL to the adapter, nats per token", yscale="log")
    axes.margins(x=0.18, y=0.12)
    axes.grid(alpha=0.25)
    figure.canvas.draw()  # settles the scale, by which the labels are kept a line apart
    middle = sum(axes.get_xlim()) / 2
    lowest = {"left": float("inf"), "right": float("inf")}
    for row, place, colour in zip(drawn, places, colours, strict=True):
        align = "right" if place[0] > middle else "left"
        at = axes.transData.transform(place)[1] * 72 / figure.dpi
        lowest[align] = min(at + 4, lowest[align] - 11)
        speed = row.get("tokens_per_second", {}).get("1")
        label = row["format"] + (f"  {speed:.0f} tok/s" if speed else "  failed")
        beside = (9 if align == "left" else -9, lowest[align] - at)
        axes.annotate(label, place, xytext=beside, textcoords="offset points", ha=align, va="center", fontsize=8, color=colour)  # fmt: skip
    figure.savefig(path, dpi=130)
    plt.close(figure)


def table(rows: Sequence[Row], best: Row | None, max_loss: float) -> str:
    """The rows as plain text, with the recommendation below."""
    lines = [
        f"{'format':14} {'MB':>6} {'KL':>8} {'top-1':>6} {'score Δ [95 %]':>24} {'tok/s':>6} {'at 16':>6} {'RSS MB':>7}  within {max_loss:.1%}"
    ]
    for row in rows:
        if "difference" not in row:
            lines.append(f"{row['format']:14} {row['mb']:6.0f} {'':69}  ✗ {str(row.get('reason', row['state']))[:80]}")
            continue
        gap: dict[str, float] = row["difference"]
        speed: dict[str, float] = row.get("tokens_per_second", {})
        interval = f"{gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        within = SIGN[row["keeps_score"]]
        lines.append(
            f"{row['format']:14} {row['mb']:6.0f} {row['kl']:8.1e} {row['top1']:6.3f} {interval:>24} {speed.get('1', 0):6.0f} {speed.get('16', 0):6.0f} "
            f"{row.get('peak_rss_mb', 0):7.0f}  {within}{'' if row['state'] != 'failed' else ' (mark failed)'}"
        )
    if best is None:
        lines.append("none of these formats keeps the adapter")
    else:
        sure = (
            "" if best["keeps_score"] else f", though this sample cannot tell a loss of {max_loss:.1%}: more --prompts"
        )
        lines.append(f"recommended on this machine: {best['format']} → {best['path']}{sure}")
    return "\n".join(lines)
