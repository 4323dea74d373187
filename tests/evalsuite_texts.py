"""Pairs of texts that metrics are held to their reference packages on, and a WordNet of six synsets in WordNet's own file format."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from domains.base import Example, Verdict
from evalsuite.metrics import Answer
from evalsuite.predictions import Prediction

WORDS = [
    "the",
    "a",
    "big",
    "large",
    "dog",
    "dogs",
    "ran",
    "running",
    "runs",
    "quickly",
    "cat",
    "cats",
    "sat",
    "mat",
    "on",
    "not",
    "all",
    "of",
    "them",
    "3",
    "3.5",
    "1,000",
    "it's",
    "can't",
    "cannot",
    "gonna",
    "U.S.",
    "e.g.",
    "(well)",
    '"quoted"',
    "end.",
    "end,",
    "a-b",
    "état",
    "naïve",
    "日本語",
    "👍",
    "&amp;",
    "<skipped>",
    "don't",
    "they'll",
    "'tis",
    "$5",
    "50%",
    "x=5",
    "f(x)",
    "---",
    "...",
    "Straße",
    "İstanbul",
    "ﬁ",
    "wanna",
]
HARD = (
    ("", ""), ("", "a reference"), ("a text", ""), (" ", "\n"), ("same text here.", "same text here."), ("日本語 テキスト", "日本語 の テキスト"),
    ("👍👍👍", "👍"), ("a\u0301e\u0301", "áé"), ("line one\nline two", "line two\nline one\n\nline three"), ("A. B. C.", "a b c"),
    ("the the the the", "the"), ("the", "the the the the"), ("word-\nbreak", "word- break"), ("&quot;x&quot; &lt;y&gt;", '"x" <y>'),
    ("<skipped>", "skipped"), ("1,000.5-2", "1,000.5 - 2"), ("\u2028\x85\x1f", "\u00a0"), ("İı K ſ", "i k s"), ("''", '""'), ("``a''", '"a"'),
    ("cannot Gonna gimme more'n d'ye wanna", "can not gon na gim me more 'n d 'ye wan na"), ("'Twas 'tis 'T is", "it was"), ("end.\"", "end."),
    ("running dogs quickly ran", "the big dog runs rapidly"), ("\ud7ff\ue000", "\uffff"),
)  # fmt: skip


def pairs(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """HARD, a very long pair, and seeded ones: (text, gold), n in all."""
    rng = random.Random(seed)
    long = [" ".join(rng.choice(WORDS) for _ in range(1200)) for _ in range(2)]
    found = [*HARD, (long[0], long[1]), (long[0], long[0])]
    while len(found) < n:
        gold = [rng.choice(WORDS) for _ in range(rng.randrange(1, 30))]
        text = [word if rng.random() > 0.3 else rng.choice(WORDS) for word in gold if rng.random() > 0.15]
        if rng.random() < 0.3:
            rng.shuffle(text)
        glue = rng.choice((" ", " ", " ", "\n", "  "))
        found.append((glue.join(text), " ".join(gold[: len(gold) // 2]) + rng.choice(" \n") + " ".join(gold[len(gold) // 2 :])))  # fmt: skip
    return found[:n]


def answer(text: str, gold: str = "", *, id: str = "1", passed: bool = False, score: float | None = None, **more: Any) -> Answer:  # fmt: skip
    """An answer with the gold text as its reference. `meta`, `detail` and `reason`, and any field of a prediction, by name."""
    example: Example = {"id": id, "messages": [], "reference": gold, "meta": more.pop("meta", {})}
    verdict = Verdict(
        float(passed) if score is None else score, passed, more.pop("reason", "ok"), more.pop("detail", {})
    )
    fields: dict[str, Any] = {
        **dict.fromkeys(("key", "example_sha256", "ref", "label", "model_sha256", "engine", "engine_sha256", "prompt_sha256"), "0"),
        "id": id, "sampling": {}, "prompt_tokens": 10, "text": text, "finish_reason": "stop", "tokens": 20, "seconds": 0.5,
    }  # fmt: skip
    return Answer(example, Prediction(**{**fields, **more}), verdict)


SYNSETS = {
    "noun": [("dog", "domestic_dog", "hound"), ("cat", "feline"), ("mat", "rug")],
    "verb": [("run", "dash"), ("sit", "rest")],
    "adj": [("big", "large")],
    "adv": [("quickly", "rapidly")],
}


def write_wordnet(place: Path) -> Path:
    """A dictionary as `wndb(5WN)` describes it, which NLTK's own reader reads."""
    place.mkdir(parents=True)
    letters = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
    for part, synsets in SYNSETS.items():
        data, index, offset = "", {}, 0
        for words in synsets:
            listed = " ".join(f"{word} 0" for word in words)
            frames = " 00" if part == "verb" else ""
            line = f"{offset:08} 00 {letters[part]} {len(words):02x} {listed} 000{frames} | a gloss  \n"
            for word in words:
                index[word] = f"{word} {letters[part]} 1 0 1 0 {offset:08}  \n"
            data, offset = data + line, offset + len(line)
        (place / f"data.{part}").write_text(data)
        (place / f"index.{part}").write_text("".join(index[word] for word in sorted(index)))
        (place / f"{part}.exc").write_text("ran run\n" if part == "verb" else "")
    return place
