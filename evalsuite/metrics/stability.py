"""Stability: does a model answer a question the same when it is worded otherwise, and when it is drawn again?

Of the answers to one question (evalsuite/sets/stability.py: three wordings, three samples each) the share of pairs that agree: 1 says the same each
time. Two agree when both pass the check, or when both fail with the same final answer: the verdict's own `answer`, else what stands after the last
`Answer:`, else the whole text. A model that is always wrong in the same way is stable: read it beside accuracy. The table tells pairs of one
wording from pairs of two.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from evalsuite.metrics.base import Answer, Estimate, Kept

_FINAL = re.compile(r".*\bAnswer:", re.S)
_RIGHT = "\0right"


class Stability(Kept):
    title = "stability"
    unit = "share"
    better = "higher"

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """Object [n, 3]: the question, the number of its wording, and what was said in the end."""
        found = np.empty((len(answers), 3), dtype=object)
        for index, answer in enumerate(answers):
            asked = answer.example["meta"].get("stability", {})
            found[index] = asked.get("of", answer.example["id"]), asked.get("wording", 0), _said(answer)
        return found

    def each(self, rows: np.ndarray) -> np.ndarray:
        """Float [n]: a question's share of agreeing pairs, at its first answer; NaN at the others, and for a question with one."""
        values = np.full(len(rows), np.nan)
        for places in _questions(rows).values():
            if len(places) > 1:
                said = Counter(rows[places, 2].tolist())
                values[places[0]] = sum(n * (n - 1) for n in said.values()) / (len(places) * (len(places) - 1))
        return values

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Mean over the questions with two answers or more."""
        values = self.each(rows)
        values = values[~np.isnan(values)]
        if not len(values):
            return Estimate(None)
        return Estimate(
            float(values.mean()),
            signature=f"pairs of {len(rows) / len(_questions(rows)):g} answers to each of {len(values)} questions",
            table=(_by_wording(rows),),
        )


def _questions(rows: np.ndarray) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(rows[:, 0]):
        groups[name].append(place)
    return groups


def _by_wording(rows: np.ndarray) -> dict[str, float]:
    """Share of agreeing pairs of answers to one wording, and to two wordings of a question, where there are such."""
    agree: dict[str, list[bool]] = defaultdict(list)
    for places in _questions(rows).values():
        for one, other in combinations(places, 2):
            pair = "within_wording" if rows[one, 1] == rows[other, 1] else "across_wordings"
            agree[pair].append(rows[one, 2] == rows[other, 2])
    return {pair: sum(found) / len(found) for pair, found in sorted(agree.items(), reverse=True)}


def _said(answer: Answer) -> str:
    if answer.verdict.passed:
        return _RIGHT
    told = answer.verdict.detail.get("answer")
    text = told if isinstance(told, str) and told else _FINAL.sub("", answer.text)
    return " ".join(text.casefold().split())
