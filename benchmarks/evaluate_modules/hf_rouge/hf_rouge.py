"""`evaluate`'s rouge module at its core, without its aggregator."""

import datasets
import evaluate
from rouge_score import rouge_scorer

TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


class HfRouge(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references):
        scorer = rouge_scorer.RougeScorer(rouge_types=TYPES, use_stemmer=False)
        scores = [scorer.score(reference, text) for reference, text in zip(references, predictions, strict=True)]
        return {name: [score[name].fmeasure for score in scores] for name in TYPES}
