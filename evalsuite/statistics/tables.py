"""Many comparisons at once: Holm's correction, and groups of models that are not told apart in place of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase

import numpy as np

_LETTERS = ascii_lowercase + ascii_uppercase


def holm(p: Sequence[float]) -> list[float]:
    """Holm-corrected p values in the order given: the chance of any false "different" among all stays at the level.

    Holm (1979), Scandinavian Journal of Statistics 6:65; as R's `p.adjust(p, "holm")`. Needs no independence.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in corrected]


def rank_groups(different: np.ndarray) -> list[str]:
    """Letters of models in the order given (best first), from bool [m, m]: which pairs differ significantly.

    Two models share a letter if and only if they are not told apart: a compact letter display, by the insert-and-absorb
    algorithm of Piepho (2004), Journal of Computational and Graphical Statistics 13:456. A model between two others
    that differ may carry both their letters; `a` is the best group.
    """
    m = len(different)
    columns = [frozenset(range(m))]
    for i in range(m):
        for j in range(i + 1, m):
            if different[i, j]:
                split = [part for c in columns for part in ((c - {i}, c - {j}) if {i, j} <= c else (c,))]
                columns = [c for c in dict.fromkeys(split) if not any(c < other for other in split)]
    columns.sort(key=sorted)
    return ["".join(_letter(k) for k, column in enumerate(columns) if i in column) for i in range(m)]


def _letter(k: int) -> str:
    return _LETTERS[k] if k < len(_LETTERS) else f"({k + 1})"
