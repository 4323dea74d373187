"""METEOR (Lavie & Agarwal 2007, https://aclanthology.org/W07-0734) as NLTK computes it: words, then stems, then WordNet's synonyms.

Tokens are those of NLTK's word tokenizer on the whole text (`word_tokenize(text, preserve_line=True)`): cutting into sentences first, as Hugging
Face's module does, needs a trained model that no package carries, and changes only where a period inside the text belongs.
Stems and synonyms are kept by word; NLTK looks both up again for every pair. A test holds us to its single_meteor_score.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from evalsuite.metrics import wordnet
from evalsuite.metrics.base import Answer, Mean
from evalsuite.metrics.nltk_words import tokens
from truemark.errors import MissingDependency

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
"""NLTK's defaults."""
Words = list[tuple[int, str]]
"""Place in the text and word."""


class Meteor(Mean):
    title = "METEOR"
    unit = "share"
    better = "higher"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """METEOR of each answer, in [0, 1]. Raises MissingDependency without NLTK or WordNet."""
        _nltk()
        source = wordnet.directory()
        wordnet.read(source)
        return [meteor(tokens(answer.gold), tokens(answer.text), source) for answer in answers]

    def signature(self) -> str:
        """Whose numbers these are."""
        return f"nltk {_nltk().__version__}|tok:nltk, no sentences|alpha:0.9|beta:3|gamma:0.5|wordnet"


def meteor(gold: Sequence[str], text: Sequence[str], source: Path) -> float:
    """METEOR of two token lists, by the dictionary in `source`; 0 without a match."""
    hypothesis, reference = list(enumerate(map(str.lower, text))), list(enumerate(map(str.lower, gold)))
    n, m = len(hypothesis), len(reference)
    pairs, hypothesis, reference = match(hypothesis, reference)
    if hypothesis and reference:
        more, hypothesis, reference = match(
            [(place, stem(word)) for place, word in hypothesis], [(place, stem(word)) for place, word in reference]
        )
        pairs += more
        if hypothesis and reference:
            pairs += match_synonyms(hypothesis, reference, source)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / n, len(pairs) / m
    fmean = (precision * recall) / (ALPHA * precision + (1 - ALPHA) * recall)
    return (1 - GAMMA * (chunks(pairs) / len(pairs)) ** BETA) * fmean


def match(hypothesis: Words, reference: Words) -> tuple[list[tuple[int, int]], Words, Words]:
    """Equal words, from the end, each with the last free one; the pairs of places, and what is left of both."""
    places: dict[str, list[int]] = {}
    for place, word in reference:
        places.setdefault(word, []).append(place)
    pairs, left = [], []
    for place, word in reversed(hypothesis):
        if found := places.get(word):
            pairs.append((place, found.pop()))
        else:
            left.append((place, word))
    if not pairs:
        return [], hypothesis, reference
    taken = {place for _, place in pairs}
    return pairs, left[::-1], [pair for pair in reference if pair[0] not in taken]


def match_synonyms(hypothesis: Words, reference: Words, source: Path) -> list[tuple[int, int]]:
    """Words of which one is a synonym of the other, from the end, each with the last free one."""
    places: dict[str, list[int]] = {}
    for place, word in reference:
        places.setdefault(word, []).append(place)
    pairs = []
    for place, word in reversed(hypothesis):
        common = wordnet.synonyms(source, word) & places.keys()
        best = max(common, key=lambda synonym: places[synonym][-1], default=None)
        if best is not None:
            pairs.append((place, places[best].pop()))
            if not places[best]:
                del places[best]
    return pairs


def chunks(pairs: list[tuple[int, int]]) -> int:
    """Runs of matches that are adjacent in both texts."""
    ordered = sorted(pairs)
    return 1 + sum(after != (before[0] + 1, before[1] + 1) for before, after in pairwise(ordered))


@lru_cache(2**17)
def stem(word: str) -> str:
    """NLTK's Porter stem."""
    return str(_stemmer().stem(word))


@cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def _nltk() -> Any:
    try:
        import nltk
    except ImportError:
        raise MissingDependency.extra("nltk", "metrics") from None
    return nltk
