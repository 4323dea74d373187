"""Plain requests about short texts that ship, which need no knowledge: to repeat one, to find a word in it, to put its words in order.

A model too small to do these can lose little; a larger one that has unlearned them has unlearned to do what it is told.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from domains.base import Example, Verdict, question

NAME = "general"
SYSTEM = "You are a helpful assistant."
EACH = 8
"""Requests of each kind."""
REASONS = {"ok": "as asked", "other_text": "something else"}
_WORD = re.compile(r"[^\W\d_]+")


def examples(stock: Sequence[Example], seed: int) -> list[Example]:
    """EACH requests of every kind, about the short one-line questions of `stock`; fewer where it has fewer. The same for the same stock."""
    texts = sorted({text for text in (question(example) for example in stock) if _fits(text)})
    rng = random.Random(f"{seed}.general")
    rng.shuffle(texts)
    found = []
    for number, text in enumerate(texts[: EACH * len(KINDS)]):
        kind = list(KINDS)[number % len(KINDS)]
        request, reference = KINDS[kind](text, texts[-1 - number], rng)
        found.append(_example(f"{NAME}-{kind}-{number // len(KINDS):02d}", kind, request, reference))
    return found


def check(text: str, example: Example) -> Verdict:
    """Whether the answer is what was asked for, but for case, punctuation and what stands before `Answer:`."""
    said = _words(re.sub(r".*\bAnswer:", "", text, flags=re.S))
    wanted = _words(example["reference"])
    # of a yes or no the first word counts: an explanation may follow
    passed = said[:1] == wanted if example["meta"]["kind"] == "contains" else said == wanted
    message = "as asked" if passed else f"expected '{example['reference'][:80]}'"
    return Verdict(
        float(passed), passed, "ok" if passed else "other_text", {"message": message, "answer": " ".join(said)[:200]}
    )


def _repeat(text: str, other: str, rng: random.Random) -> tuple[str, str]:
    return f"Repeat this text word for word, and write nothing else:\n{text}", text


def _last_word(text: str, other: str, rng: random.Random) -> tuple[str, str]:
    return f"What is the last word of this text? Answer with that word alone.\n{text}", _words(text)[-1]


def _contains(text: str, other: str, rng: random.Random) -> tuple[str, str]:
    own = _words(text)
    foreign = [word for word in _words(other) if word not in own]
    there = rng.random() < 0.5 or not foreign
    word = rng.choice(own if there else foreign)
    return f"Does the word '{word}' occur in this text? Answer yes or no.\n{text}", "yes" if there else "no"


def _order(text: str, other: str, rng: random.Random) -> tuple[str, str]:
    words = list(dict.fromkeys(word for word in _words(text) if len(word) > 2))[:4]
    return (
        f"Write these words in alphabetical order, with a comma between them, and nothing else: {', '.join(words)}",
        ", ".join(sorted(words)),
    )


KINDS: dict[str, Callable[[str, str, random.Random], tuple[str, str]]] = {
    "repeat": _repeat,
    "last_word": _last_word,
    "contains": _contains,
    "order": _order,
}
"""By kind: a text, another one and a source of chance → what is asked, and the answer."""


def _fits(text: str) -> bool:
    return "\n" not in text and len(text) <= 160 and len({word for word in _words(text) if len(word) > 2}) >= 5


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _example(id: str, kind: str, request: str, reference: str) -> Example:
    return {
        "id": id,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": request},
            {"role": "assistant", "content": reference},
        ],
        "reference": reference,
        "meta": {"slice": NAME, "family": f"{NAME}.{kind}", "kind": kind},
    }
