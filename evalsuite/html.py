"""The leaderboard as one self-contained HTML page: no script, font or style from elsewhere; it works from file://.

Without its script the page reads whole, with a few examples a row; the script (leaderboard.js, let through by its hash alone)
sorts, filters, and opens all examples of a row. All text comes through Jinja's autoescape or `textContent`; what models wrote
is hostile input, and is cut and stripped here too.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domains.base import question
from evalsuite import report
from evalsuite.comparison import Row, quantization
from evalsuite.explorer import LONGEST, blocks, clean
from evalsuite.frontier import COLUMNS
from evalsuite.leaderboard import Board, Section
from evalsuite.metrics import Answer
from truemark import __version__

WRONG_SHOWN = 4
RIGHT_SHOWN = 1
"""Examples of a row that are shown without the script."""
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Axis:
    """The scale of a forest plot."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Axis:
        """Wide enough for every interval and for 0, with round ticks."""
        ends = [0.0, *(bound for row in rows if row.difference for bound in row.difference.interval)]
        low, high = min(ends), max(ends)
        step = next(
            step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if (high - low) / step <= 2.5 or step == 1
        )
        first, last = int(low // step), -int(-high // step)
        if first == last:
            first, last = -1, 1
        return cls(first * step, last * step, tuple(round(k * step, 4) for k in range(first, last + 1)))

    def x(self, value: float) -> str:
        """Horizontal place of a difference."""
        return x((value - self.low) / (self.high - self.low))


def page(board: Board) -> str:
    """`index.html` of a board."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clean=clean, x=x)
    script = (HERE / "leaderboard.js").read_text(encoding="utf-8")
    total = sum(section.n * len({id(row.scored) for row in section.rows}) for section in board.sections)
    return environment.get_template("leaderboard.html").render(
        board=board,
        report=report,
        columns=COLUMNS,
        version=__version__,
        ticks=TICKS,
        x=x,
        axis=Axis.of,
        shown=shown,
        reasons=reasons,
        provenance=provenance,
        question=question,
        packed=[blocks(section.rows, total) for section in board.sections],
        place=place,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=(HERE / "leaderboard.css").read_text(encoding="utf-8"),
        longest=LONGEST,
    )


def x(share: float) -> str:
    """Horizontal place of a proportion in a plot, as a percentage of its width: room is left for a dot at the ends."""
    return f"{3 + 94 * min(max(share, 0.0), 1.0):.2f}%"


def place(row: Row, section: Section) -> int:
    """Which of the section's models a row is of, in the order of its blocks."""
    return list({id(one.scored): 0 for one in section.rows}).index(id(row.scored))


def shown(row: Row) -> list[Answer]:
    """Answers worth reading: wrong ones first, one reason after another, then some right ones."""
    wrong = [answer for answer in row.answers if not answer.verdict.passed]
    seen: Counter[str] = Counter()
    ranked = []
    for answer in wrong:
        ranked.append((seen[answer.verdict.reason], answer))
        seen[answer.verdict.reason] += 1
    ranked.sort(key=lambda item: item[0])
    right = [answer for answer in row.answers if answer.verdict.passed]
    return [answer for _, answer in ranked[:WRONG_SHOWN]] + right[:RIGHT_SHOWN]


def reasons(answers: Sequence[Answer]) -> list[tuple[str, int]]:
    """How often each reason occurs among wrong answers, the most frequent first."""
    return Counter(answer.verdict.reason for answer in answers if not answer.verdict.passed).most_common()


def provenance(row: Row) -> list[tuple[str, str]]:
    """What the row is a measurement of: term and value."""
    evaluation = row.scored.evaluation
    model = evaluation.model
    sampling = evaluation.sampling
    stated = [
        ("Model", model.label),
        ("Stands on", model.base),
        ("Weights", _sha(model.sha256)),
        ("Adapter", _sha(model.adapter_sha256)),
        ("Format", model.format),
        ("Quantization", quantization(model.format)),
        ("Engine", f"{evaluation.engine} ({_sha(evaluation.engine_sha256)})"),
        ("Template", _sha(model.template_sha256)),
        ("Decoding", f"{report.decoding(sampling)} tokens, seed {sampling['seed']}"),
        ("Canary", {"matched": "the adapter of its manifest", "absent": "none in its manifest"}.get(evaluation.canary)),
        ("Examples", str(len(row.answers))),
        ("Date", evaluation.created[:16].replace("T", " ")),
    ]
    return [(term, value) for term, value in stated if value]


def _sha(sha256: str | None) -> str | None:
    return sha256[:12] if sha256 else None
