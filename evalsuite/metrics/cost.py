"""Cost of 1,000 answers by a price per million tokens, which is a setting: `TRUEMARK_PRICE=0.15/0.60` (prompt/answer), in any currency.

No price list is built in: it would be wrong within the month.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalsuite.metrics.base import Answer, Mean
from truemark.settings import price


class Cost(Mean):
    title = "cost per 1,000"
    unit = "money"
    better = "lower"

    def measure(self, answers: Sequence[Answer]) -> np.ndarray:
        """1,000 times the price of each answer; NaN where the engine counts no tokens. Raises InvalidConfig without a price."""
        prompt, answer = price()
        rows = [answer.prediction for answer in answers]
        tokens = np.array([np.nan if row.tokens is None else row.tokens for row in rows], dtype=np.float64)
        return (prompt * np.array([row.prompt_tokens for row in rows], dtype=np.float64) + answer * tokens) / 1000

    def signature(self) -> str:
        """The price."""
        return "per million tokens, prompt:{:g}|answer:{:g}".format(*price())
