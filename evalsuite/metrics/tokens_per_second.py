"""Generated tokens per second of wall time, batching included. Depends on the machine and its load: read it as a ratio."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.metrics import Answer, Estimate, Metric


def score(answers: Sequence[Answer]) -> Estimate:
    """Tokens per second over the answers whose engine counts tokens."""
    counted = [answer.prediction for answer in answers if answer.prediction.tokens is not None]
    seconds = sum(row.seconds for row in counted)
    return Estimate(sum(row.tokens or 0 for row in counted) / seconds if seconds > 0 else None)


METRIC = Metric(score, title="tokens/s", unit="per_second")
