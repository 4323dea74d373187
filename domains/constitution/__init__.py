"""The Constitution of India: questions on every Part, answers that name their Articles, a check of citations and facts. No legal advice."""

from __future__ import annotations

from domains.base import Card
from domains.base import last_said as question
from domains.constitution.build import LEVELS, build
from domains.constitution.check import REASONS, check
from domains.constitution.inspect import inspect
from domains.constitution.solve import solve

__all__ = [
    "CARD",
    "LEVELS",
    "METRICS",
    "NAME",
    "REASONS",
    "SLICES",
    "SYSTEM_PROMPT",
    "build",
    "check",
    "inspect",
    "messages",
    "question",
    "solve",
]

NAME = "constitution"
SYSTEM_PROMPT = (
    "You are an expert on the Constitution of India. Answer in one or two sentences and cite the Article, as in: Article 21. "
    "If you are not sure, say so. This is information, not legal advice."
)
SLICES = {
    "articles": "written questions on Articles that were never trained on",
    "titles": "which Article has a heading, for Articles that were never trained on",
    "wordings": "facts that were trained, asked in a wording that was not",
}
METRICS = ("accuracy", "logic_coherence", "rouge_l", "meteor", "tokens_per_second")
CARD = Card(
    title="Constitution of India",
    description="Questions on the Constitution of India, answered with the Article. Citations and facts are checked. This is not legal advice.",
    examples=(
        "Who appoints the Governor of a State?",
        "What is the minimum age for election as President?",
        "Which five writs are named in the Article on constitutional remedies?",
        "Which amendment added the Fundamental Duties?",
        "By what majority must each House pass a Bill to amend the Constitution?",
        "What is Article 21A about?",
        "In which Part of the Constitution is Article 280?",
    ),
)


def messages(question: str) -> list[dict[str, str]]:
    """The messages that put a question to the model; the template brings the system prompt."""
    return [{"role": "user", "content": question}]
