"""BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040) as sacreBLEU computes it, with its tokenizer, its formula and its signature.

The n-grams are counted here: sacreBLEU's counting is most of its time (evalsuite/README.md). A test holds the two together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from evalsuite.metrics.base import Answer, floats
from evalsuite.metrics.sacre import Sacre, metrics

ORDER = 4


class Bleu(Sacre):
    title = "BLEU"

    def metric(self) -> Any:
        """`BLEU` as it is by default."""
        return metrics().BLEU()

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, 10]: length of answer and reference in tokens, matches by n-gram order, n-grams by order."""
        tokenize = self.metric().tokenizer
        split = ((tokenize(one.text.rstrip()).split(), tokenize(one.gold.rstrip()).split()) for one in answers)
        return floats([statistics(text, gold) for text, gold in split], 2 + 2 * ORDER)

    def each(self, rows: np.ndarray) -> np.ndarray:
        """Sentence BLEU, with effective order (`eff:yes`), without which a short sentence has none. Their mean is not corpus BLEU."""
        return floats([score(row, effective=True) for row in rows.astype(int).tolist()], 1)[:, 0]

    def of(self, metric: Any, sums: list[float]) -> float:
        """Corpus BLEU."""
        return score([round(value) for value in sums], effective=False)


def score(sums: list[int], *, effective: bool) -> float:
    """BLEU in [0, 100] of summed statistics, smoothed as sacreBLEU does by default (exp)."""
    found = metrics().BLEU.compute_bleu(
        sums[2 : 2 + ORDER], sums[2 + ORDER :], sums[0], sums[1], smooth_method="exp", effective_order=effective
    )
    return float(found.score)


def statistics(text: list[str], gold: list[str]) -> list[int]:
    """[10]: what BLEU needs of one pair of token lists."""
    totals = [max(len(text) - n, 0) for n in range(ORDER)]
    if text == gold:
        return [len(text), len(gold), *totals, *totals]
    matches = [0] * ORDER
    for n in range(ORDER):
        matches[n] = overlap(grams(text, n + 1), grams(gold, n + 1))
        if not matches[n]:
            break  # no n-gram in common, so no longer one either
    return [len(text), len(gold), *matches, *totals]


def grams(tokens: Sequence[str], n: int) -> Sequence[Any]:
    """The n-grams in order; for n = 1 the tokens themselves."""
    return tokens if n == 1 else list(zip(*(tokens[start:] for start in range(n)), strict=False))


def overlap(left: Sequence[Any], right: Sequence[Any]) -> int:
    """Size of the intersection of two multisets.

    Where one of them holds nothing twice, the sets say it: no counting. That is nearly all longer n-grams.
    """
    first, second = set(left), set(right)
    if len(first) == len(left) or len(second) == len(right):
        return len(first & second)
    counts = Counter(right)
    return sum(min(count, counts[gram]) for gram, count in Counter(left).items() if gram in second)
