"""The leaderboard: from the scores at hand to rows, and from rows to JSON and Markdown (HTML: evalsuite/html.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import domains
from evalsuite import also, harness, judgement
from evalsuite.also import SetTable
from evalsuite.comparison import SHOWN, Row, Scored, compare, find_baseline
from evalsuite.evaluations import Evaluation, Evaluations, caveats, read_engine, test_sets
from evalsuite.frontier import COLUMNS, Frontier, read_frontiers
from evalsuite.harness import HarnessRun
from evalsuite.judgement import Judgement
from evalsuite.plain import Plain
from evalsuite.report import cells, headings, methods, slice_title
from truemark import __version__
from truemark.console import say
from truemark.errors import InvalidData, MissingDependency

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Section:
    """One domain on one test set."""

    domain: str
    title: str
    slices: dict[str, str]
    """What each slice holds, in words."""
    examples_sha256: str
    n: int
    limit: int | None
    baseline: str
    """Label of the model that the others are compared with."""
    rows: list[Row]
    engines: dict[str, dict[str, Any]]
    """By hash, what each engine says of itself."""
    frontiers: list[Frontier] = field(default_factory=list)
    """Formats of an adapter, timed and compared by `truemark export --fastest`."""
    sets: list[SetTable] = field(default_factory=list)
    """Stability and drift: `truemark eval --also`."""
    harness: list[HarnessRun] = field(default_factory=list)
    """What lm-evaluation-harness said: `truemark eval --lm-eval`."""
    judgement: Judgement | None = None
    """What people's votes say; None where there are none."""

    def plains(self) -> list[Plain]:
        """What stands below the rows, as tables of words."""
        found = [one.plain() for one in self.sets]
        found += [harness.plain(self.harness)] if self.harness else []
        return found + ([judgement.plain(self.judgement)] if self.judgement else [])

    def by_slice(self) -> list[tuple[str, list[Row]]]:
        """Rows of each slice, best first."""
        return [(name, list(rows)) for name, rows in groupby(self.rows, key=lambda row: row.slice)]


@dataclass(frozen=True)
class Board:
    """Everything the three files show."""

    created: str
    sections: list[Section]
    notes: list[str]

    @property
    def rows(self) -> list[Row]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section.rows]

    @property
    def evaluations(self) -> list[Evaluation]:
        """Each evaluation once."""
        return list({id(row.scored): row.scored.evaluation for row in self.rows}.values())

    @property
    def machines(self) -> list[str]:
        """Machines that the models ran on."""
        return list(dict.fromkeys(evaluation.machine for evaluation in self.evaluations))

    @property
    def libraries(self) -> dict[str, str]:
        """Versions at the latest evaluation."""
        return max(self.evaluations, key=lambda evaluation: evaluation.created).libraries

    def to_json(self) -> dict[str, Any]:
        """`leaderboard.json` as leaderboard.schema.json has it; `schema_version` rises when a field changes its meaning."""
        return {
            "schema_version": SCHEMA_VERSION,
            "truemark": __version__,
            "created": self.created,
            "machines": self.machines,
            "libraries": self.libraries,
            "notes": self.notes,
            "domains": [
                {
                    "name": section.domain,
                    "title": section.title,
                    "examples_sha256": section.examples_sha256,
                    "n": section.n,
                    "limit": section.limit,
                    "baseline": section.baseline,
                    "slices": section.slices,
                    "engines": section.engines,
                    "frontiers": [frontier.to_json() for frontier in section.frontiers],
                    "sets": [one.to_json() for one in section.sets],
                    "harness": [harness.to_json(one) for one in section.harness],
                    "judgement": None if section.judgement is None else judgement.to_json(section.judgement),
                }
                for section in self.sections
            ],
            "rows": [row.to_json() for row in self.rows],
        }


