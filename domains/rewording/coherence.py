"""The logic-coherence metric: does a text say what a source says? Sees the two texts and nothing else.

>>> logic_coherence("The pump failed, so the alarm sounded.", "The alarm sounded because the pump failed.").passed
True
>>> logic_coherence("The pump failed, so the alarm sounded.", "The pump failed because the alarm sounded.").conflicts
['cause']

Twelve sub-checks each say agree, differ or absent (nothing to compare, or in one text only), with their evidence. The score is the product of
what they leave, times the share of content words that both texts have; with models, similarity of embeddings and entailment both ways
take part in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from domains.rewording.checks import CHECKS
from domains.rewording.findings import Finding, alike, one_scale
from domains.rewording.structure import Reading, read
from domains.rewording.words import MAX_TEXT, Token, clean, plain_tokens, tokens, unprefixed

RECALL, PRECISION = 0.6, 0.65
"""Least share of the source's content words that the text has, and of the text's that the source has, for a rewording to pass."""
Embed = Callable[[list[str]], Any]
Entails = Callable[[str, str], float]


@dataclass(frozen=True)
class Coherence:
    """The metric's answer."""

    score: float
    findings: dict[str, Finding]
    recall: float
    """Share of the source's content words that the text has."""
    precision: float
    """Share of the text's content words that the source has."""
    missing: list[str]
    added: list[str]
    diversity: float
    """How far the text is from the source in form: 0 a copy, 1 no two words in the same order."""
    copied: bool
    similarity: float | None = None
    """Cosine of the embeddings, where `embed` is given."""
    entailment: tuple[float, float] | None = None
    """Probability that the source entails the text, and the other way round, where `nli` is given."""
    conflicts: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """No conflict, enough of the content, not a copy."""
        return not self.conflicts and self.recall >= RECALL and self.precision >= PRECISION and not self.copied

    @property
    def coverage(self) -> float:
        """F1 of the two shares."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0


def logic_coherence(source: str, text: str, *, embed: Embed | None = None, nli: Entails | None = None) -> Coherence:
    """How well `text` keeps the meaning of `source`. Texts are cut at MAX_TEXT characters.

    `embed` gives unit vectors of texts (truemark.sentences), `nli` the probability that a premise entails a hypothesis (truemark.nli).
    """
    first, second = clean(source[:MAX_TEXT]), clean(text[:MAX_TEXT])
    one, other = tokens(first), tokens(second)
    a, b = read(unprefixed(one, other)), read(unprefixed(other, one))
    findings = {name: check(a, b) for name, check in CHECKS.items()}
    recall, precision, missing, added = _shares(a, b)
    logic = 1.0
    for finding in findings.values():
        logic *= finding.factor
    similarity = entailment = None
    meaning = (2 * recall * precision / (recall + precision)) ** 1.5 if recall + precision else 0.0
    if embed is not None:
        left, right = embed([first, second])
        similarity = float(sum(x * y for x, y in zip(left, right, strict=True)))
        meaning = (meaning + max(0.0, similarity)) / 2
    score = logic * meaning
    if nli is not None:
        entailment = (nli(first, second), nli(second, first))
        score *= min(entailment)
    left_words, right_words = _plain(plain_tokens(first)), _plain(plain_tokens(second))
    return Coherence(
        score=round(min(1.0, max(0.0, score)), 6),
        findings=findings,
        recall=round(recall, 4),
        precision=round(precision, 4),
        missing=missing,
        added=added,
        diversity=round(_diversity(left_words, right_words), 4),
        copied=_copied(left_words, right_words),
        similarity=similarity,
        entailment=entailment,
        conflicts=[name for name, finding in findings.items() if finding.verdict == "differ"],
    )


def _shares(a: Reading, b: Reading) -> tuple[float, float, list[str], list[str]]:
    """Recall and precision of the content words, and those of the source and of the text that have no partner."""
    left, right = one_scale(a.content()), one_scale(b.content())
    missing = sorted(name for name in left - right if not any(alike(name, other) for other in right))
    added = sorted(name for name in right - left if not any(alike(name, other) for other in left))
    if not left or not right:
        both = 1.0 if not left and not right else 0.0
        return both, both, missing, added
    return 1 - len(missing) / len(left), 1 - len(added) / len(right), missing, added


def _plain(found: list[Token]) -> list[str]:
    """Words and numbers without articles, case and marks."""
    kept = (token for token in found if token.kind != "mark" and token.low not in ("a", "an", "the"))
    return [f"#{token.value:g}" if token.kind == "number" else token.low for token in kept]


def _copied(left: list[str], right: list[str]) -> bool:
    """The source itself, but for articles, case, marks, contractions, digits, or words put around it."""
    wide = len(right) - len(left)
    return any(right[k : k + len(left)] == left for k in range(wide + 1))


def _diversity(left: list[str], right: list[str]) -> float:
    """One minus the share of neighbouring pairs of words that both texts have."""
    a, b = set(itertools.pairwise(left)), set(itertools.pairwise(right))
    return 1 - 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0
