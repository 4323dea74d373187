"""Evaluations of several models on one test set → one row per model and slice, each compared with the baseline.

A slice is a table. In it every metric that has a value per answer is compared with the baseline's on the same examples:
the mean difference with a 95 % bootstrap over problem families, the p of a sign-flip test by family, and that p after
Holm's correction over all comparisons of the table. Models not told apart in accuracy, each from each, share a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from evalsuite import metrics
from evalsuite.data import OVERALL, family_of, slice_of, slices
from evalsuite.evaluations import Evaluation
from evalsuite.metrics import Answer, Estimate
from evalsuite.statistics import (
    Interval,
    bca,
    holm,
    mcnemar,
    minimum_detectable,
    paired_bootstrap,
    permutation,
    rank_groups,
)
from truemark.errors import ModelNotFound
from truemark.files import sha256_json

PRIMARY = "accuracy"
"""The metric that orders the rows: the domain's own check."""
SHOWN = (PRIMARY, "tokens_per_second")
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """A metric of a model minus that of the baseline, on the same examples."""

    baseline: str
    """Label of the baseline."""
    value: float
    """Mean over the examples to which the metric applies for both."""
    interval: Interval
    """95 % bootstrap over problem families."""
    p: float
    """Sign-flip test by family."""
    p_holm: float
    """The same, corrected over the table."""
    mcnemar: float | None
    """For right and wrong: McNemar's exact test, which takes examples for independent."""
    wins: int
    """Examples with a greater value than the baseline's."""
    losses: int
    n: int
    families: int
    detectable: float | None
    """Beside "no difference": the true difference that this table would find with a chance of 80 %; else None.

    None too where so few families, and so many comparisons, could find nothing however large."""
    of_score: bool
    """Whether `value` is the difference of the two scores; False for a corpus metric, whose score is no mean of examples."""

    @property
    def significant(self) -> bool:
        """Whether a difference is found, all comparisons of the table taken together."""
        return self.p_holm <= LEVEL

    def to_json(self) -> dict[str, Any]:
        """As in `leaderboard.json`."""
        return {**vars(self), "interval": self.interval.to_json(), "significant": self.significant}


@dataclass(frozen=True)
class Scored:
    """One evaluation with its answers."""

    evaluation: Evaluation
    answers: list[Answer]


@dataclass(frozen=True)
class Score:
    """One metric of one row."""

    estimate: Estimate
    difference: Difference | None
    """None for the baseline itself, and where the metric has no value per answer."""


@dataclass(frozen=True)
class Row:
    """One model on one slice."""

    scored: Scored
    slice: str
    answers: list[Answer]
    scores: dict[str, Score]
    """By metric, in the order asked for; the primary one is first."""
    group: str
    """Letters: rows that share one are not told apart in accuracy."""

    @property
    def accuracy(self) -> float:
        """Share of answers that the check passes."""
        value = self.scores[PRIMARY].estimate.value
        assert value is not None  # a slice has at least one example
        return value

    @property
    def interval(self) -> Interval:
        """Wilson's, of the accuracy."""
        interval = self.scores[PRIMARY].estimate.interval
        assert interval is not None
        return interval

    @property
    def difference(self) -> Difference | None:
        """In accuracy; None for the baseline itself."""
        return self.scores[PRIMARY].difference

    @property
    def tokens_per_second(self) -> float | None:
        """None where the engine counts no tokens."""
        found = self.scores.get("tokens_per_second")
        return found.estimate.value if found else None

    @property
    def others(self) -> dict[str, Score]:
        """Metrics beyond those of SHOWN."""
        return {name: score for name, score in self.scores.items() if name not in SHOWN}

    def to_json(self) -> dict[str, Any]:
        """The row as it stands in `leaderboard.json` (leaderboard.schema.json); proportions in [0, 1]."""
        evaluation, d = self.scored.evaluation, self.difference
        model = evaluation.model
        return {
            "domain": evaluation.domain,
            "slice": self.slice,
            "ref": model.ref,
            "label": model.label,
            "name": model.name,
            "kind": model.kind,
            "format": model.format,
            "quantization": quantization(model.format),
            "sha256": model.sha256,
            "adapter_sha256": model.adapter_sha256,
            "base": model.base,
            "engine": evaluation.engine,
            "engine_sha256": evaluation.engine_sha256,
            "template_sha256": model.template_sha256,
            "prompts_sha256": sha256_json([answer.prediction.prompt_sha256 for answer in self.answers]),
            "sampling": evaluation.sampling,
            "n": len(self.answers),
            "unanswered": evaluation.unanswered if self.slice == OVERALL else {},
            "contamination": asdict(evaluation.contamination),
            "accuracy": {"value": self.accuracy, **self.interval.to_json()},
            "difference": None if d is None else d.to_json(),
            "group": self.group,
            "tokens_per_second": self.tokens_per_second,
            "metrics": {name: _metric_json(name, score) for name, score in self.others.items()},
            "mark": model.mark,
            "canary": evaluation.canary,
            "failed": model.failed,
            "date": evaluation.created,
            "machine": evaluation.machine,
        }


