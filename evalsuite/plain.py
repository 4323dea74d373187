"""A table of words, for what stands beside the leaderboard's rows: the terminal, Markdown and the page show it alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plain:
    """Cells under headings, with a line about them and notes below."""

    title: str
    about: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as indented lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def text(table: Plain) -> str:
    """For a terminal or a log."""
    lines = [f"{table.title}: {table.about}", *columns([table.headings, *table.rows])]
    return "\n".join([*lines, *(f"  {note}" for note in table.notes)])
