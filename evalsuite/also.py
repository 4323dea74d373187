"""What `truemark eval --also` left, as tables: a further set of examples (evalsuite/sets/), its metric for each model, compared as the leaderboard's rows are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from evalsuite import metrics, report, sets
from evalsuite.comparison import Row, Score, Scored, compare, find_baseline
from evalsuite.data import slice_of, slices
from evalsuite.evaluations import Evaluation, Evaluations, test_sets
from evalsuite.plain import Plain
from evalsuite.sets import ExampleSet

HEADINGS = ["model", "format · engine · decoding", "group", "answers"]


@dataclass(frozen=True)
class SetTable:
    """All models on one version of a further set."""

    set: ExampleSet
    examples_sha256: str
    n: int
    """Examples."""
    rows: list[Row]
    """Slice by slice, the best first."""
    notes: list[str]

    def score(self, row: Row) -> Score:
        """The set's metric."""
        return row.scores[self.set.metric]

    def to_json(self) -> dict[str, Any]:
        """As in `leaderboard.json`."""
        return {
            "name": self.set.name,
            "title": self.set.title,
            "about": self.set.about,
            "metric": self.set.metric,
            "examples_sha256": self.examples_sha256,
            "n": self.n,
            "rows": [self._row(row) for row in self.rows],
            "notes": self.notes,
        }

    def plain(self) -> Plain:
        """As a table of words. Where the base is what is measured by, its own row and a column of differences would say nothing further."""
        title = metrics.get(self.set.metric).title
        own = [row for row in self.rows if not (self.set.against_base and self.score(row).difference is None)]
        heads = [*HEADINGS, f"{title} [95 % CI]", "Δ points [95 % CI]", "p (Holm)", "of it"]
        cells = [self._cells(row) for row in own]
        if self.set.against_base:
            heads, *cells = [line[:5] + line[6:] for line in [heads, *cells]]
        about = f"{self.set.about}; {self.n} examples, hash {self.examples_sha256[:12]}"
        return Plain(self.set.title, about, heads, cells, self.notes)

    def _row(self, row: Row) -> dict[str, Any]:
        evaluation, score = row.scored.evaluation, self.score(row)
        estimate, d = score.estimate, score.difference
        return {
            "slice": row.slice,
            "ref": evaluation.model.ref,
            "label": evaluation.model.label,
            "sha256": evaluation.model.sha256,
            "engine": evaluation.engine,
            "engine_sha256": evaluation.engine_sha256,
            "sampling": _unseeded(evaluation),
            "answers": len(row.answers),
            "value": estimate.value,
            "interval": None if estimate.interval is None else estimate.interval.to_json(),
            "of": estimate.table[0] if estimate.table else {},
            "difference": None if d is None else d.to_json(),
            "group": row.group,
            "date": evaluation.created,
        }

    def _cells(self, row: Row) -> list[str]:
        evaluation, score = row.scored.evaluation, self.score(row)
        estimate, d = score.estimate, score.difference
        several = len({one.slice for one in self.rows}) > 1
        where = f" ({report.slice_title(row.slice)})" if several else ""
        bounds = f" {report.interval(estimate.interval)}" if estimate.interval else ""
        seeds = sorted({answer.prediction.sampling["seed"] for answer in row.answers})
        sampling = {**evaluation.sampling, "seed": ", ".join(map(str, seeds))}
        return [
            evaluation.model.label + where,
            f"{evaluation.model.format} · {evaluation.engine} · {report.decoding(sampling)}",
            row.group,
            str(len(row.answers)),
            "–" if estimate.value is None else f"{report.number(estimate.value, 'share')}{bounds}",
            "baseline" if d is None else report.difference(d),
            "" if d is None else "; ".join(filter(None, [report.p_value(d.p_holm), report.undetected(d)])),
            ", ".join(
                f"{name.replace('_', ' ')} {report.percent(value)}"
                for part in estimate.table[:1]
                for name, value in part.items()
            ),
        ]


def tables(results: Path, domain: str) -> list[SetTable]:
    """The tables of a domain's sets that have answers, of each set the version asked last. Raises InvalidData for a file that is none of ours."""
    found = []
    for name in sets.SETS:
        for evaluations in test_sets(results, domain, name)[:1]:
            found += table(evaluations)
    return found


def table(evaluations: Evaluations, only: Collection[str] | None = None, baseline: str | None = None) -> list[SetTable]:
    """One version of a set as a table, of all models or of those whose hashes are `only`; none where no model can be compared."""
    found = sets.get(evaluations.also, evaluations.domain)
    examples = evaluations.examples()
    scored = [one for one in _joined(evaluations) if only is None or one.evaluation.model.sha256 in only]
    notes: list[str] = []
    if found.against_base:
        rows = []
        for base, own in _by_base(scored, notes):
            rows += compare(own, base, (), primary=found.metric)
        order = slices(examples)
        rows.sort(key=lambda row: order.index(row.slice))
    elif scored:
        reference = next((one for one in scored if baseline == one.evaluation.model.label), None)
        rows = compare(scored, reference or find_baseline(scored, None), (), primary=found.metric)
    else:
        rows = []
    if any(slice_of(example) not in {row.slice for row in rows} for example in examples):
        rows = []
    return [SetTable(found, evaluations.sha256, len(examples), rows, notes)] if rows else []


def _joined(evaluations: Evaluations) -> list[Scored]:
    """Each model once, with the answers of all its draws. Of two models under one reference the last counts."""
    examples = evaluations.examples()
    latest = {(one.model.ref, one.engine, repr(one.sampling)): one for one in evaluations.read()}

    def who(one: Evaluation) -> tuple[str, str, str]:
        return one.model.sha256, one.engine, repr(_unseeded(one))

    ordered = sorted(latest.values(), key=lambda one: (who(one), one.sampling["seed"]))
    joined = [list(draws) for _, draws in groupby(ordered, key=who)]
    joined.sort(key=lambda draws: draws[-1].created)
    return [
        Scored(draws[-1], [answer for draw in draws for answer in evaluations.answers(draw, examples)])
        for draws in joined
    ]


def _by_base(scored: Sequence[Scored], notes: list[str]) -> list[tuple[Scored, list[Scored]]]:
    """Each base, and itself with the models that stand on it; each answer with the base's to the same example."""
    pairs: dict[int, tuple[Scored, list[Scored]]] = {}
    for one in scored:
        model = one.evaluation.model
        if model.base_sha256 is None:
            continue
        bases = [other for other in scored if other.evaluation.model.sha256 == model.base_sha256]
        # on the same engine if it can be: engines differ a little themselves
        bases.sort(key=lambda other: other.evaluation.engine != one.evaluation.engine)
        if not bases:
            notes.append(f"{model.label} is left out: its base ({model.base}) has not answered this set")
            continue
        base = pairs.setdefault(id(bases[0]), (_against(bases[0], bases[0]), []))[0]
        pairs[id(bases[0])][1].append(_against(one, base))
    return [(base, [base, *own]) for base, own in pairs.values()]


def _against(one: Scored, base: Scored) -> Scored:
    said = {answer.example["id"]: answer for answer in base.answers}
    return Scored(one.evaluation, [replace(answer, base=said.get(answer.example["id"])) for answer in one.answers])


def _unseeded(evaluation: Evaluation) -> dict[str, Any]:
    return {name: value for name, value in evaluation.sampling.items() if name != "seed"}
