"""Share of answers that are the reference to the letter, white space apart.

Compared is the whole text, or what stands after its last `Answer:`; with the example's closing answer, or its reference.
It knows no second spelling (`0.5` for `1/2`): the domain's check does, and accuracy is the number to report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalsuite.metrics.base import Answer, Share

_FINAL = re.compile(r".*\bAnswer:", re.S)


class ExactMatch(Share):
    title = "exact match"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """1.0 for the same letters."""
        return [float(_matches(answer)) for answer in answers]


def _matches(answer: Answer) -> bool:
    text, reference = _plain(answer.text), _plain(answer.example["reference"])
    return text in (_plain(answer.gold), reference) or _plain(_FINAL.sub("", answer.text)) == reference


def _plain(text: str) -> str:
    return " ".join(text.split())
