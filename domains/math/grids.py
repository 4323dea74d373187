"""Matrices in answers: `[[1, 2], [3, 4]]`, `\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}`, `Matrix([[1, 2], [3, 4]])`."""

from __future__ import annotations

import re

from domains.math.expressions import TooLarge, Tree, Unparsable, parse

Grid = tuple[tuple[Tree, ...], ...]
MAX_ENTRIES = 36
_LATEX = re.compile(r"\\begin\{([pbvBV]?matrix|array)\}(?:\{[^{}]{0,20}\})?(.*?)\\end\{\1\}", re.S)
_ROWS = re.compile(r"\[\s*(\[[^\[\]]*\](?:\s*[,;]?\s*\[[^\[\]]*\])*)\s*\]")


def looks_like_grid(text: str) -> bool:
    """Whether an answer is meant as a matrix."""
    return "\\begin{" in text or bool(re.search(r"\[\s*\[", text))


def read_grid(text: str) -> Grid:
    """The one matrix in an answer, alone or behind `A^(-1) =`. Raises Unparsable or TooLarge."""
    latex, plain = _LATEX.search(text), _ROWS.search(text)
    if latex:
        rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]{0,10}\])?", latex[2]) if row.strip()]
        match: re.Match[str] | None = latex
    else:
        match = plain
        rows = [row.split(",") for row in re.findall(r"\[([^\[\]]*)\]", plain[1])] if plain else []
    if match is None:
        raise Unparsable("not a matrix")
    before, after = text[: match.start()], text[match.end() :]
    if re.sub(r"\\left[\[(]?|\\right[\])]?|[\s$().*_]|Matrix|array|^.{0,20}=", "", before) or re.sub(r"\\right[\])]?|[\s$.*)_]", "", after):  # fmt: skip
        raise Unparsable("more than one matrix")
    if sum(map(len, rows)) > MAX_ENTRIES:
        raise TooLarge(f"more than {MAX_ENTRIES} entries")
    if len({len(row) for row in rows}) != 1:
        raise Unparsable("rows of different lengths")
    return tuple(tuple(parse(entry) for entry in row) for row in rows)
