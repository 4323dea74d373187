"""Rewording: sentences said otherwise. A grammar makes pairs of known meaning; the check reads two texts and nothing else."""

from __future__ import annotations

from domains.base import Card
from domains.base import last_said as question
from domains.rewording.build import LEVELS, build
from domains.rewording.check import REASONS, check
from domains.rewording.coherence import logic_coherence
from domains.rewording.negatives import hard_positives, negatives
from domains.rewording.solve import inspect, solve

__all__ = [
    "CARD", "LEVELS", "METRICS", "NAME", "REASONS", "SLICES", "SYSTEM_PROMPT", "build", "check", "hard_positives", "inspect", "logic_coherence", "messages", "negatives",
    "question", "solve",
]  # fmt: skip

NAME = "rewording"
SYSTEM_PROMPT = "Reword the sentence. Keep its meaning."
SLICES = {
    "sentences": "trained operations, sentences of other subject fields",
    "operation": "operations that were never trained on, in other subject fields",
}
METRICS = (
    "accuracy",
    "logic_coherence",
    "bleu",
    "chrf",
    "rouge_l",
    "meteor",
    "self_bleu",
    "syntactic_diversity",
    "tokens_per_second",
)
CARD = Card(
    title="Rewording",
    description="One sentence said another way. What it denies, counts, compares, causes and demands is checked to be the same.",
    checker="the logic-coherence metric",
    examples=(
        "The alarm sounded because the pump failed.",
        "Unless the guest confirms the booking, the hotel releases the room.",
        "The auditor must check twelve invoices before Friday.",
        "Not all of the patients received the vaccine.",
        "The northern route is longer than the coastal route.",
        "The surgeon closed the cut after the nurse washed the wound.",
    ),
    answer_format="text",
)


def messages(question: str) -> list[dict[str, str]]:
    """The messages that put a sentence to the model; the template brings the system prompt."""
    from domains.rewording.build import INSTRUCTION

    sentence = question.strip().removeprefix("Reword:").strip()
    return [{"role": "user", "content": INSTRUCTION.format(sentence)}]
