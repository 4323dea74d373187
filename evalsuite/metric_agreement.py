"""How well an automatic metric foretells what people prefer: of two answers, does the one they chose score higher?

Answers are found again by example, model and text among the predictions that `truemark eval` scored, so nothing is generated. A metric
is asked for its value on each answer alone; one that then has none (pass@k, self-BLEU) is left out by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite import metrics
from evalsuite.evaluations import test_sets
from evalsuite.metrics import Answer
from evalsuite.statistics import Interval, paired_bootstrap
from truemark.errors import TruemarkError
from truemark.votes import Vote

FEWEST = 10
"""Questions below which no interval is given."""
PEOPLE = "another annotator"


@dataclass(frozen=True)
class MetricAgreement:
    """A metric against the votes that chose a side."""

    metric: str
    votes: int
    questions: int
    agreement: float
    """Share of votes whose answer has the higher value, a tie of the metric counting half: 0.5 is a coin's. Below it, lower is better."""
    interval: Interval | None
    """95 %, over resampled questions."""
    tau: float
    """(concordant - discordant) / all = 2 · agreement - 1: Kendall's τ over pairs that people decided, as at WMT (Macháček & Bojar 2014,
    variant in which a metric's tie is neither)."""
    undecided: float
    """Share of votes on which the metric ties."""


@dataclass(frozen=True)
class Correlation:
    """All metrics on the votes whose answers have scores."""

    people: MetricAgreement | None
    """How well another annotator of the item foretells it: what a metric can hope for. None where no item has two."""
    metrics: list[MetricAgreement]
    """The best first."""
    left_out: dict[str, str]
    """Metric → why it has no row."""
    found: int
    """Items whose two answers are among the scored predictions."""
    items: int
    """Items with votes."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)


def correlate(results: Path, domain: str, votes: Sequence[Vote]) -> Correlation:
    """Compare every metric with the votes. Raises InvalidData for scores that cannot be read."""
    items = {vote.item.id: vote.item for vote in votes}
    known = _scored(results, domain, {(side.sha256, side.text) for item in items.values() for side in (item.a, item.b)})
    pairs: dict[str, tuple[Answer, Answer]] = {}
    for id, item in items.items():
        a, b = (known.get((item.example or "", side.sha256, side.text)) for side in (item.a, item.b))
        if a and b:
            pairs[id] = (a, b)
    decided = [vote for vote in votes if vote.choice != "tie" and vote.item.id in pairs]
    rows, left_out = [], {}
    for name in metrics.METRICS if decided else ():
        try:
            values = _values(name, {vote.item.id: pairs[vote.item.id] for vote in decided})
        except (
            TruemarkError,
            ArithmeticError,
            ValueError,
        ) as error:  # a metric that needs more than one answer, or a package
            left_out[name] = str(error).splitlines()[0][:120]
            continue
        scored = [(vote, values[vote.item.id]) for vote in decided]
        signs = [
            (vote.item.question, float(np.sign(v[0] - v[1])) * (1 if vote.choice == "a" else -1))
            for vote, v in scored
            if v is not None
        ]
        if signs:
            rows.append(_agreement(name, signs))
        else:
            left_out[name] = "has no value for one answer alone"
    rows.sort(key=lambda row: -abs(row.tau))
    between = list(_between_people(votes))
    return Correlation(_agreement(PEOPLE, between) if between else None, rows, left_out, len(pairs), len(items))


def _scored(results: Path, domain: str, wanted: set[tuple[str, str]]) -> dict[tuple[str, str, str], Answer]:
    """Scored answers by (example id, model's hash, text), of those that are `wanted` by hash and text."""
    found: dict[tuple[str, str, str], Answer] = {}
    models = {sha for sha, _ in wanted}
    for evaluations in test_sets(results, domain):
        here = [one for one in evaluations.read() if one.model.sha256 in models]
        examples = evaluations.examples() if here else []
        for one in here:
            for answer in evaluations.answers(one, examples):
                text = answer.prediction.text
                if (one.model.sha256, text) in wanted:
                    found.setdefault((answer.example["id"], one.model.sha256, text), answer)
    return found


def _values(name: str, pairs: Mapping[str, tuple[Answer, Answer]]) -> dict[str, tuple[float, float] | None]:
    """By item: the value of each of its answers alone, None where one has none. Read in one go, as encoders are slow one text at a time."""
    metric = metrics.get(name)
    rows = metric.rows([answer for pair in pairs.values() for answer in pair])
    found = [metric.estimate(rows[i : i + 1]).value for i in range(len(rows))]
    return {
        id: None if a is None or b is None else (a, b) for id, a, b in zip(pairs, found[::2], found[1::2], strict=True)
    }


def _between_people(votes: Sequence[Vote]) -> Iterator[tuple[str, float]]:
    """Of every two annotators of an item, one of whom chose a side: 1 where the other chose it too, -1 the other, 0 neither."""
    by_item: dict[str, list[Vote]] = {}
    for vote in votes:
        by_item.setdefault(vote.item.id, []).append(vote)
    for own in by_item.values():
        for one, other in permutations(own, 2):
            if one.choice != "tie":
                yield one.item.question, 0.0 if other.choice == "tie" else 1.0 if other.choice == one.choice else -1.0


def _agreement(name: str, signs: Sequence[tuple[str, float]]) -> MetricAgreement:
    questions = np.array([question for question, _ in signs])
    values = np.array([sign for _, sign in signs])
    number = len(np.unique(questions))
    interval = None
    if number >= FEWEST:
        low, high = paired_bootstrap((values + 1) / 2, questions)
        interval = Interval(low, high)
    tau = float(values.mean())
    return MetricAgreement(name, len(signs), number, (tau + 1) / 2, interval, tau, float((values == 0).mean()))
