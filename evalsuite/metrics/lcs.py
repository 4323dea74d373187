"""Longest common subsequences of token lists, 64 cells of the table at a time.

The table of t[i][j] = length of the LCS of a[:i] and b[:j] grows by 0 or 1 along each row; row i is kept as the integer whose bit j − 1 is set
where it does not grow. One row follows from the one before by one addition: Hyyrö 2004, "Bit-parallel LCS-length computation revisited",
section 3 (after Crochemore et al. 2001). rouge_score fills the table cell by cell.
"""

from __future__ import annotations

from collections.abc import Sequence


def masks(b: Sequence[str]) -> dict[str, int]:
    """Token → the integer with a bit for each of its places."""
    places: dict[str, int] = {}
    bit = 1
    for token in b:
        places[token] = places.get(token, 0) | bit
        bit <<= 1
    return places


def length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    if len(a) > len(b):
        a, b = b, a
    places = masks(b)
    row = full = (1 << len(b)) - 1
    for token in a:
        if match := places.get(token, 0) & row:
            row = (row + match | row - match) & full
    return len(b) - row.bit_count()


def positions(a: Sequence[str], b: Sequence[str], places: dict[str, int]) -> list[int]:
    """Places in `a` of one longest common subsequence with `b`, whose masks are `places`: the one that rouge_score reads out of its table.

    From the last cell: a match is taken; else the way leads left where the cell to the left is greater than the one above, else up. Rows of tokens
    that `b` has not are like the ones above: the way leads through them straight up, and they are left out.
    """
    shared = [place for place, token in enumerate(a) if token in places]
    full = (1 << len(b)) - 1
    rows = [full]
    for place in shared:
        match = places[a[place]] & rows[-1]
        rows.append((rows[-1] + match | rows[-1] - match) & full)
    if len(b) - rows[-1].bit_count() == len(shared):  # all are in it
        return shared
    i, j, found = len(shared), len(b), []
    while i > 0 and j > 0:
        if a[shared[i - 1]] == b[j - 1]:
            i, j = i - 1, j - 1
            found.append(shared[i])
            continue
        low = (1 << j) - 1
        if (rows[i] & low).bit_count() < (rows[i - 1] & low).bit_count():  # t[i][j] > t[i-1][j], so t[i][j-1] is too
            j -= 1
        else:
            i -= 1
    return found[::-1]