def build(results: Path, baseline: str | None = None, names: Sequence[str] = SHOWN, votes: str | None = None) -> Board:
    """Read all scores under `results`, compute the metrics `names` beside accuracy, and weigh the votes in the store `votes`
    (default: votes.sqlite under `results`, where there is one).

    Raises InvalidData when there are no scores, or a file is not what it should be; UnknownName for a metric; what `open_store` raises.
    """
    sections: list[Section] = []
    notes: list[str] = []
    for folder in sorted(results.glob("*/scores")):
        sets = test_sets(results, folder.parent.name)
        if sets:
            sections.append(_section(sets[0], baseline, names, notes))
            sections[-1].sets.extend(also.tables(results, sets[0].domain))
            sections[-1].harness.extend(harness.latest(harness.runs(results, sets[0].domain)))
            for other in sets[1:]:
                notes.append(
                    f"{len(other.read())} evaluations of {other.domain} on another test set or sample "
                    f"({other.sha256[:12]}) are not shown."
                )
    if not sections:
        raise InvalidData(f"no scores under {results}/", mend="truemark eval math --model smollm2-135m --model REF")
    sections = _with_votes(sections, votes, results / "votes.sqlite", notes)
    shown = {section.domain for section in sections}
    for folder in sorted(results.glob("*/harness")):
        if folder.parent.name not in shown:
            notes.append(f"lm_eval's results of {folder.parent.name} are not shown: it has no scores of ours yet.")
    for note in notes:
        say(note)
    if any(row.scored.evaluation.model.embedded for section in sections for row in section.rows):
        notes.append(
            "The embedded base is a 4-bit file, de-quantized: 8-bit exports of it lose less here, and 4- and 5-bit ones "
            "may lose more, than they would on a base in full precision."
        )
    return Board(datetime.now(UTC).isoformat(timespec="seconds"), sections, notes)


def _section(evaluations: Evaluations, baseline: str | None, names: Sequence[str], notes: list[str]) -> Section:
    examples = evaluations.examples()
    found = evaluations.read()
    latest = _latest(found)
    if len(latest) < len(found):
        notes.append(
            f"{len(found) - len(latest)} earlier evaluations of {evaluations.domain}, of models that have since been "
            "replaced under the same reference, are not shown."
        )
    notes += [note for one in latest for note in caveats(one)]
    scored = [Scored(one, evaluations.answers(one, examples)) for one in latest]
    reference = find_baseline(scored, baseline)
    room = domains.get(evaluations.domain)
    return Section(
        domain=evaluations.domain,
        title=room.CARD.title,
        slices=room.SLICES,
        examples_sha256=evaluations.sha256,
        n=len(examples),
        limit=latest[-1].limit,
        baseline=reference.evaluation.model.label,
        rows=compare(scored, reference, names),
        engines={
            one.engine_sha256: read_engine(evaluations.results, evaluations.domain, one.engine_sha256) for one in latest
        },
        frontiers=read_frontiers(evaluations.results, evaluations.domain),
    )


def _with_votes(sections: list[Section], votes: str | None, file: Path, notes: list[str]) -> list[Section]:
    if votes is None and not file.is_file():
        return sections
    from truemark.votes import open_store

    try:
        with open_store(votes or str(file), create=False) as store:
            found = {section.domain: judgement.for_leaderboard(section.domain, store) for section in sections}
    except MissingDependency as error:
        if votes is not None:
            raise
        notes.append(f"The votes in {file.name} are not shown: {error.message}.")
        return sections
    return [
        replace(section, judgement=found[section.domain] if found[section.domain].votes else None)
        for section in sections
    ]


def _latest(found: Sequence[Evaluation]) -> list[Evaluation]:
    """Of evaluations that name the same model in the same way, the last: a trained-again adapter replaces the old one."""
    by_name = {(one.model.ref, one.engine, repr(one.sampling)): one for one in found}
    return [one for one in found if by_name[one.model.ref, one.engine, repr(one.sampling)] is one]


def markdown(board: Board) -> str:
    """`LEADERBOARD.md`: a table per domain and slice."""
    lines = ["# Truemark leaderboard", "", f"{board.created[:10]} · {'; '.join(board.machines)}", ""]
    for section in board.sections:
        for name, rows in section.by_slice():
            says = f": {section.slices[name]}" if name in section.slices else ""
            lines += [f"## {_cell(section.title)}, {_cell(slice_title(name))}{says} (n = {len(rows[0].answers)})", ""]
            titles = headings(rows)
            lines += ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
            lines += ["| " + " | ".join(_cell(cell) for cell in cells(row)) + " |" for row in rows]
            lines.append("")
        for one in section.frontiers:
            lines += [f"## Formats of {_cell(one.adapter)} ({_cell(one.machine)})", ""]
            lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
            lines += ["| " + " | ".join(_cell(cell) for cell in cells_) + " |" for cells_ in one.cells()]
            lines.append("")
        for table in section.plains():
            lines += [f"## {_cell(section.title)}: {_cell(table.title)}", "", _cell(table.about), ""]
            lines += ["| " + " | ".join(table.headings) + " |", "|" + "---|" * len(table.headings)]
            lines += ["| " + " | ".join(_cell(cell) for cell in cells_) + " |" for cells_ in table.rows]
            lines += ["", *(f"- {_cell(note)}" for note in table.notes), ""] if table.notes else [""]
        lines += [*(f"- {_cell(line)}" for line in methods(section.by_slice()[-1][1])), ""]
    lines += [f"- {note}" for note in board.notes]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    """Text that cannot leave its table cell or become markup."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
