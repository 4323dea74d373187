"""`evaluate`'s meteor module at its core, with WordNet from a directory and words without sentences."""

import datasets
import evaluate
import numpy as np
from nltk import word_tokenize
from nltk.translate import meteor_score

from benchmarks.nltk_wordnet import open_reader
from evalsuite.metrics import wordnet


class HfMeteor(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references):
        reader = open_reader(wordnet.directory())
        scores = [
            meteor_score.single_meteor_score(
                word_tokenize(reference, preserve_line=True), word_tokenize(text, preserve_line=True), wordnet=reader
            )
            for reference, text in zip(references, predictions, strict=True)
        ]
        return {"meteor": np.mean(scores)}
