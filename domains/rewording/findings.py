"""What a sub-check says, and how it compares sets of keys."""

from __future__ import annotations

from dataclasses import dataclass

from domains.rewording.keys import antonyms, scale_names

DIFFER, WEAK = 0.35, 0.8
"""What a conflict leaves of the score, and what a sub-check leaves that finds something in one text alone."""


@dataclass(frozen=True)
class Finding:
    """What one sub-check says."""

    verdict: str
    """`agree`, `differ` or `absent`."""
    evidence: str = ""
    factor: float = 1.0
    """What it leaves of the score."""

    def to_json(self) -> dict[str, str]:
        """For a verdict's detail."""
        return {"verdict": self.verdict, "evidence": self.evidence}


def agree(evidence: str = "") -> Finding:
    return Finding("agree", evidence)


def differ(evidence: str, factor: float = DIFFER) -> Finding:
    return Finding("differ", evidence, factor)


def absent(evidence: str = "", factor: float = 1.0) -> Finding:
    return Finding("absent", evidence, factor)


def overlap(a: frozenset[str], b: frozenset[str]) -> float:
    a, b = paired(a), paired(b)
    return 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0


def paired(keys: frozenset[str]) -> frozenset[str]:
    return frozenset(antonyms().get(name, (name, 0))[0] for name in keys)


def one_scale(keys: frozenset[str]) -> frozenset[str]:
    """Both ends of a scale and both words of a pair count as one (their direction is other checks' affair)."""
    pairs = (antonyms().get(name, (name, 0))[0] for name in keys)
    return frozenset(scale_names().get(name, name) for name in pairs)


def alike(a: str, b: str) -> bool:
    """Two keys that share a long beginning: `install`, `installment`."""
    short = min(len(a), len(b))
    return short >= 5 and a[:short] == b[:short]
