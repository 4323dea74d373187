"""A row's scores as Hugging Face model-card metadata: the `model-index` of the Hub's model card specification.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md; read back by huggingface_hub.model_index_to_eval_results in a test.
"""

from __future__ import annotations

from typing import Any

from evalsuite import metrics
from evalsuite.comparison import Row
from evalsuite.data import OVERALL
from evalsuite.leaderboard import Board, Section
from evalsuite.report import decoding
from truemark.errors import ModelNotFound

TASK = {"type": "text-generation", "name": "Text Generation"}


def model_index(board: Board, wanted: str) -> str:
    """YAML of the artifact named `wanted`: reference, label (`name@sha12`), name, or the start of its hash.

    Raises ModelNotFound where no row, or rows of several models, have that name.
    """
    import yaml

    named = wanted.rstrip("/").removeprefix("./")
    found = [
        (section, row)
        for section in board.sections
        for row in section.rows
        if named in (row.scored.evaluation.model.ref.removeprefix("./"), row.scored.evaluation.model.label)
        or row.scored.evaluation.model.name == named
        or (len(named) >= 8 and row.scored.evaluation.model.sha256.startswith(named))
    ]
    labels = sorted({row.scored.evaluation.model.label for _, row in found})
    if len(labels) != 1:
        known = ", ".join(sorted({row.scored.evaluation.model.label for row in board.rows}))
        problem = f"is the name of {len(labels)}: {', '.join(labels)}" if labels else f"has no row: there are {known}"
        raise ModelNotFound(
            f"expected one model, '{wanted}' {problem}", mend="truemark leaderboard --model-index NAME@SHA12"
        )
    index = {
        "name": found[0][1].scored.evaluation.model.name,
        "results": [_result(section, row) for section, row in found],
    }
    return str(yaml.safe_dump({"model-index": [index]}, sort_keys=False, allow_unicode=True))


def _result(section: Section, row: Row) -> dict[str, Any]:
    evaluation = row.scored.evaluation
    dataset = {
        "name": f"Truemark {section.title}",
        "type": f"truemark-{section.domain}",
        "split": "test",
        "revision": section.examples_sha256,
    }
    if row.slice != OVERALL:
        dataset["config"] = row.slice
    how = {
        "n": len(row.answers),
        "engine": evaluation.engine,
        "decoding": decoding(evaluation.sampling),
        "sha256": evaluation.model.sha256,
    }
    values = [_metric("accuracy", row.accuracy, {**how, "confidence_interval_95": [round(b, 4) for b in row.interval]})]
    for name, score in row.others.items():
        if score.estimate.value is not None:
            signature = {"signature": score.estimate.signature} if score.estimate.signature else {}
            values.append(_metric(name, score.estimate.value, {**how, **signature}))
    return {"task": TASK, "dataset": dataset, "metrics": values}


def _metric(name: str, value: float, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": name, "name": metrics.get(name).title, "value": round(value, 6), "args": arguments}
