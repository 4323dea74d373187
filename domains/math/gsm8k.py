"""Loader of GSM8K (Cobbe et al. 2021, arXiv:2110.14168; MIT licence): grade-school word problems with worked solutions.

Columns `question` and `answer`; an answer's lines hold `<<48/2=24>>` calculator notes, and the last one is `#### 72`. The notes are taken
out of what a model is to write; the check reads both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from domains.base import Example
from domains.sources import rows
from truemark.errors import InvalidData

_NOTE = re.compile(r"<<[^<>]*>>")


def load(source: str, split: str) -> Iterator[Example]:
    """`truemark data load math/gsm8k --from hf:openai/gsm8k:main`, or from the files. Raises InvalidData for an answer without `####`."""
    for number, row in enumerate(rows(source, ("question", "answer"), split=split), 1):
        worked, mark, final = str(row["answer"]).rpartition("####")
        reference = final.strip().replace(",", "")
        if not mark or not re.fullmatch(r"-?\d+(?:\.\d+)?", reference):
            raise InvalidData(f"{source}, row {number}: expected an answer that ends in `#### NUMBER`, found {str(row['answer'])[-40:]!r}")  # fmt: skip
        solution = f"{_NOTE.sub('', worked).strip()}\nAnswer: {reference}"
        yield {
            "id": f"gsm8k-{split}-{number:05d}",
            "messages": [
                {"role": "user", "content": str(row["question"]).strip()},
                {"role": "assistant", "content": solution},
            ],
            "reference": reference,
            "meta": {"family": f"gsm8k.{number}", "slice": "gsm8k", "source": "gsm8k"},
        }
