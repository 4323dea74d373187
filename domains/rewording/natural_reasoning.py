"""facebook/natural_reasoning as question–response pairs (CC BY-NC 4.0; Yuan et al. 2025, arXiv:2502.13124).

A row has `question`, `reference_answer` (empty for about a fifth of them) and `responses`, a list of {`response_model`, `response`}.
`truemark data load rewording/natural_reasoning --from hf:facebook/natural_reasoning`, or a file in that layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domains import sources
from domains.base import Example
from domains.rewording.words import MAX_TEXT

COLUMNS = ("question", "reference_answer", "responses")


def load(source: str, split: str) -> Iterator[Example]:
    """One example per response, in the order of the rows; rows without a question or a response, and texts over the check's limit, are left out.

    The reference is the row's reference answer, or the response where the row has none. `meta["source"]` is the response: an answer of
    a model is compared with it in meaning (so this is material to train on; the score of such an answer is a guide, not a proof).
    """
    for number, row in enumerate(sources.rows(source, COLUMNS, split=split)):
        question = _text(row["question"])
        for turn, answer in enumerate(_responses(row["responses"])):
            if question and len(question) <= MAX_TEXT and len(answer["response"]) <= MAX_TEXT:
                yield _example(
                    f"natural-reasoning-{split}-{number:07d}-{turn}", question, answer, _text(row["reference_answer"])
                )


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _responses(value: Any) -> list[dict[str, str]]:
    """The responses that have a text; a list of objects, or (as some readers give it) an object of lists."""
    if isinstance(value, dict):
        columns = [value.get("response_model"), value.get("response")]
        if not all(isinstance(column, list) for column in columns):
            value = [value]
        else:
            value = [{"response_model": model, "response": text} for model, text in zip(*columns, strict=False)]
    found = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    rows = [
        {"response_model": _text(item.get("response_model")), "response": _text(item.get("response"))} for item in found
    ]
    return [row for row in rows if row["response"]]


def _example(id: str, question: str, answer: dict[str, str], reference: str) -> Example:
    return {
        "id": id,
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer["response"]}],
        "reference": reference or answer["response"],
        "meta": {
            "source": answer["response"],
            "family": "natural_reasoning",
            "slice": "natural_reasoning",
            "response_model": answer["response_model"],
        },
    }
