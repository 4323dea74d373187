"""What an adapter says to a few questions, and its base to the same tokens: kept in the manifest when it is trained, so that whoever runs it can tell
that it is this adapter that runs.

Greedy answers of few tokens in fp32, as every engine can be asked for them; an export's manifest has those of its adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from truemark.artifacts import Probe
from truemark.chat import Message
from truemark.models import ModelRef
from truemark.runtimes.base import Sampling

QUESTIONS = 4
TOKENS = 32
SAMPLING = Sampling(max_tokens=TOKENS)
ADAPTER_AGREES = 0.75
"""Least share of the words, from the first, in which an adapter's own weights must say what the manifest keeps: other kernels turn a near tie."""
EXPORT_AGREES = 0.2
"""The same of an export: 4-bit weights leave an answer after a few words. Its mark says how near it is; here it must only be its adapter's."""


@dataclass(frozen=True)
class Likeness:
    """How a model's answers to the probes go with what the manifest keeps: shares of words from the first, means over the probes."""

    adapter: float
    base: float

    def is_adapter(self, *, export: bool) -> bool:
        """Whether it said what the adapter says, and not what the base does."""
        return self.adapter > self.base and self.adapter >= (EXPORT_AGREES if export else ADAPTER_AGREES)


def record(adapter: ModelRef, questions: Sequence[Sequence[Message]]) -> list[Probe]:
    """Ask an adapter, and its base with the same tokens, in PyTorch. Probes to which both say the same prove nothing and are left out."""
    from truemark.runtimes.torch import TorchRuntime

    asked = [[dict(message) for message in question] for question in questions[:QUESTIONS]]
    with TorchRuntime(adapter) as runtime:
        ids = [runtime.prompt_ids(question) for question in asked]
        own = dict(runtime.generate(list(ids), SAMPLING))
        with runtime.without_adapter():
            base = dict(runtime.generate(list(ids), SAMPLING))
    found = [Probe(messages=question, adapter=own[i].text, base=base[i].text) for i, question in enumerate(asked)]
    return [probe for probe in found if probe.adapter != probe.base]


def compare(probes: Sequence[Probe], texts: Sequence[str]) -> Likeness:
    """How like the kept answers `texts` are, one for each probe."""
    pairs = list(zip(probes, texts, strict=True))
    return Likeness(
        sum(_agreement(text, probe.adapter) for probe, text in pairs) / len(pairs),
        sum(_agreement(text, probe.base) for probe, text in pairs) / len(pairs),
    )


def _agreement(text: str, kept: str) -> float:
    """Words in common from the first, of those of the longer text; 1 for two empty ones."""
    own, other = text.split(), kept.split()
    same = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
    return same / max(len(own), len(other)) if own or other else 1.0
