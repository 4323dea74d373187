"""The examples behind a leaderboard, small enough to travel inside its page.

One block for a domain's questions and one for each model's answers: JSON, gzip, base64. Base64 cannot end a script element,
whatever a model wrote, and the browser unpacks a block only when a row of it is opened. So a page of 200,000 answers opens
as fast as one of 200.

    questions   {"slices": [name], "rows": [[id, slice, question, reference]]}
    answers     {"reasons": [name], "right": "0110…", "reason": [int], "text": [str], "message": [str], "cut": [int]}
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from domains.base import question
from evalsuite.comparison import Row, Scored
from evalsuite.data import slice_of, slices

LONGEST = 1500
"""Characters of one text that are shown."""
SHORTEST = 240
BUDGET = 64_000_000
"""Characters of answers in one page: above it each is cut shorter, down to SHORTEST."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of one section."""

    questions: str
    answers: list[str]
    """One per model, in the order of `models`."""
    models: list[Scored]
    slices: list[str]
    longest: int
    """At how many characters answers are cut."""


def blocks(rows: Sequence[Row], answers_in_page: int) -> Blocks:
    """Pack the examples of a section's rows, in a page that holds `answers_in_page` answers."""
    models = list({id(row.scored): row.scored for row in rows}.values())
    examples = [answer.example for answer in models[0].answers]
    names = slices(examples)
    longest = min(LONGEST, max(SHORTEST, BUDGET // max(1, answers_in_page)))
    questions = {
        "slices": names,
        "rows": [
            [
                clean(example["id"], 200),
                names.index(slice_of(example)),
                clean(question(example), longest),
                clean(example["reference"], longest),
            ]
            for example in examples
        ],
    }
    return Blocks(pack(questions), [pack(_answers(one, longest)) for one in models], models, names, longest)


def pack(value: Any) -> str:
    """JSON, gzip (the same bytes for the same value), base64."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def unpack(block: str) -> Any:
    """What `pack` packed."""
    return json.loads(gzip.decompress(base64.b64decode(block)))


def clean(text: object, longest: int = LONGEST) -> str:
    """Text as it may be shown: cut, without control and direction characters that would change the page."""
    value = str(text)
    rest = len(value) - longest
    kept = _unwanted().sub("\ufffd", value[:longest])
    return f"{kept} … ({rest:,} more characters)" if rest > 0 else kept


def _answers(scored: Scored, longest: int) -> dict[str, Any]:
    names = list(dict.fromkeys(answer.verdict.reason for answer in scored.answers))
    place = {name: i for i, name in enumerate(names)}
    return {
        "reasons": [clean(name, 80) for name in names],
        "right": "".join("01"[answer.verdict.passed] for answer in scored.answers),
        "reason": [place[answer.verdict.reason] for answer in scored.answers],
        "text": [clean(answer.prediction.text, longest) for answer in scored.answers],
        "message": [clean(answer.verdict.detail.get("message", ""), min(longest, 300)) for answer in scored.answers],
        "cut": [i for i, answer in enumerate(scored.answers) if answer.prediction.finish_reason == "length"],
    }


@lru_cache(maxsize=1)
def _unwanted() -> re.Pattern[str]:
    """Control, format, private and surrogate characters but newline and tab, as one character class."""
    unwanted = (
        code
        for code in range(sys.maxunicode + 1)
        if chr(code) not in "\n\t" and unicodedata.category(chr(code)) in ("Cc", "Cf", "Co", "Cs")
    )
    return re.compile("[" + "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in _runs(unwanted)) + "]")


def _runs(codes: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours, of ascending numbers."""
    runs: list[tuple[int, int]] = []
    for code in codes:
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return runs
