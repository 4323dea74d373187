"""Expected calibration error: how far a model's confidence is from how often it is right. 0 is calibrated.

Ten bins of equal mass, not of equal width, which leaves most bins empty for a model that always says 90 % (Nixon et al. 2019,
https://arxiv.org/abs/1904.01685, section 3); error: Naeini et al. 2015 (AAAI), Guo et al. 2017 (https://arxiv.org/abs/1706.04599), equation 3.
Confidence is what the answer states (`Confidence: 80 %`, `I am 80% sure`), else the prediction's own where the engine gave one. Equal
confidences share a bin, so the order of answers does not matter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from evalsuite.metrics.base import Answer, Estimate, Kept, floats

BINS = 10
_NUMBER = r"(?P<{0}>\d{{1,3}}(?:\.\d{{1,6}})?|\.\d{{1,6}})[ ]?(?P<{0}_percent>%|percent|per cent)?"
_STATED = re.compile(
    rf"\bconfidence\b[^\w.]{{0,4}}(?:(?:is|of|level|score)\W{{1,3}}){{0,2}}{_NUMBER.format('a')}(?!\d|\.\d)|"
    rf"(?<![\d.]){_NUMBER.format('b')}[ ]+(?:sure|certain|confident|confidence)\b",
    re.I,
)


class Calibration(Kept):
    title = "calibration error"
    unit = "share"
    better = "lower"

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """[n, 3]: confidence (NaN where there is none), whether the answer passes, whether the answer itself states it."""
        return floats([_row(answer) for answer in answers], 3)

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Error over the answers with a confidence, and the bins as `table`."""
        known = rows[~np.isnan(rows[:, 0])]
        bins = reliability(known[:, 0], known[:, 1])
        error = sum(one["n"] * abs(one["accuracy"] - one["confidence"]) for one in bins) / max(len(known), 1)
        stated = int(known[:, 2].sum())
        signature = (
            f"bins:{BINS} of equal mass|stated:{stated}|token:{len(known) - stated}|none:{len(rows) - len(known)}"
        )
        return Estimate(float(error) if bins else None, signature=signature, table=tuple(bins))

    def each(self, rows: np.ndarray) -> np.ndarray:
        """Brier's score, (confidence − right)²: what an answer alone has; the error is of bins. Brier 1950."""
        values: np.ndarray = (rows[:, 0] - rows[:, 1]) ** 2
        return values


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """The reliability table of two float arrays [n]: per bin `low`, `high`, `n`, mean `confidence` and `accuracy`."""
    order = np.argsort(confidence, kind="stable")
    confidence, correct = confidence[order], correct[order]
    n = len(confidence)
    # a cut inside a run of equal confidences moves to the run's end
    cuts = {int(np.searchsorted(confidence, confidence[round(n * i / bins) - 1], "right")) for i in range(1, bins + 1)} if n else set()  # fmt: skip
    found, start = [], 0
    for end in sorted(cuts):
        if end > start:
            part = slice(start, end)
            found.append(
                {
                    "low": float(confidence[start]),
                    "high": float(confidence[end - 1]),
                    "n": float(end - start),
                    "confidence": float(confidence[part].mean()),
                    "accuracy": float(correct[part].mean()),
                }
            )
            start = end
    return found


def stated(text: str) -> float | None:
    """The confidence that a text states, in [0, 1]: the last one; None where there is none, or one beyond 100 %.

    `90` without a percent sign is 90 %, `1` is certainty, `0.9` a share.
    """
    found = None
    for match in _STATED.finditer(text):
        name = "a" if match["a"] else "b"
        value, percent = float(match[name]), match[f"{name}_percent"]
        value = value / 100 if percent or value > 1 else value
        found = value if value <= 1 else found
    return found


def _row(answer: Answer) -> tuple[float, bool, bool]:
    said = stated(answer.text)
    if said is not None:
        return said, answer.verdict.passed, True
    token = answer.prediction.confidence
    return math.nan if token is None else token, answer.verdict.passed, False
