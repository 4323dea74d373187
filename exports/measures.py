"""The measures of a mark: pure functions of log-probability arrays, token lists and scores. Natural logarithms.

A reference distribution over V tokens is kept as its `TOP` most probable tokens and one bucket for all others: 64
answers x 60 tokens x 49k floats would be 750 MB, this is 16. By the data-processing inequality the KL divergence of
the bucketed distributions is never above the true one, and misses only disagreement *inside* a tail that the
reference itself finds improbable (below 1e-3 of the mass at nearly every position of a trained adapter).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOP = 512
"""Tokens kept of a reference distribution."""


@dataclass(frozen=True)
class Distributions:
    """T next-token distributions, each as its k most probable tokens, most probable first, and the rest in a bucket."""

    ids: np.ndarray
    """int32 [T, k]"""
    logprobs: np.ndarray
    """float32 [T, k]"""
    tail: np.ndarray
    """float32 [T]: log of the probability of all other tokens; -inf where k is the vocabulary."""

    @classmethod
    def of(cls, logprobs: np.ndarray, top: int = TOP) -> Distributions:
        """Summarise `[T, V]` log-probabilities."""
        k = min(top, logprobs.shape[1])
        ids = np.argpartition(-logprobs, k - 1, axis=1)[:, :k]
        # the most probable first, ties to the lowest id, as greedy decoding breaks them
        order = np.lexsort((ids, -np.take_along_axis(logprobs, ids, axis=1)))
        ids = np.take_along_axis(ids, order, axis=1)
        return cls(
            ids.astype(np.int32),
            np.take_along_axis(logprobs, ids, axis=1).astype(np.float32),
            _tail(logprobs, ids).astype(np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence[Distributions]) -> Distributions:
        """Several end to end."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "logprobs", "tail")))

    def rows(self, start: int, stop: int) -> Distributions:
        """A stretch of them."""
        return Distributions(self.ids[start:stop], self.logprobs[start:stop], self.tail[start:stop])


def kl_per_token(reference: Distributions, logprobs: np.ndarray) -> np.ndarray:
    """KL(reference ‖ model) in nats, float64 [T], of `[T, V]` model log-probabilities; 0 where they agree.

    Kullback & Leibler (1951): the sum of p (ln p - ln q), here over the kept tokens and the bucket of the others.
    """
    p = np.concatenate([reference.logprobs, reference.tail[:, None]], axis=1).astype(np.float64)
    kept = np.take_along_axis(logprobs, reference.ids.astype(np.int64), axis=1)
    q = np.concatenate([kept, _tail(logprobs, reference.ids)[:, None]], axis=1).astype(np.float64)
    # float32 leaves each side off one by ~1e-6: without this the difference of the sums would pass for divergence
    p -= np.logaddexp.reduce(p, axis=1, keepdims=True)
    q -= np.logaddexp.reduce(q, axis=1, keepdims=True)
    mass = np.exp(p)
    with np.errstate(invalid="ignore"):
        terms = np.where(mass > 0, mass * (p - q), 0.0)
    return np.maximum(terms.sum(axis=1), 0.0)


def top1_agreement(reference: Distributions, logprobs: np.ndarray) -> np.ndarray:
    """bool [T]: the model's most probable token is the reference's."""
    agree: np.ndarray = reference.ids[:, 0] == np.argmax(logprobs, axis=1)
    return agree


def nll(logprobs: np.ndarray, targets: Sequence[int]) -> np.ndarray:
    """Negative log-likelihood in nats, float64 [T], of the T target tokens under `[T, V]` log-probabilities."""
    return -logprobs[np.arange(len(targets)), np.asarray(targets, dtype=np.int64)].astype(np.float64)


def perplexity_ratio(model_nll: np.ndarray, reference_nll: np.ndarray) -> float:
    """Perplexity of the model over that of the reference on the same tokens; 1 when equal."""
    return float(np.exp(model_nll.mean() - reference_nll.mean()))


def prefix_match(reference: Sequence[int], answer: Sequence[int]) -> float:
    """Length of the common prefix over the longer length, in [0, 1]; 1 only when the token lists are the same."""
    longest = max(len(reference), len(answer))
    common = 0
    for left, right in zip(reference, answer, strict=False):
        if left != right:
            break
        common += 1
    return common / longest if longest else 1.0


@dataclass(frozen=True)
class Interval:
    """A mean difference with its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(model: Sequence[float], reference: Sequence[float], *, seed: int = 0) -> Interval:
    """Mean of model - reference over the same examples, with the 95 % percentile bootstrap interval of 10,000 resamples.

    Efron & Tibshirani (1993), ch. 13; examples are resampled in pairs, so what is common to both cancels.
    """
    difference = np.asarray(model, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = difference[rng.integers(0, len(difference), (10_000, len(difference)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(difference.mean()), float(low), float(high))


def judge(difference: Interval, allowed_loss: float) -> bool | None:
    """Is a score difference better than -allowed_loss? None when its interval holds both answers: the sample cannot tell."""
    if difference.low >= -allowed_loss:
        return True
    return False if difference.high < -allowed_loss else None


def examples_needed(difference: Interval, allowed_loss: float, n: int) -> int | None:
    """How many examples in all would settle an undecided difference, if it stays what it is; None when it lies on the bound.

    A 95 % interval of a mean shrinks with the root of n, and its side towards the bound has to fit between them.
    """
    gap = difference.mean + allowed_loss
    side = difference.mean - difference.low if gap > 0 else difference.high - difference.mean
    return None if abs(gap) < 1e-9 else int(np.ceil(n * (side / gap) ** 2))


def _tail(logprobs: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """float64 [T]: log of the summed probability of the tokens that are not in `ids` `[T, k]`."""
    rest = logprobs.astype(np.float64)
    np.put_along_axis(rest, ids.astype(np.int64), -np.inf, axis=1)
    high = rest.max(axis=1)
    safe = np.where(np.isfinite(high), high, 0.0)
    with np.errstate(divide="ignore"):
        tail: np.ndarray = safe + np.log(np.exp(rest - safe[:, None]).sum(axis=1))
    return tail
