"""BERTScore F1 (Zhang et al. 2020, https://arxiv.org/abs/1904.09675) by the package bert_score, on the local encoder (truemark/sentences.py).

Layer 6 of MiniLM, no idf weights, no rescaling: comparable with other numbers of this encoder, not with RoBERTa's. An answer's value moves
in the seventh digit with what else is in its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from evalsuite.metrics.base import Answer, Mean
from truemark.errors import MissingDependency
from truemark.sentences import PACKAGE, directory

LAYER = 6


class BertScore(Mean):
    title = "BERTScore"
    unit = "share"
    better = "higher"

    def measure(self, answers: Sequence[Answer]) -> np.ndarray:
        """F1 of each answer. Raises MissingDependency without bert_score, torch or the encoder."""
        values = np.zeros(len(answers))
        # of an empty side bert_score says 0, but only after asking the tokenizer for a method that transformers 5 has no more
        pairs = {
            i: (answer.text, answer.gold)
            for i, answer in enumerate(answers)
            if answer.text.strip() and answer.gold.strip()
        }
        if pairs:
            found = _scorer().score(*map(list, zip(*pairs.values(), strict=True)))[2]
            values[list(pairs)] = found.numpy()
        return values

    def signature(self) -> str:
        """Whose numbers these are."""
        from importlib.metadata import version

        return f"bert_score {version('bert-score')}|{PACKAGE}|layer:{LAYER}|idf:no|rescale:no|f1"


@cache
def _scorer() -> Any:
    path = directory()
    try:
        from bert_score import BERTScorer
    except ImportError as error:
        raise MissingDependency.extra(error.name or "bert_score", "metrics") from None
    return BERTScorer(model_type=str(path), num_layers=LAYER, device="cpu", batch_size=64)
