"""How far the form of a rewording is from that of its source: edit distance between their sequences of word classes, over the longer.

0 for the same form (synonyms in place), 1 for no class in common in order. The idea, on constituency trees: Bandel et al. 2022
(https://aclanthology.org/2022.acl-long.45), section 3; classes are what the rewording domain's tagger gives without a model. An answer that
says something else is diverse too: read it beside logic coherence. Only examples with `meta["source"]` have a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from evalsuite.metrics.base import Answer, Mean


class SyntacticDiversity(Mean):
    title = "syntactic diversity"
    unit = "share"
    better = "higher"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """Distance of each answer, in [0, 1]."""
        return [_of(answer.example["meta"].get("source"), answer.text) for answer in answers]


def _of(source: object, text: str) -> float:
    if not isinstance(source, str) or not source:
        return float("nan")
    left, right = classes(source), classes(text)
    return edits(left, right) / max(len(left), len(right), 1)


@lru_cache(4096)
def classes(text: str) -> tuple[str, ...]:
    """The class of each word; marks are left out."""
    from domains.rewording.tags import tag_all  # the one tagger in the house, for any English
    from domains.rewording.words import tokens

    return tuple(tag for tag in tag_all(tokens(text)) if tag != "MARK")


def edits(left: Sequence[str], right: Sequence[str]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (one != other))
    return row[-1]