def compare(
    scored: Sequence[Scored], baseline: Scored, names: Sequence[str] = SHOWN, *, primary: str = PRIMARY
) -> list[Row]:
    """Rows slice by slice, the best by `primary` first (ties: as evaluated). All must be of the same test set; what an endpoint left out is left out of its comparisons.

    `names` are metrics beyond `primary`, which must have values per answer: it orders and groups. Raises UnknownName for one that there is none of.
    """
    names = list(dict.fromkeys([primary, *names]))
    examples = list({answer.example["id"]: answer.example for one in scored for answer in one.answers}.values())
    place = {example["id"]: i for i, example in enumerate(examples)}
    where = np.array([slice_of(example) for example in examples])
    families = np.array([family_of(example) for example in examples])
    entries = [_Entry.of(one, names, place) for one in scored]
    first = next(i for i, one in enumerate(scored) if one is baseline)
    rows: list[Row] = []
    for name in slices(examples):
        part = np.arange(len(examples)) if name == OVERALL else np.flatnonzero(where == name)
        rows += _table(name, entries, first, part, families[part], primary)
    return rows


@dataclass(frozen=True)
class _Entry:
    """A model's answers, and what metrics need of them, computed once for all slices; an endpoint may have left some out."""

    scored: Scored
    places: np.ndarray
    """Int [n]: the place of each answer's example among the examples."""
    rows: dict[str, np.ndarray]
    """[n, s]: each metric's `Metric.rows`."""
    values: dict[str, np.ndarray | None]
    """Float [examples] of each metric, NaN where there is no answer or the metric does not apply; None without values per answer."""

    @classmethod
    def of(cls, scored: Scored, names: Sequence[str], place: dict[str, int]) -> _Entry:
        places = np.array([place[answer.example["id"]] for answer in scored.answers], dtype=int)
        rows = {name: metrics.get(name).rows(scored.answers) for name in names}

        def spread(name: str) -> np.ndarray | None:
            own = _values(name, rows[name])
            if own is None:
                return None
            told = np.isfinite(own)
            whole = np.full(len(place), np.nan)
            whole[places[told]] = own[told]  # a value of several answers stands at one of them
            return whole

        return cls(scored, places, rows, {name: spread(name) for name in names})


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


def quantization(format: str) -> str | None:
    """`gguf-q4_k_m` → `q4_k_m`; None for a format in 16 or 32 bits."""
    name = format.removeprefix("lora-").removeprefix("gguf-")
    return name if name.startswith(("q", "int", "4bit", "iq")) else None


def _table(
    name: str, entries: Sequence[_Entry], first: int, part: np.ndarray, families: np.ndarray, primary: str
) -> list[Row]:
    """The rows of one slice, of which `part` are the examples' places, int [n]."""
    clusters = families if len(np.unique(families)) < len(families) else None
    baseline = entries[first]
    tests = sum(own is not None for one in entries if one is not baseline for own in one.values.values())
    rows: list[Row] = []
    for one in entries:
        here = np.flatnonzero(np.isin(one.places, part))
        if not len(here):
            continue
        here = here[np.argsort(one.places[here], kind="stable")]
        scores = {}
        for metric, all_values in one.values.items():
            own = None if all_values is None else all_values[part]
            against = baseline.values[metric]
            estimate = _with_interval(metrics.get(metric).estimate(one.rows[metric][here]), own, clusters)
            d = None
            if one is not baseline and own is not None and against is not None:
                label = baseline.scored.evaluation.model.label
                d = difference(own, against[part], clusters, label, _is_mean(estimate, own), LEVEL / tests)
            scores[metric] = Score(estimate, d)
        rows.append(Row(one.scored, name, [one.scored.answers[i] for i in here], scores, ""))
    sign = -1.0 if metrics.get(primary).better == "higher" else 1.0
    rows.sort(key=lambda row: sign * (row.scores[primary].estimate.value or 0.0))
    of = {id(one.scored): one for one in entries}
    right = [of[id(row.scored)].values[primary] for row in rows]
    groups = _groups([one[part] for one in right if one is not None], clusters)
    rows = [replace(row, group=group) for row, group in zip(rows, groups, strict=True)]
    return _holm(rows)


