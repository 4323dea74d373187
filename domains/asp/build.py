"""The bank → train, dev and test, split by family. Training conversations are multiplied by augmentations; dev and test are as written."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from domains.asp.augment import ODDS, Write, apply, known
from domains.asp.problems import Problem, problems
from domains.asp.turns import Turn, layout, turns_of, whole
from domains.base import Example, asked
from domains.contamination import words
from truemark.errors import UnknownName

LEVELS: dict[str, str] = {}
WHOLE = 0.2
"""Part of the training examples that ask for the whole program in one turn."""
TRIES = 200
"""Draws in a row without a new example, after which the stock counts as spent."""


def build(
    seed: int,
    n: int,
    levels: Sequence[str] = (),
    *,
    augment: Sequence[str] | None = None,
    write: Write | None = None,
) -> dict[str, list[Example]]:
    """`n` training examples, fewer where the augmentations that are switched on give no more; dev and test are the whole stock.

    Dev and test hold every problem of their families: once as a whole program, and once for each of its rules. They depend on neither seed
    nor n. `augment` names the augmentations (default: all of them); `write` is a model for the paraphrases, without which the
    bytes depend on the seed and on the version of clingo, whose messages the repairs quote.
    """
    for level in levels:
        raise UnknownName("level", level, LEVELS)
    names = known(augment)
    splits = {"train": _train(seed, n, names, write)}
    for split in ("dev", "test"):
        splits[split] = [
            example for problem in problems() if problem.split == split for example in _evaluation(problem)
        ]
    return splits


def _evaluation(problem: Problem) -> Iterator[Example]:
    turns = turns_of(problem)
    yield _example(f"asp-{problem.id}-program", problem, [whole(problem, problem.program)], "", "program")
    for number in range(1, len(turns) + 1):
        given = "\n".join(turn.rule for place, turn in enumerate(turns, 1) if place != number)
        yield _example(f"asp-{problem.id}-rule-{number}", problem, turns[:number], given, "rule")


def _train(seed: int, n: int, names: list[str], write: Write | None) -> list[Example]:
    """Every problem as it was written first, then augmented ones in turn; no question occurs twice."""
    stock = [problem for problem in problems() if problem.split == "train"]
    examples: list[Example] = []
    seen: set[tuple[tuple[str, ...], ...]] = set()
    draws = failed = 0
    while len(examples) < n and failed < TRIES:
        rng = random.Random(f"{seed}.train.{draws}")
        chosen = [name for name in names if rng.random() < ODDS[name]] if draws >= len(stock) else []
        example = _draw(f"asp-train-{len(examples):05d}", stock[draws % len(stock)], rng, chosen, write)
        draws += 1
        question = tuple(tuple(words(message["content"])) for message in asked(example))
        failed = failed + 1 if question in seen else 0
        if question not in seen:
            seen.add(question)
            examples.append(example)
    random.Random(f"{seed}.order").shuffle(examples)
    return examples


def _draw(id: str, problem: Problem, rng: random.Random, chosen: list[str], write: Write | None) -> Example:
    """One training example with the chosen augmentations. The last turn is what the check judges; the other rules are given."""
    turns = turns_of(problem)
    one_turn = rng.random() < WHOLE
    used = []
    for name in chosen:
        if name != "rename" and one_turn and len(turns) > 1:  # rules are renamed one by one, then joined
            turns = _joined(problem, turns)
        changed = apply(name, problem, turns, rng, write)
        if changed != turns:
            turns = changed
            used.append(name)
    if one_turn:
        turns = _joined(problem, turns) if len(turns) > 1 else turns
        return _example(id, problem, turns, "", "train", augmented=used)
    later = [rule.rule for rule in problem.rules[len(turns) :]]
    given = "\n".join([*(turn.rule for turn in turns[:-1]), *later])
    return _example(id, problem, turns, given, "train", augmented=used)


def _joined(problem: Problem, turns: list[Turn]) -> list[Turn]:
    return [whole(problem, "\n".join(turn.rule for turn in turns))]


def _example(id: str, problem: Problem, turns: list[Turn], given: str, slice: str, **more: Any) -> Example:
    meta = {
        "family": problem.family,
        "slice": slice,
        "topic": problem.topic,
        "problem": problem.id,
        "given": given,
        "instances": problem.facts,
        "show": problem.show,
        **more,
    }
    return {"id": id, "messages": layout(problem.statement, turns), "reference": turns[-1].rule, "meta": meta}
