"""What the in-process runtimes share: choosing the next token, stop strings, the hash of a prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from truemark.runtimes.base import Sampling

if TYPE_CHECKING:
    import numpy as np


def prompt_hash(ids: Sequence[int]) -> str:
    """Hex SHA-256 of token ids, the `prompt_sha256` of a completion."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


def cut(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there was one."""
    found = [position for word in stop if (position := text.find(word)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def choose(logits: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """Next token from logits `[V]`: the most probable one (ties to the lowest id), or a draw from the nucleus.

    Source: nucleus sampling, https://arxiv.org/abs/1904.09751.
    """
    import numpy as np

    if sampling.temperature <= 0:
        return int(logits.argmax())
    if sampling.top_p >= 1:
        # no nucleus to find: sorting a vocabulary of 49,152 took longer than a small model's own step
        weights: Any = np.exp((logits - logits.max()) / np.float32(sampling.temperature))
        reached = weights.cumsum(dtype=np.float64)
        return int(np.searchsorted(reached, random.random() * reached[-1], side="right"))
    scaled: Any = logits.astype(np.float64) / sampling.temperature
    probability = np.exp(scaled - scaled.max())
    probability /= probability.sum()
    order = np.argsort(-probability, kind="stable")
    before = probability[order].cumsum() - probability[order]
    nucleus = order[before <= sampling.top_p]
    weights = probability[nucleus] / probability[nucleus].sum()
    return int(random.choice(nucleus, p=weights))
