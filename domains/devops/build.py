"""Blueprints × patterns × slots → train, dev and test, split by pattern (the template family) so that no template leaks.

Of the patterns of a blueprint the last is for test only and the one before it for dev only. Each of dev and test has two slices: `numbers` (trained patterns,
new slot values) and `patterns` (patterns that were never trained on). A problem of dev or test (its slots, whatever its wording) is in no other split,
and no 13 words in a row of its question occur in a training question.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from domains.base import Example
from domains.contamination import WINDOW, Words, words
from domains.devops import shipped
from domains.devops.problems import Problem, draw
from truemark.errors import TruemarkError, UnknownName

if TYPE_CHECKING:
    from domains.devops.schema import Framework

EVAL_SIZE = {"dev": 120, "test": 200}
"""Of the shipped frameworks."""
EVAL_PER_BLUEPRINT = {"dev": 4, "test": 6}
"""Of files of a user."""
LEVELS = {
    "foundation": "one law, one or two steps",
    "applied": "a law turned round, a unit to convert, or a bound to respect",
    "composed": "several laws in a chain, or an answer of several parts",
}
TRIES = 60
"""Draws of one blueprint for one example; then it is exhausted."""


def build(seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
    """`n` training examples of the four shipped frameworks in equal parts, 120 for dev and 200 for test, of all levels or of some.

    The evaluation splits depend on the seed and the levels alone, not on n, and are drawn first.
    """
    for level in levels:
        if level not in LEVELS:
            raise UnknownName("level", level, LEVELS)
    return _splits(shipped.frameworks(), seed, n, EVAL_SIZE, levels)


def expand(paths: Sequence[Path], seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
    """The same from a user's own framework files, with 4 examples a blueprint for dev and 6 for test. Raises InvalidConfig for a file that is none."""
    from domains.devops.schema import load

    frameworks = [load(path) for path in paths]
    known = {level: None for framework in frameworks for level in framework.levels}
    for level in levels:
        if level not in known:
            raise UnknownName("level", level, known)
    count = sum(len(framework.blueprints) for framework in frameworks)
    sizes = {split: each * count for split, each in EVAL_PER_BLUEPRINT.items()}
    return _splits(frameworks, seed, n, sizes, levels)


@dataclass
class _Taken:
    """What the splits hold so far."""

    questions: set[str] = field(default_factory=set)
    """Normalised."""
    problems: set[str] = field(default_factory=set)
    """Of dev and test."""
    windows: set[Words] = field(default_factory=set)
    """Of the questions of dev and test."""
    turns: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Examples of each framework, blueprint and slice: its patterns are taken in turn."""


def _splits(
    frameworks: Sequence[Framework], seed: int, n: int, sizes: dict[str, int], levels: Sequence[str]
) -> dict[str, list[Example]]:
    taken = _Taken()
    splits: dict[str, list[Example]] = {}
    for split, size in sizes.items():
        held_out = slice(-1, None) if split == "test" else slice(-2, -1)
        splits[split] = [
            *_draw(frameworks, f"{seed}.{split}.numbers", size // 2, slice(None, -2), levels, taken),
            *_draw(frameworks, f"{seed}.{split}.patterns", size - size // 2, held_out, levels, taken),
        ]
    splits["train"] = _draw(frameworks, f"{seed}.train", n, slice(None, -2), levels, taken)
    random.Random(f"{seed}.order").shuffle(splits["train"])
    return {name: splits[name] for name in ("train", "dev", "test")}


def _draw(
    frameworks: Sequence[Framework], seed: str, size: int, which: slice, levels: Sequence[str], taken: _Taken
) -> list[Example]:
    """`size` new examples of the patterns in `which`, taking frameworks and their blueprints in turn. The last word of `seed` names the slice."""
    rng = random.Random(seed)
    name, part = seed.split(".", 1)[1].replace(".", "-"), seed.rpartition(".")[2]
    turns = []
    for framework in frameworks:
        blueprints = [one for one, blueprint in framework.blueprints.items() if not levels or blueprint.level in levels]
        rng.shuffle(blueprints)
        turns.append((framework, blueprints))
    examples: list[Example] = []
    turn = 0
    while len(examples) < size:
        live = [pair for pair in turns if pair[1]]
        if not live:
            raise TruemarkError(
                f"there are not {size} different {name} problems, {len(examples)} were found",
                mend="a smaller --n, or slots with more values",
            )
        framework, blueprints = turns[turn % len(turns)]
        turn += 1
        if not blueprints:
            continue
        blueprint = blueprints.pop(0)
        example = _next(framework, blueprint, rng, which, taken, f"devops-{name}-{len(examples):05d}", part)
        if example:
            examples.append(example)
            blueprints.append(blueprint)
    return examples


def _next(
    framework: Framework, blueprint: str, rng: random.Random, which: slice, taken: _Taken, id: str, part: str
) -> Example | None:
    """A new example of a blueprint, None where it is exhausted."""
    patterns = list(range(len(framework.blueprints[blueprint].patterns)))[which]
    turn = taken.turns[framework.framework, blueprint, part]
    for attempt in range(TRIES):
        problem = draw(framework, blueprint, rng)
        if problem is None:
            return None
        pattern = patterns[(turn + attempt) % len(patterns)]
        question = problem.question(pattern)
        plain = normalised(question)
        spans = windows(question)
        if plain in taken.questions or problem.key in taken.problems or (part == "train" and spans & taken.windows):
            continue
        taken.turns[framework.framework, blueprint, part] += 1
        taken.questions.add(plain)
        if part != "train":
            taken.problems.add(problem.key)
            taken.windows |= spans
        return example_of(problem, pattern, id, part)
    return None


def normalised(text: str) -> str:
    """Letters and digits alone, in one case: two questions that look the same are one."""
    return "".join(character for character in text.casefold() if character.isalnum())


def windows(text: str) -> set[Words]:
    """All runs of 13 words, as `truemark data check` counts them."""
    found = words(text)
    return {found[at : at + WINDOW] for at in range(len(found) - WINDOW + 1)}


def example_of(problem: Problem, pattern: int, id: str, part: str) -> Example:
    """A problem as a row of the data."""
    framework = problem.framework
    blueprint = framework.blueprints[problem.blueprint]
    explained = [
        framework.explanations[framework.logic[framework.blocks[step.block].logic].of] for step in blueprint.steps
    ]
    return {
        "id": id,
        "messages": [
            {"role": "user", "content": problem.question(pattern)},
            {"role": "assistant", "content": problem.text},
        ],
        "reference": problem.answer,
        "meta": {
            "framework": framework.framework,
            "blueprint": problem.blueprint,
            "family": f"{framework.framework}.{problem.blueprint}.p{pattern}",
            "slice": part,
            "level": blueprint.level,
            "principles": list(dict.fromkeys(explanation.of for explanation in explained)),
            "claims": problem.claims,
        },
    }
