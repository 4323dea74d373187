"""Cosine of the sentence embeddings of answer and reference, by the local encoder MiniLM (truemark/sentences.py).

It hears the topic, not the logic: a sentence and its denial score above 0.8. Read it beside logic coherence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from evalsuite.metrics.base import Answer, Mean
from truemark.sentences import MAX_TOKENS, PACKAGE, load


class EmbeddingSimilarity(Mean):
    title = "embedding cosine"
    unit = "share"
    better = "higher"

    def measure(self, answers: Sequence[Answer]) -> np.ndarray:
        """Cosine of each answer, in [-1, 1]. Raises MissingDependency without the encoder."""
        embed = _encoder()
        texts, golds = embed([answer.text for answer in answers]), embed([answer.gold for answer in answers])
        cosines: np.ndarray = np.einsum("nd,nd->n", texts, golds, dtype=np.float64)
        return cosines

    def signature(self) -> str:
        """Which encoder."""
        return f"{PACKAGE}|mean of {MAX_TOKENS} tokens|fp32"


@cache
def _encoder() -> Callable[[list[str]], np.ndarray]:
    return load()
