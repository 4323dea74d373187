"""A conversation before it is messages: the turns that the augmentations work on, and how they are laid out for a model."""

from __future__ import annotations

from dataclasses import dataclass

from domains.asp.problems import Problem

SYSTEM_PROMPT = (
    "You write answer set programs for clingo. Answer with rules alone, in clingo's syntax. "
    "The facts of an instance are given apart: never write them, nor #show."
)


@dataclass(frozen=True)
class Turn:
    say: str
    """What the user asks for."""
    rule: str
    """The rules that answer it."""


def whole(problem: Problem, program: str) -> Turn:
    """The one turn that asks for the whole program. The title keeps the question of one problem from being another's."""
    return Turn(f"Write the whole program: {problem.title}.", program)


def turns_of(problem: Problem) -> list[Turn]:
    return [Turn(rule.say, rule.rule) for rule in problem.rules]


def system(statement: str) -> dict[str, str]:
    """The system message: the persona and the whole problem."""
    return {"role": "system", "content": f"{SYSTEM_PROMPT}\n\n{statement}"}


def layout(statement: str, turns: list[Turn]) -> list[dict[str, str]]:
    """The messages of a conversation; its last is the assistant's."""
    messages = [system(statement)]
    for turn in turns:
        messages += [{"role": "user", "content": turn.say}, {"role": "assistant", "content": turn.rule}]
    return messages
