"""Metrics as text and as JSON: one row a model, one column a metric, and under it how each number was made and why one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalsuite import metrics
from evalsuite.metrics import Estimate
from evalsuite.scoring import Measured

_FORMS = {
    "share": lambda value: f"{100 * value:.1f} %",
    "points": lambda value: f"{value:.2f}",
    "seconds": lambda value: f"{value:.2f} s",
    "per_second": lambda value: f"{value:.0f}",
    "count": lambda value: f"{value:.0f}",
    "money": lambda value: f"{value:.4g}",
}


def cell(name: str, estimate: Estimate | None) -> str:
    """A metric's value in its unit; `–` where there is none."""
    if estimate is None or estimate.value is None:
        return "–"
    return _FORMS[metrics.get(name).unit](estimate.value)


def table(rows: Sequence[tuple[str, Measured]], names: Sequence[str]) -> str:
    """A plain table of labelled rows, with an arrow to where better is, then signatures and errors once each."""
    heads = [f"{metrics.get(name).title} {'↑' if metrics.get(name).better == 'higher' else '↓'}" for name in names]
    lines = [["", *heads], *([label, *(cell(name, row.estimates.get(name)) for name in names)] for label, row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  " + "  ".join(one.ljust(w) for one, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    for name in names:
        signatures = {row.estimates[name].signature: None for _, row in rows if name in row.estimates}
        text += [f"  {name}: {signature}" for signature in signatures if signature]
        errors = {str(row.errors[name]): None for _, row in rows if name in row.errors}
        text += [f"  {name}: no value: {error}" for error in errors]
    return "\n".join(text)


def to_json(measured: Measured) -> dict[str, Any]:
    """By metric: value, unit, better, interval, signature, table; or the error."""
    return {
        **{name: _estimate(name, estimate) for name, estimate in measured.estimates.items()},
        **{
            name: {"value": None, "error": error.message, "mend": error.mend} for name, error in measured.errors.items()
        },
    }


def _estimate(name: str, estimate: Estimate) -> Mapping[str, Any]:
    metric = metrics.get(name)
    found: dict[str, Any] = {"value": estimate.value, "unit": metric.unit, "better": metric.better}
    if estimate.interval is not None:
        found["interval"] = estimate.interval._asdict()
    if estimate.signature:
        found["signature"] = estimate.signature
    if estimate.table:
        found["table"] = list(estimate.table)
    return found
