"""The one class behind all folders of this one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

import domains
from domains.base import Example, Verdict
from domains.examples import refuse_bad_row
from evalsuite import metrics
from evalsuite.metrics import Answer
from evalsuite.predictions import Prediction

CHECKED = frozenset(
    {
        *("accuracy", "logic_coherence", "solver_checks", "step_checks", "pass@k", "repair@k", "calibration"),
        *("stability", "drift"),
    }
)
"""Metrics that read the verdict of a domain's check."""
SOURCED = frozenset({"logic_coherence", "syntactic_diversity"})
"""Metrics whose plain references are the sources that were to be reworded."""
MEASURED = frozenset({"latency_p50", "latency_p95", "tokens_per_second", "cost"})
"""Metrics of how an answer came about: predictions are whole rows of a predictions file."""

_INPUTS = """
Args:
    predictions: what the model wrote, a string each; for {measured} rows of a predictions file as JSON.
    references: the gold answers, a string each; or examples of a test set (id, messages, reference, meta) as JSON.
    domain: whose check gives the verdict, for {checked}; 'rewording' by default, with the sources as references.
    k: of pass@k and repair@k; answers to the same example are its samples or attempts.
    base: of drift: what the base wrote, a string each.
Returns:
    the metric by its name, its `values` per answer where it has them (None where it does not apply), its `interval` and its `signature`.
"""


def class_of(row: str) -> type[evaluate.Metric]:
    """The `evaluate` module of one row of METRICS. Its class is made here, so that a folder has but one name in it."""
    metric = metrics.get(row)
    about = (__import__(type(metric).__module__, fromlist=["__doc__"]).__doc__ or "").strip()

    def info(self: Any) -> evaluate.MetricInfo:
        features = {name: datasets.Value("string") for name in ("predictions", "references")}
        inputs = _INPUTS.format(measured=", ".join(sorted(MEASURED)), checked=", ".join(sorted(CHECKED)))
        return evaluate.MetricInfo(
            description=about, citation="", inputs_description=inputs, features=datasets.Features(features)
        )

    def compute(self: Any, predictions: Sequence[str], references: Sequence[str], **options: Any) -> dict[str, Any]:
        return _compute(row, predictions, references, **options)

    name = "".join(part.capitalize() for part in row.replace("@", "_at_").split("_"))
    return type(name, (evaluate.Metric,), {"__doc__": about, "_info": info, "_compute": compute})


def _compute(
    row: str,
    predictions: Sequence[str],
    references: Sequence[str],
    domain: str = "rewording",
    k: int | None = None,
    base: Sequence[str] | None = None,
) -> dict[str, Any]:
    metric = metrics.get(f"{row[:-1]}{k}" if k is not None and row.endswith("@k") else row)
    check = domains.get(domain).check if row in CHECKED else None
    answers = []
    before: Sequence[str | None] = base or [None] * len(predictions)
    for number, (text, reference, said) in enumerate(zip(predictions, references, before, strict=True), 1):
        example = _example(reference, number, sourced=row in SOURCED)
        prediction = Prediction.model_validate_json(text) if row in MEASURED else _prediction(example["id"], text)
        verdict = check(prediction.text, example) if check else Verdict(0.0, False, "unchecked")
        own = None
        if said is not None and check:
            own = Answer(example, _prediction(example["id"], said), check(said, example))
        answers.append(Answer(example, prediction, verdict, own))
    rows = metric.rows(answers)
    estimate, values = metric.estimate(rows), metric.each(rows)
    return {
        row: estimate.value,
        "values": None if values is None else [None if math.isnan(value) else float(value) for value in values],
        "interval": None if estimate.interval is None else list(estimate.interval),
        "signature": estimate.signature,
    }


def _example(reference: str, number: int, *, sourced: bool) -> Example:
    """A row of a test set, or the plain text of a reference as one."""
    row = None
    if reference.startswith("{"):
        try:
            row = json.loads(reference)
        except ValueError:
            row = None  # a reference may begin with a brace
    if isinstance(row, dict) and {"id", "messages", "reference", "meta"} <= row.keys():
        refuse_bad_row(f"reference {number}", row)
        return {"id": row["id"], "messages": row["messages"], "reference": row["reference"], "meta": row["meta"]}
    meta = {"source": reference} if sourced else {}
    return {"id": str(number), "messages": [], "reference": reference, "meta": meta}


def _prediction(id: str, text: str) -> Prediction:
    return Prediction(
        key="", id=id, example_sha256="", ref="", label="", model_sha256="", engine="", engine_sha256="", sampling={},
        prompt_sha256="", prompt_tokens=0, text=text, finish_reason="", tokens=None, seconds=0.0,
    )  # fmt: skip
