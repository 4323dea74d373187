"""Rows as text: how a number, an interval and a p are written, in the terminal and in Markdown alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from evalsuite.comparison import Difference, Row
from evalsuite.data import OVERALL
from evalsuite.statistics import Interval


def percent(value: float) -> str:
    """`0.8333` → `83.3 %`."""
    return f"{100 * value:.1f} %"


def interval(bounds: Interval, *, signed: bool = False) -> str:
    """`[78.1, 87.5]`, in percent or percentage points."""
    low, high = (f"{100 * bound:+.1f}" if signed else f"{100 * bound:.1f}" for bound in bounds)
    return f"[{low}, {high}]".replace("-", "−")


def points(value: float) -> str:
    """`0.8` → `+80.0`, in percentage points."""
    return f"{100 * value:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")


def p_value(p: float) -> str:
    """`0.034`, `< 0.001`: beyond that the digits say nothing."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def slice_title(name: str) -> str:
    """A slice's heading."""
    return "overall" if name == OVERALL else name


def cells(row: Row) -> list[str]:
    """Model, engine, n, accuracy, difference, p, tokens/s, mark."""
    evaluation, d = row.scored.evaluation, row.difference
    return [
        evaluation.model.label,
        f"{evaluation.model.format} · {evaluation.engine}",
        str(len(row.answers)),
        f"{percent(row.accuracy)} {interval(row.interval)}",
        "baseline" if d is None else difference(d),
        "" if d is None else p_value(d.p),
        "" if row.tokens_per_second is None else f"{row.tokens_per_second:.0f}",
        mark(row),
    ]


HEADINGS = ["model", "format · engine", "n", "accuracy [95 % CI]", "Δ points [95 % CI]", "p", "tok/s", "mark"]


def mark(row: Row) -> str:
    """`passed`, `undecided`, `FAILED`, or nothing where there is no mark."""
    model = row.scored.evaluation.model
    return "FAILED" if model.failed else model.mark or ""


def table(rows: Sequence[Row]) -> str:
    """A plain table per slice, for a terminal or a log."""
    lines = []
    for name, group in groupby(rows, key=lambda row: row.slice):
        part = [cells(row) for row in group]
        widths = [max(len(line[i]) for line in [HEADINGS, *part]) for i in range(len(HEADINGS))]
        lines.append(f"\n{slice_title(name)}")
        lines += [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in [HEADINGS, *part]
        ]
    baseline = next((row.difference.baseline for row in rows if row.difference), None)
    if baseline:
        lines.append(f"\nΔ against {baseline} on the same examples: paired bootstrap; p: McNemar's exact test")
    return "\n".join(lines).lstrip("\n")


def difference(d: Difference) -> str:
    """`+41.2 [+35.0, +47.1]`, in percentage points."""
    return f"{points(d.value)} {interval(d.interval, signed=True)}"
