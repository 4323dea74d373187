"""Rows as text: how a number, an interval and a p are written, in the terminal, in Markdown and on the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from evalsuite import metrics
from evalsuite.comparison import Difference, Row, Score
from evalsuite.data import OVERALL
from evalsuite.statistics import Interval

HEADINGS = [
    "model",
    "format · engine · decoding",
    "group",
    "n",
    "accuracy [95 % CI]",
    "Δ points [95 % CI]",
    "p",
    "p (Holm)",
    "tok/s",
    "mark",
]
_SCALE = {"share": 100.0}
_SUFFIX = {"share": " %", "seconds": " s", "per_second": "/s"}


def percent(value: float) -> str:
    """`0.8333` → `83.3 %`."""
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """`0.8` → `+80.0`, in percentage points."""
    return plain(value, "share", signed=True)


def plain(value: float, unit: str, *, signed: bool = False) -> str:
    """A number in its unit's scale, without the unit: one decimal for shares and points, else three digits."""
    scaled = value * _SCALE.get(unit, 1.0)
    digits = 1 if unit in ("share", "points") or abs(scaled) >= 10 else 2 if abs(scaled) >= 1 else 3
    text = f"{scaled:{'+' if signed else ''}.{digits}f}".replace("-", "−")
    return text.lstrip("+−") if float(text.replace("−", "-")) == 0 else text


def number(value: float | None, unit: str) -> str:
    """With its unit: `83.3 %`; `–` for none."""
    return "–" if value is None else plain(value, unit) + _SUFFIX.get(unit, "")


def interval(bounds: Interval, *, signed: bool = False, unit: str = "share") -> str:
    """`[78.1, 87.5]`; `[all equal]` for one of no width, which would look like certainty."""
    if bounds.empty:
        return "[all equal]"
    return f"[{plain(bounds.low, unit, signed=signed)}, {plain(bounds.high, unit, signed=signed)}]"


def p_value(p: float) -> str:
    """`0.034`, `< 0.001`: beyond that the digits say nothing."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def difference(d: Difference, unit: str = "share") -> str:
    """`+41.2 [+35.0, +47.1]`; in percentage points for shares."""
    return f"{plain(d.value, unit, signed=True)} {interval(d.interval, signed=True, unit=unit)}"


def undetected(d: Difference, unit: str = "share") -> str:
    """Beside "no difference": `no difference; ≥ 12.3 would show`, or that nothing could have. Empty where a difference is found."""
    if d.significant:
        return ""
    if d.detectable is None:
        return f"{d.families} families are too few to tell"
    return f"no difference; ≥ {plain(d.detectable, unit)} would show"


def decoding(sampling: Mapping[str, Any]) -> str:
    """`greedy, ≤ 256`, or `T 0.7, top-p 0.9, seed 3, ≤ 256`."""
    how = (
        "greedy"
        if sampling["temperature"] == 0
        else "T {temperature:g}, top-p {top_p:g}, seed {seed}".format(**sampling)
    )
    return f"{how}, ≤ {sampling['max_tokens']}"


def slice_title(name: str) -> str:
    """A slice's heading."""
    return "overall" if name == OVERALL else name


def mark(row: Row) -> str:
    """`passed`, `undecided`, `FAILED`, or nothing where there is no mark."""
    model = row.scored.evaluation.model
    return "FAILED" if model.failed else model.mark or ""


def headings(rows: Sequence[Row]) -> list[str]:
    """HEADINGS and a column for each further metric."""
    return [*HEADINGS, *(title(name) for name in (rows[0].others if rows else {}))]


def title(name: str) -> str:
    """A metric's heading; an arrow down where less is better."""
    metric = metrics.get(name)
    return (metric.title or name) + (" ↓" if metric.better == "lower" else "")


def unit(name: str) -> str:
    """A metric's unit."""
    return metrics.get(name).unit


def cells(row: Row) -> list[str]:
    """The row under `headings`."""
    evaluation, d = row.scored.evaluation, row.difference
    return [
        evaluation.model.label,
        f"{evaluation.model.format} · {evaluation.engine} · {decoding(evaluation.sampling)}",
        row.group,
        str(len(row.answers)),
        f"{percent(row.accuracy)} {interval(row.interval)}",
        "baseline" if d is None else difference(d),
        "" if d is None else p_value(d.p),
        "" if d is None else "; ".join(filter(None, [p_value(d.p_holm), undetected(d)])),
        "" if row.tokens_per_second is None else f"{row.tokens_per_second:.0f}",
        mark(row),
        *(_other(name, score) for name, score in row.others.items()),
    ]


def table(rows: Sequence[Row]) -> str:
    """A plain table per slice, for a terminal or a log."""
    lines = []
    for name, group in groupby(rows, key=lambda row: row.slice):
        part = [headings(rows), *(cells(row) for row in group)]
        widths = [max(map(len, column)) for column in zip(*part, strict=True)]
        lines.append(f"\n{slice_title(name)}")
        lines += [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in part
        ]
    if any(row.difference for row in rows):
        lines += ["", *methods(rows)]
    return "\n".join(lines).lstrip("\n")


def methods(rows: Sequence[Row]) -> list[str]:
    """How the numbers of a table came about, a line each."""
    d = next((row.difference for row in rows if row.difference), None)
    if d is None:
        return ["Accuracy: Wilson's 95 % interval."]
    signatures = {name: score.estimate.signature for row in rows for name, score in row.others.items()}
    return [
        f"Δ: against {d.baseline} on the same examples; 95 % by {d.interval.method}, {d.families} families in {d.n} examples.",
        "p: sign-flip test by family (without families McNemar's exact test). p (Holm): corrected over all comparisons of the table.",
        "Would show: the true difference that this table would find with a chance of 80 %.",
        "group: models that share a letter are not told apart in accuracy (all pairs, Holm). Accuracy: Wilson's 95 % interval.",
        *(f"{name}: {signature}" for name, signature in signatures.items() if signature),
    ]


def _other(name: str, score: Score) -> str:
    """`34.1 [32.0, 36.2]; Δ +3.1 [+1.0, +5.2], p 0.010`."""
    unit, estimate, d = metrics.get(name).unit, score.estimate, score.difference
    text = number(estimate.value, unit) + (f" {interval(estimate.interval, unit=unit)}" if estimate.interval else "")
    if d is None:
        return text
    of = "" if d.of_score else " (mean of examples)"
    told = undetected(d, unit)
    return f"{text}; Δ{of} {difference(d, unit)}, p (Holm) {p_value(d.p_holm)}" + (f", {told}" if told else "")
