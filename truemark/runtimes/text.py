"""What the in-process runtimes share: choosing the next token, stop strings, the hash of a prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from truemark.runtimes.base import Sampling

if TYPE_CHECKING:
    import numpy as np


HEAD = 256
"""Tokens that are sorted at first when one is drawn: nearly every draw is among them."""


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
    scaled: Any = logits.astype(np.float64) / sampling.temperature
    probability = np.exp(scaled - scaled.max())
    probability /= probability.sum()
    mark = random.random()
    # sorting a vocabulary of 49,152 took 4 ms a token, sorting its head 0.3: the whole is sorted only where the head does not decide
    for size in (HEAD, len(probability)):
        some = (
            np.argpartition(-probability, size - 1)[:size] if size < len(probability) else np.arange(len(probability))
        )
        order = some[np.lexsort((some, -probability[some]))]
        reached = probability[order].cumsum()
        whole = len(order) == len(probability)
        inside = int(np.searchsorted(reached, sampling.top_p))  # the token that completes the nucleus
        if sampling.top_p < 1 and inside == len(order) and not whole:
            continue
        mass = 1.0 if sampling.top_p >= 1 else reached[min(inside, len(order) - 1)]
        if whole or mark * mass < reached[-1]:
            return int(order[min(int(np.searchsorted(reached, mark * mass, side="right")), len(order) - 1)])
    raise AssertionError("the whole vocabulary decides")
