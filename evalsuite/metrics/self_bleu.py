"""Self-BLEU: the mean BLEU of each answer against all others (Zhu et al. 2018, https://arxiv.org/abs/1802.01886). Low is diverse.

A model that says the same whatever it is asked scores 100. Of more than `SAMPLE` different answers a fixed sample is compared, chosen by hash.
Sentence BLEU as in bleu.py, with the other answers as references; exact, and linear in the number of n-grams: of each n-gram the two answers
that hold it most often are all that clipping needs.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from evalsuite.metrics.base import Answer, Estimate, Metric
from evalsuite.metrics.bleu import ORDER, grams, score, words
from evalsuite.metrics.sacre import metrics

SAMPLE = 1000


class SelfBleu(Metric):
    title = "self-BLEU"
    unit = "points"
    better = "lower"

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """Object [n, 2]: a hash of example and text, and the text."""
        found = np.empty((len(answers), 2), dtype=object)
        for index, answer in enumerate(answers):
            key = f"{answer.example['id']}\0{answer.text}".encode(errors="replace")
            found[index] = hashlib.sha256(key).digest()[:16], answer.text
        return found

    def condense(self, rows: np.ndarray) -> np.ndarray:
        """Those with the least hashes: the same sample in whatever order and chunks they come."""
        return rows if len(rows) <= SAMPLE else rows[np.argsort(rows[:, 0], kind="stable")[:SAMPLE]]

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Mean over the sample; None below two answers."""
        metrics()
        texts = [words(text) for _, text in self.condense(rows)]
        found = self_bleu(texts)
        signature = f"sacrebleu tok:13a|smooth:exp|eff:yes|texts:{len(texts)} of at most {SAMPLE}"
        return Estimate(float(np.mean(found)) if found else None, signature=signature)


def self_bleu(texts: Sequence[list[str]]) -> list[float]:
    """BLEU of each token list against the others, in [0, 100]; none for fewer than two texts."""
    if len(texts) < 2:
        return []
    counts = [[Counter(grams(text, n + 1)) for n in range(ORDER)] for text in texts]
    most = _two_largest(counts)
    lengths = sorted(len(text) for text in texts)
    found = []
    for number, text in enumerate(texts):
        matches = [
            sum(min(count, _elsewhere(most[n][gram], number)) for gram, count in counts[number][n].items())
            for n in range(ORDER)
        ]
        totals = [max(len(text) - n, 0) for n in range(ORDER)]
        found.append(score([len(text), _closest(lengths, len(text)), *matches, *totals], effective=True))
    return found


Largest = tuple[int, int, int]
"""Largest count of an n-gram in one text, the number of that text, largest count in another."""


def _two_largest(counts: Sequence[Sequence[Counter[Any]]]) -> list[dict[Any, Largest]]:
    most: list[dict[Any, Largest]] = [{} for _ in range(ORDER)]
    for number, orders in enumerate(counts):
        for table, grams_of in zip(most, orders, strict=True):
            for gram, count in grams_of.items():
                first, owner, second = table.get(gram, (0, -1, 0))
                table[gram] = (count, number, first) if count > first else (first, owner, max(second, count))
    return most


def _elsewhere(largest: Largest, number: int) -> int:
    """Largest count in a text other than `number`."""
    first, owner, second = largest
    return second if owner == number else first


def _closest(lengths: list[int], length: int) -> int:
    """The length nearest to `length` among the other texts' (which is one of `lengths`), the shorter of two as near."""
    place = bisect_left(lengths, length)
    others = [lengths[i] for i in (place - 1, place + 1) if 0 <= i < len(lengths)]
    return min(others, key=lambda other: (abs(other - length), other))