def _holm(rows: list[Row]) -> list[Row]:
    """The rows of a table with p values corrected over all its comparisons, and `detectable` where nothing is found."""
    found = [score.difference for row in rows for score in row.scores.values() if score.difference]
    corrected = iter(holm([d.p for d in found]))

    def mend(score: Score) -> Score:
        if score.difference is None:
            return score
        d = replace(score.difference, p_holm=next(corrected))
        return replace(score, difference=replace(d, detectable=None if d.significant else d.detectable))

    return [replace(row, scores={name: mend(score) for name, score in row.scores.items()}) for row in rows]


def _groups(values: list[np.ndarray], clusters: np.ndarray | None) -> list[str]:
    """Letters of models by their values of the same examples, best first: all pairs tested, Holm over the pairs."""
    pairs = [(i, j) for i in range(len(values)) for j in range(i + 1, len(values))]
    different = np.zeros((len(values), len(values)), dtype=bool)
    for (i, j), p in zip(pairs, holm([_test(values[i] - values[j], clusters) for i, j in pairs]), strict=True):
        different[i, j] = different[j, i] = p <= LEVEL
    return rank_groups(different)


def _test(d: np.ndarray, clusters: np.ndarray | None) -> float:
    """p of the differences that there are; 1 where no example has both answers."""
    both = np.isfinite(d)
    return permutation(d[both], None if clusters is None else clusters[both]) if both.any() else 1.0


def difference(
    own: np.ndarray,
    against: np.ndarray,
    clusters: np.ndarray | None,
    label: str,
    of_score: bool = True,
    alpha: float = LEVEL,
) -> Difference | None:
    """Paired comparison of two models' values of the same examples, float [n] each, in the same order.

    None where no example has a value of both. `p_holm` is still p, and `detectable` (of a test at level `alpha`) is always
    told: `compare` knows the table.
    """
    both = np.isfinite(own) & np.isfinite(against)
    if not both.any():
        return None
    d = own[both] - against[both]
    labels = None if clusters is None else clusters[both]
    pooled = np.concatenate([own[both], against[both]])
    binary = bool(np.isin(pooled, (0.0, 1.0)).all())
    span = 1.0 if binary else float(np.ptp(pooled))
    bounds = (-span, span) if span > 0 else None
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    p = permutation(d, labels)
    return Difference(
        baseline=label,
        value=float(d.mean()),
        interval=(paired_bootstrap if binary else bca)(d, labels, bounds=bounds),
        p=p,
        p_holm=p,
        mcnemar=mcnemar(wins, losses) if binary else None,
        wins=wins,
        losses=losses,
        n=len(d),
        families=len(d) if labels is None else len(np.unique(labels)),
        detectable=minimum_detectable(d, labels, bounds=bounds, alpha=alpha),
        of_score=of_score,
    )


def _values(name: str, rows: np.ndarray) -> np.ndarray | None:
    """None where a metric has no value per answer, and for times and prices: no family of quality tests is theirs."""
    metric = metrics.get(name)
    return None if metric.unit in ("seconds", "per_second", "money") else metric.each(rows)


def _is_mean(estimate: Estimate, values: np.ndarray) -> bool:
    """Whether a score is the mean of its values: of BLEU, whose counts are pooled, it is not."""
    finite = values[np.isfinite(values)]
    return estimate.value is not None and len(finite) > 0 and bool(np.isclose(finite.mean(), estimate.value, rtol=1e-9))


def _with_interval(estimate: Estimate, values: np.ndarray | None, clusters: np.ndarray | None) -> Estimate:
    """A mean without an interval of its own gets BCa's, over families."""
    if estimate.interval is not None or values is None or not _is_mean(estimate, values):
        return estimate
    applies = np.isfinite(values)
    return replace(estimate, interval=bca(values[applies], None if clusters is None else clusters[applies]))


def _metric_json(name: str, score: Score) -> dict[str, Any]:
    metric, estimate = metrics.get(name), score.estimate
    return {
        "title": metric.title,
        "unit": metric.unit,
        "better": metric.better,
        "value": estimate.value,
        "interval": None if estimate.interval is None else estimate.interval.to_json(),
        "signature": estimate.signature,
        "difference": None if score.difference is None else score.difference.to_json(),
    }
