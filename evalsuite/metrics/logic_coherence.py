"""The domain's own check as a score in [0, 1]: how far an answer holds together by the rules of its domain.

Math and devops: 1 for a right answer, 0.5 for a right answer behind a wrong step. Rewording: the logic-coherence of the sentence with its
source (domains/rewording/coherence.py). Constitution: citations and facts. Asp: 1 for the same answer sets.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.metrics.base import Answer, Mean


class LogicCoherence(Mean):
    title = "logic coherence"
    unit = "share"
    better = "higher"

    def measure(self, answers: Sequence[Answer]) -> list[float]:
        """`Verdict.score`."""
        return [answer.verdict.score for answer in answers]
