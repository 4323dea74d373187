"""Answer Set Programming: problems in words → programs for clingo, judged by their answer sets."""

from __future__ import annotations

from domains.asp.build import LEVELS, build
from domains.asp.check import REASONS, check
from domains.asp.inspect import again, inspect, question
from domains.asp.problems import by_statement
from domains.asp.solve import solve
from domains.asp.turns import SYSTEM_PROMPT, system
from domains.base import Card

__all__ = [
    "CARD",
    "LEVELS",
    "METRICS",
    "NAME",
    "REASONS",
    "SLICES",
    "SYSTEM_PROMPT",
    "again",
    "build",
    "check",
    "inspect",
    "messages",
    "question",
    "solve",
]

NAME = "asp"
SLICES = {
    "program": "the whole program in one turn, of families that were never trained on",
    "rule": "the next rule of a conversation whose earlier turns are the reference's, of families that were never trained on",
}
METRICS = ("accuracy", "rouge_l", "tokens_per_second")
CARD = Card(
    title="Answer set programming",
    description="A problem in words becomes a program for clingo. Each answer is grounded and solved, and its answer sets are compared on instances that the model has not seen.",
    checker="clingo",
    answer_format="code",
    examples=(
        "Facts: node(N) is a crossing, edge(A,B) a corridor between A and B, limit(K). Post guards on at most K crossings, guard(N), so that every "
        "corridor has a guard at one end at least.",
        "Facts: coin(I,W) for coin I of worth W, target(T). Choose coins, pick(I), whose worths add up to exactly T.",
        "Facts: row(R), col(C), numbered. Put one queen into every row, queen(R,C), so that no two queens share a column or a diagonal.",
    ),
)


def messages(question: str) -> list[dict[str, str]]:
    """The messages that put a problem to the model: it stands in the system text, as in training."""
    problem = by_statement(question)
    title = f": {problem.title}" if problem else ""
    return [
        system(problem.statement if problem else question),
        {"role": "user", "content": f"Write the whole program{title}."},
    ]
