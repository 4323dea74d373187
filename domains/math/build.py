"""Problems × wordings → train, dev and test, split by wording (the template family) so that no template leaks.

Of the wordings of a kind, the last two are for test only and the one before them for dev only. Each of dev and test has two
slices: `numbers` (trained wordings, new problems) and `wording` (wordings that were never trained on).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files

from domains.base import Example
from domains.contamination import WINDOW, words
from domains.math.problems import KINDS, Problem
from domains.math.topics import LEVELS as TOPIC_LEVELS
from domains.math.topics import TOPICS, generator
from truemark.errors import TruemarkError, UnknownName

BASICS = "basics"
LEVELS = {BASICS: "ten kinds of problem in small numbers, which a 135M model learns in five minutes", **TOPIC_LEVELS}
EVAL_SIZE = {"dev": 120, "test": 160}
"""Examples of the basics."""
TOPIC_EVAL_SIZE = {"dev": 64, "test": 96}
"""Examples of each other level: two and three of a topic in each slice."""
TRAINED = slice(None, -3)
HELD_OUT = {"dev": slice(-3, -2), "test": slice(-2, None)}
FORM = {"simplify": "simplified", "factor": "factored"}


@lru_cache
def wordings() -> dict[str, list[str]]:
    """Templates of the basics by kind, in the order of the file."""
    return _read("wordings.yaml")


@lru_cache
def topic_wordings() -> dict[str, list[str]]:
    """Templates of the topics by kind, in the order of the file."""
    return _read("topics/wordings.yaml")


def _read(name: str) -> dict[str, list[str]]:
    import yaml

    loaded: dict[str, list[str]] = yaml.safe_load((files("domains.math") / name).read_text(encoding="utf-8"))
    return loaded


def build(seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
    """`n` training examples, for dev 120 of the basics and 64 of each other level, for test 160 and 96, balanced over levels and topics; no question occurs twice.

    A problem of dev or test (its numbers, whatever the wording and the names of unknowns) occurs in no other split, and no
    training question shares 13 words in a row with one of theirs.

    The evaluation splits depend on the seed and the levels alone, not on n, and are drawn first.
    """
    for level in levels:
        if level not in LEVELS:
            raise UnknownName("level", level, LEVELS)
    chosen = [level for level in LEVELS if level in (levels or LEVELS)]
    seen = _Seen()
    splits: dict[str, list[Example]] = {"train": [], "dev": [], "test": []}
    for split in EVAL_SIZE:
        for level in chosen:
            size = (EVAL_SIZE if level == BASICS else TOPIC_EVAL_SIZE)[split]
            splits[split] += _draw(seed, split, "numbers", level, size // 2, TRAINED, seen)
            splits[split] += _draw(seed, split, "wording", level, size // 2, HELD_OUT[split], seen)
    for number, level in enumerate(chosen):
        size = n // len(chosen) + (number < n % len(chosen))
        splits["train"] += _draw(seed, "train", "train", level, size, TRAINED, seen)
    random.Random(f"{seed}.order").shuffle(splits["train"])
    return splits


class _Seen:
    """What later questions must differ from."""

    def __init__(self) -> None:
        self.questions: set[str] = set()
        self.problems: set[str] = set()
        self.windows: set[tuple[str, ...]] = set()

    def new(self, question: str, problem: Problem, split: str) -> bool:
        if normalised(question) in self.questions or problem.key in self.problems:
            return False
        return split != "train" or self.windows.isdisjoint(windows(question))

    def add(self, question: str, problem: Problem, split: str) -> None:
        self.questions.add(normalised(question))
        if split != "train":
            self.problems.add(problem.key)
            self.windows.update(windows(question))


def windows(question: str) -> set[tuple[str, ...]]:
    """Every run of 13 words, as `truemark data check` counts them."""
    found = words(question)
    return {found[start : start + WINDOW] for start in range(len(found) - WINDOW + 1)}


def _draw(seed: int, split: str, part: str, level: str, size: int, which: slice, seen: _Seen) -> list[Example]:
    """`size` new examples of the wordings in `which`."""
    from domains.math.verify import verify

    name = split if split == part else f"{split}.{part}"
    rng = random.Random(f"{seed}.{name}" if level == BASICS else f"{seed}.{level}.{name}")
    topics = list(KINDS if level == BASICS else TOPICS)
    examples: list[Example] = []
    while len(examples) < size:
        topic = topics[len(examples) % len(topics)]
        for _ in range(1000):
            problem, index, question = _basic(topic, rng, which) if level == BASICS else _of_topic(topic, level, rng, which)  # fmt: skip
            if seen.new(question, problem, split):
                break
        else:
            raise TruemarkError(
                f"math cannot make {size} different examples: no new question of the kind {topic} after {len(examples)}",
                mend=f"a smaller --n, say {len(examples) // 2}",
            )
        verify(problem)
        seen.add(question, problem, split)
        label = name.replace(".", "-") if level == BASICS else f"{level}-{name}".replace(".", "-")
        example = _example(f"math-{label}-{len(examples):05d}", question, problem, index, part, level)
        if level != BASICS:
            example["meta"] |= {"topic": topic} | ({"form": FORM[problem.kind]} if problem.kind in FORM else {})
        examples.append(example)
    return examples


def _basic(kind: str, rng: random.Random, which: slice) -> tuple[Problem, int, str]:
    index, template = rng.choice(list(enumerate(wordings()[kind]))[which])
    problem = KINDS[kind](rng)
    return problem, index, _worded(template, problem)


def _of_topic(topic: str, level: str, rng: random.Random, which: slice) -> tuple[Problem, int, str]:
    make: Callable[[str, random.Random], Problem] = generator(topic)
    problem = make(level, rng)
    index, template = rng.choice(list(enumerate(topic_wordings()[problem.kind]))[which])
    return problem, index, _worded(template, problem)


def _worded(template: str, problem: Problem) -> str:
    question = template.format(**problem.slots)
    return question[0].upper() + question[1:] if template.startswith("{item}") else question


def normalised(text: str) -> str:
    """A question as the split sees it: lower case, letters and digits and operators alone."""
    return "".join(character for character in text.lower() if character.isalnum() or character in "+-*/=^%$")


def solution(problem: Problem) -> str:
    """Steps and the final line, as the model learns to write them."""
    return "\n".join([*problem.steps, f"Answer: {problem.answer}"])


def _example(id: str, question: str, problem: Problem, wording: int, part: str, level: str) -> Example:
    return {
        "id": id,
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": solution(problem)}],
        "reference": problem.answer,
        "meta": {"kind": problem.kind, "family": f"{problem.kind}.w{wording}", "slice": part, "level": level},
    }
