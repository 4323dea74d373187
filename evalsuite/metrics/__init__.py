"""Metrics: one file each, one row each in METRICS. A metric sees answers and nothing else: no model of the run, no network.

    metric = metrics.get("bleu")
    metric.score(answers)      # Estimate(value=31.4, signature="nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0")
    metric.values(answers)     # float [n]: sentence BLEU

`pass@k` and `repair@k` take their k from the name: `pass@8`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module

from evalsuite.metrics.base import Answer, Estimate, Kept, Mean, Metric, Share
from truemark.errors import UnknownName

__all__ = ["METRICS", "Answer", "Estimate", "Kept", "Mean", "Metric", "Share", "get", "names"]

METRICS = {
    "accuracy": "evalsuite.metrics.accuracy:Accuracy",
    "exact_match": "evalsuite.metrics.exact_match:ExactMatch",
    "logic_coherence": "evalsuite.metrics.logic_coherence:LogicCoherence",
    "solver_checks": "evalsuite.metrics.solver_checks:SolverChecks",
    "step_checks": "evalsuite.metrics.step_checks:StepChecks",
    "pass@k": "evalsuite.metrics.pass_at_k:PassAtK",
    "repair@k": "evalsuite.metrics.repair_at_k:RepairAtK",
    "stability": "evalsuite.metrics.stability:Stability",
    "drift": "evalsuite.metrics.drift:Drift",
    "bleu": "evalsuite.metrics.bleu:Bleu",
    "chrf": "evalsuite.metrics.chrf:ChrF",
    "ter": "evalsuite.metrics.ter:Ter",
    "rouge_1": "evalsuite.metrics.rouge:Rouge1",
    "rouge_2": "evalsuite.metrics.rouge:Rouge2",
    "rouge_l": "evalsuite.metrics.rouge:RougeL",
    "rouge_lsum": "evalsuite.metrics.rouge:RougeLsum",
    "meteor": "evalsuite.metrics.meteor:Meteor",
    "bertscore": "evalsuite.metrics.bertscore:BertScore",
    "embedding_similarity": "evalsuite.metrics.embedding_similarity:EmbeddingSimilarity",
    "self_bleu": "evalsuite.metrics.self_bleu:SelfBleu",
    "syntactic_diversity": "evalsuite.metrics.syntactic_diversity:SyntacticDiversity",
    "calibration": "evalsuite.metrics.calibration:Calibration",
    "latency_p50": "evalsuite.metrics.latency:LatencyP50",
    "latency_p95": "evalsuite.metrics.latency:LatencyP95",
    "tokens_per_second": "evalsuite.metrics.tokens_per_second:TokensPerSecond",
    "cost": "evalsuite.metrics.cost:Cost",
}


def get(name: str) -> Metric:
    """The metric. `pass@8` is the row `pass@k` with k = 8; `pass@k` itself takes the largest k that every example allows.

    Raises UnknownName with the nearest name.
    """
    row, k = re.sub(r"@[1-9]\d{0,5}$", "@k", name), name.rpartition("@")[2]
    if row not in METRICS:
        raise UnknownName("metric", name, METRICS)
    module, _, attribute = METRICS[row].partition(":")
    build = getattr(import_module(module), attribute)
    metric: Metric = build(int(k)) if row != name else build()
    return metric


def names(wanted: Sequence[str]) -> list[str]:
    """Each name once, `all` as every row of METRICS. Raises UnknownName before anything is computed."""
    found = list(dict.fromkeys(name for one in wanted for name in (METRICS if one == "all" else [one])))
    for name in found:
        get(name)
    return found
