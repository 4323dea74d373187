"""Evaluations of several models on one test set → one row per model and slice, each compared with the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evalsuite import metrics
from evalsuite.data import OVERALL, family_of, slice_of, slices
from evalsuite.evaluations import Evaluation
from evalsuite.metrics import Answer
from evalsuite.statistics import Interval, mcnemar, paired_bootstrap
from truemark.errors import ModelNotFound


@dataclass(frozen=True)
class Difference:
    """Accuracy of a model minus that of the baseline on the same examples."""

    baseline: str
    """Label of the baseline."""
    value: float
    interval: Interval
    """95 % paired bootstrap over examples."""
    p: float
    """McNemar's exact test."""
    wins: int
    """Examples that only the model gets right."""
    losses: int
    """Examples that only the baseline gets right."""
    families: int
    family_interval: Interval
    """The same bootstrap over whole problem families: wider where families differ more than examples."""


@dataclass(frozen=True)
class Scored:
    """One evaluation with its answers."""

    evaluation: Evaluation
    answers: list[Answer]


@dataclass(frozen=True)
class Row:
    """One model on one slice."""

    scored: Scored
    slice: str
    answers: list[Answer]
    accuracy: float
    interval: Interval
    difference: Difference | None
    """None for the baseline itself."""
    tokens_per_second: float | None

    def to_json(self) -> dict[str, Any]:
        """The row as it stands in `leaderboard.json`; proportions in [0, 1]."""
        evaluation = self.scored.evaluation
        model = evaluation.model
        d = self.difference
        return {
            "domain": evaluation.domain,
            "slice": self.slice,
            "ref": model.ref,
            "label": model.label,
            "name": model.name,
            "kind": model.kind,
            "format": model.format,
            "sha256": model.sha256,
            "base": model.base,
            "engine": evaluation.engine,
            "sampling": evaluation.sampling,
            "n": len(self.answers),
            "unanswered": evaluation.unanswered if self.slice == OVERALL else {},
            "contamination": asdict(evaluation.contamination),
            "accuracy": {"value": self.accuracy, **self.interval._asdict()},
            "difference": None
            if d is None
            else {
                **asdict(d),
                "interval": d.interval._asdict(),
                "family_interval": d.family_interval._asdict(),
            },
            "tokens_per_second": self.tokens_per_second,
            "mark": model.mark,
            "failed": model.failed,
            "date": evaluation.created,
        }


def compare(scored: Sequence[Scored], baseline: Scored) -> list[Row]:
    """Rows slice by slice, the most accurate first (ties: as evaluated). All must be on the same examples."""
    rows: list[Row] = []
    for name in slices([answer.example for answer in baseline.answers]):
        reference = _part(baseline.answers, name)
        part = [
            _row(one, name, None if one is baseline else (baseline, reference))
            for one in scored
            if _part(one.answers, name)
        ]
        rows += sorted(part, key=lambda row: -row.accuracy)
    return rows


def find_baseline(scored: Sequence[Scored], wanted: str | None) -> Scored:
    """The one named `wanted` (reference or label); else the base that most others stand on, else the first.

    Raises ModelNotFound for a name that was not evaluated.
    """
    if wanted is not None:
        for one in scored:
            if wanted in (one.evaluation.model.ref, one.evaluation.model.label, one.evaluation.model.name):
                return one
        known = ", ".join(one.evaluation.model.ref for one in scored)
        raise ModelNotFound(
            f"the baseline '{wanted}' was not evaluated on this test set: there are {known}",
            mend=f"truemark eval {scored[0].evaluation.domain} --model {wanted}",
        )
    bases = [one.evaluation.model.base_sha256 for one in scored]
    return max(scored, key=lambda one: bases.count(one.evaluation.model.sha256))


def _row(scored: Scored, name: str, baseline: tuple[Scored, list[Answer]] | None) -> Row:
    answers = _part(scored.answers, name)
    accuracy = metrics.get("accuracy")(answers)
    assert accuracy.value is not None and accuracy.interval is not None  # a slice has at least one example
    return Row(
        scored=scored,
        slice=name,
        answers=answers,
        accuracy=accuracy.value,
        interval=accuracy.interval,
        difference=_difference(answers, baseline),
        tokens_per_second=metrics.get("tokens_per_second")(answers).value,
    )


def _difference(answers: list[Answer], baseline: tuple[Scored, list[Answer]] | None) -> Difference | None:
    """On the examples that both answered: an endpoint may have left some out."""
    if baseline is None:
        return None
    theirs = {answer.example["id"]: answer for answer in baseline[1]}
    common = [answer for answer in answers if answer.example["id"] in theirs]
    if not common:
        return None
    return difference(common, [theirs[answer.example["id"]] for answer in common], baseline[0].evaluation.model.label)


def difference(answers: Sequence[Answer], baseline: Sequence[Answer], label: str) -> Difference:
    """Paired comparison of two models' answers to the same examples, in the same order."""
    pairs = zip(answers, baseline, strict=True)
    d = np.array([float(a.verdict.passed) - float(b.verdict.passed) for a, b in pairs])
    families = np.array([family_of(answer.example) for answer in answers])
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    return Difference(
        baseline=label,
        value=float(d.mean()),
        interval=paired_bootstrap(d),
        p=mcnemar(wins, losses),
        wins=wins,
        losses=losses,
        families=len(np.unique(families)),
        family_interval=paired_bootstrap(d, families),
    )


def _part(answers: list[Answer], name: str) -> list[Answer]:
    return answers if name == OVERALL else [answer for answer in answers if slice_of(answer.example) == name]
