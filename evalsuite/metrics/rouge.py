"""ROUGE-1, -2, -L and -Lsum, F1 (Lin 2004, https://aclanthology.org/W04-1013), equal to the package rouge_score without stemming.

Tokens are rouge_score's; n-grams and subsequences are counted here, as its table of subsequences is most of its time (evalsuite/README.md).
rouge_score 0.1.2 is the reference that a test holds us to; it need not be installed.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from evalsuite.metrics.base import Answer, Mean
from evalsuite.metrics.bleu import overlap
from evalsuite.metrics.lcs import length, masks, positions

_TOKEN = re.compile("[a-z0-9]+")


class Rouge(Mean):
    """F1 of what the two texts share."""

    unit = "share"
    better = "higher"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """F1 of each answer, in [0, 1]."""
        return [self.of(answer.gold, answer.text) for answer in answers]

    def signature(self) -> str:
        """Whose numbers these are."""
        return "as rouge_score 0.1.2|stemmer:no|f1"

    @abstractmethod
    def of(self, gold: str, text: str) -> float:
        """F1 of one pair of texts."""


class Rouge1(Rouge):
    title = "ROUGE-1"
    n = 1

    def of(self, gold: str, text: str) -> float:
        """Shared n-grams."""
        left, right = tokens(gold), tokens(text)
        return f1(overlap(left, right, self.n), max(len(right) - self.n + 1, 1), max(len(left) - self.n + 1, 1))


class Rouge2(Rouge1):
    title = "ROUGE-2"
    n = 2


class RougeL(Rouge):
    title = "ROUGE-L"

    def of(self, gold: str, text: str) -> float:
        """Longest common subsequence."""
        return longest(gold, text)


class RougeLsum(Rouge):
    title = "ROUGE-Lsum"

    def of(self, gold: str, text: str) -> float:
        """Lin 2004, section 3.2: for each line of the reference the union of its subsequences with every line of the answer."""
        if "\n" not in gold and "\n" not in text:
            return longest(gold, text)
        left, right = [tokens(line) for line in gold.split("\n")], [tokens(line) for line in text.split("\n")]
        m, n = sum(map(len, left)), sum(map(len, right))
        return f1(union_hits(left, right), n, m) if m and n else 0.0


@lru_cache(8192)
def tokens(text: str) -> tuple[str, ...]:
    """Runs of ASCII letters and digits, in lower case, as rouge_score cuts them. Kept for the next of the four metrics."""
    return tuple(_TOKEN.findall(text.lower()))


@lru_cache(4096)
def longest(gold: str, text: str) -> float:
    """ROUGE-L, which is ROUGE-Lsum too where both texts are one line."""
    left, right = tokens(gold), tokens(text)
    return f1(length(left, right), len(right), len(left)) if left and right else 0.0


def f1(hits: int, n: int, m: int) -> float:
    """Harmonic mean of hits / n and hits / m, in the order of rouge_score's operations."""
    precision, recall = hits / n, hits / m
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def union_hits(left: Sequence[tuple[str, ...]], right: Sequence[tuple[str, ...]]) -> int:
    """Tokens of reference lines in the union of their subsequences, none counted more often than either text has it."""
    spare = Counter(token for line in right for token in line) & Counter(token for line in left for token in line)
    lines = {line: masks(line) for line in right}
    hits = 0
    for line in left:
        whole = line in lines  # then the union is all of it
        union = () if whole else (positions(line, other, places) for other, places in lines.items())
        places = range(len(line)) if whole else sorted(set().union(*union))
        for place in places:
            if spare[line[place]] > 0:
                spare[line[place]] -= 1
                hits += 1
    return hits
