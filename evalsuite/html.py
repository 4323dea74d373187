"""The leaderboard as one self-contained HTML page: no script, no font or style from elsewhere, works from file://.

All text comes through Jinja's autoescape; what models wrote is hostile input, and is cut and stripped here too.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from domains.base import question
from evalsuite import report
from evalsuite.comparison import Row
from evalsuite.frontier import COLUMNS
from evalsuite.leaderboard import Board
from evalsuite.metrics import Answer
from truemark import __version__

WRONG_SHOWN = 10
RIGHT_SHOWN = 3
LONGEST = 1500
"""Characters of one text that are shown."""
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def page(board: Board) -> str:
    """`index.html` of a board."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clean=clean, x=x)
    return environment.get_template("leaderboard.html").render(
        board=board,
        report=report,
        columns=COLUMNS,
        version=__version__,
        ticks=TICKS,
        shown=shown,
        reasons=reasons,
        question=question,
    )


def x(share: float) -> str:
    """Horizontal place of a proportion in a plot, as a percentage of its width: room is left for a dot at the ends."""
    return f"{1.5 + 97 * min(max(share, 0.0), 1.0):.2f}%"


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


def clean(text: object) -> str:
    """Text as it may be shown: cut to LONGEST, without control and direction characters that would change the page."""
    value = str(text)
    rest = len(value) - LONGEST
    kept = "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs") else "\ufffd"
        for char in value[:LONGEST]
    )
    return f"{kept} … ({rest:,} more characters)" if rest > 0 else kept
