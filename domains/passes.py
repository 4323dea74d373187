"""pass@k: the chance that one of k answers to a question passes its check."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def chance(passed: int, n: int, k: int) -> float:
    """Unbiased estimate for one question from n ≥ k answers of which `passed` passed: 1 − C(n − passed, k) / C(n, k).

    Source: Chen et al. 2021, https://arxiv.org/abs/2107.03374, equation 1. Raises ValueError unless 0 ≤ passed ≤ n and 1 ≤ k ≤ n.
    """
    if not (0 <= passed <= n and 1 <= k <= n):
        raise ValueError(f"expected 0 <= passed <= n and 1 <= k <= n, found passed={passed}, n={n}, k={k}")
    return 1 - comb(n - passed, k) / comb(n, k)


def pass_at_k(passes: Sequence[int], n: int, k: int) -> float:
    """Mean of `chance` over questions with n answers each; `passes` counts those that passed. 0.0 without a question."""
    return sum(chance(passed, n, k) for passed in passes) / max(len(passes), 1)
