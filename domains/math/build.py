"""Problems × wordings → train, dev and test, split by wording (the template family) so that no template leaks.

Of the wordings of a kind, the last two are for test only and the one before them for dev only. Each of dev and test has two
slices: `numbers` (trained wordings, new problems) and `wording` (wordings that were never trained on).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from domains.base import Example
from domains.math.problems import KINDS, Problem
from truemark.errors import TruemarkError

EVAL_SIZE = {"dev": 120, "test": 160}
TRAINED = slice(None, -3)
HELD_OUT = {"dev": slice(-3, -2), "test": slice(-2, None)}


@lru_cache
def wordings() -> dict[str, list[str]]:
    """Templates by kind, in the order of the file."""
    import yaml

    loaded: dict[str, list[str]] = yaml.safe_load((files("domains.math") / "wordings.yaml").read_text(encoding="utf-8"))
    return loaded


def build(seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
    """`n` training examples, 120 for dev and 160 for test, balanced over kinds; no question occurs twice.

    A problem of dev or test (its numbers, whatever the wording and the names of unknowns) occurs in no other split.

    The evaluation splits depend on the seed alone, not on n, and are drawn first.
    """
    seen: set[str] = set()
    splits: dict[str, list[Example]] = {}
    for split, size in EVAL_SIZE.items():
        splits[split] = [
            *_draw(f"{seed}.{split}.numbers", size // 2, TRAINED, seen),
            *_draw(f"{seed}.{split}.wording", size // 2, HELD_OUT[split], seen),
        ]
    splits["train"] = _draw(f"{seed}.train", n, TRAINED, seen)
    random.Random(f"{seed}.order").shuffle(splits["train"])
    return {name: splits[name] for name in ("train", "dev", "test")}


def _draw(seed: str, size: int, which: slice, seen: set[str]) -> list[Example]:
    """`size` new examples of the wordings in `which`. The last word of `seed` names the slice."""
    from domains.math.verify import verify

    rng = random.Random(seed)
    name, part = seed.split(".", 1)[1].replace(".", "-"), seed.rpartition(".")[2]
    examples: list[Example] = []
    while len(examples) < size:
        kind = list(KINDS)[len(examples) % len(KINDS)]
        templates = list(enumerate(wordings()[kind]))[which]
        for _ in range(1000):
            index, template = rng.choice(templates)
            problem = KINDS[kind](rng)
            question = template.format(**problem.slots)
            question = question[0].upper() + question[1:] if template.startswith("{item}") else question
            if normalised(question) not in seen and problem.key not in seen:
                break
        else:
            raise TruemarkError(
                f"math cannot make {size} different examples: no new question of the kind {kind} after {len(examples)}",
                mend=f"a smaller --n, say {len(examples) // 2}",
            )
        verify(problem)
        seen.add(normalised(question))
        if part != "train":
            seen.add(problem.key)
        examples.append(_example(f"math-{name}-{len(examples):05d}", question, problem, index, part))
    return examples


def normalised(text: str) -> str:
    """A question as the split sees it: lower case, letters and digits and operators alone."""
    return "".join(character for character in text.lower() if character.isalnum() or character in "+-*/=^%$")


def solution(problem: Problem) -> str:
    """Steps and the final line, as the model learns to write them."""
    return "\n".join([*problem.steps, f"Answer: {problem.answer}"])


def _example(id: str, question: str, problem: Problem, wording: int, part: str) -> Example:
    return {
        "id": id,
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": solution(problem)}],
        "reference": problem.answer,
        "meta": {"kind": problem.kind, "family": f"{problem.kind}.w{wording}", "slice": part, "level": "basics"},
    }
