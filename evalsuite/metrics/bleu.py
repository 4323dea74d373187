"""BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040) as sacreBLEU computes it, with its formula and its signature.

Words are cut and n-grams counted here, which is most of sacreBLEU's time (evalsuite/README.md). A test holds the two together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from evalsuite.metrics.base import Answer, floats
from evalsuite.metrics.sacre import Sacre, metrics

ORDER = 4
_MARK = re.compile(r"[!-&(-+/:-@\[-`{-~]")
_AFTER_NO_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NO_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH = re.compile(r"([0-9])(-)")


class Bleu(Sacre):
    title = "BLEU"

    def metric(self) -> Any:
        """`BLEU` as it is by default."""
        return metrics().BLEU()

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, 10]: length of answer and reference in tokens, matches by n-gram order, n-grams by order."""
        metrics()
        return floats([statistics(words(one.text), words(one.gold)) for one in answers], 2 + 2 * ORDER)

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


def words(text: str) -> list[str]:
    """Tokens of sacreBLEU's tokenizer 13a. But for the first line, which may join two, what stands between two blanks is cut by itself."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        text = text.replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return [word for chunk in text.split() for word in _chunk(chunk)]


@lru_cache(2**17)
def _chunk(chunk: str) -> tuple[str, ...]:
    text = _MARK.sub(r" \g<0> ", f" {chunk} ")
    text = _BEFORE_NO_DIGIT.sub(r" \1 \2", _AFTER_NO_DIGIT.sub(r"\1 \2 ", text))
    return tuple(_DASH.sub(r"\1 \2 ", text).split())


def statistics(text: list[str], gold: list[str]) -> list[int]:
    """[10]: what BLEU needs of one pair of token lists."""
    totals = [max(len(text) - n, 0) for n in range(ORDER)]
    if text == gold:
        return [len(text), len(gold), *totals, *totals]
    matches = [0] * ORDER
    for n in range(ORDER):
        matches[n] = overlap(text, gold, n + 1)
        if not matches[n]:
            break  # no n-gram in common, so no longer one either
    return [len(text), len(gold), *matches, *totals]


def grams(tokens: Sequence[str], n: int) -> Iterable[Any]:
    """The n-grams in order; for n = 1 the tokens themselves."""
    if n == 1:
        return tokens
    if n == 2:
        return pairwise(tokens)
    return zip(*[tokens[start:] for start in range(n)], strict=False)


def overlap(left: Sequence[str], right: Sequence[str], n: int) -> int:
    """Size of the intersection of the n-grams of two texts, as multisets.

    Where one of them holds nothing twice, the sets say it: no counting. That is nearly all longer n-grams.
    """
    first, second = set(grams(left, n)), set(grams(right, n))
    common = first & second
    if not common or len(first) == len(left) - n + 1 or len(second) == len(right) - n + 1:
        return len(common)
    one, other = Counter(grams(left, n)), Counter(grams(right, n))
    more = (min(count, other.get(gram, 1)) - 1 for gram, count in one.items() if count > 1)
    return len(common) + sum(more)
