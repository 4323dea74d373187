"""Loader of facebook/natural_reasoning (Yuan et al. 2025, arXiv:2502.13124; CC BY-NC 4.0): questions from the web with a reference answer.

Columns `question`, `reference_answer`, `responses` (a list of `{"response_model", "response"}`). Kept are the rows whose reference answer the math
check can read; the first response is the solution a model may be trained on, the reference what it is judged by.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domains.base import Example
from domains.math.check import read
from domains.math.expressions import TooLarge, Unparsable
from domains.sources import rows

COLUMNS = ("question", "reference_answer", "responses")


def load(source: str, split: str) -> Iterator[Example]:
    """`truemark data load math/natural-reasoning --from hf:facebook/natural_reasoning`, or from the files."""
    for number, row in enumerate(rows(source, COLUMNS, split=split), 1):
        reference, response = str(row["reference_answer"]).strip(), first_response(row["responses"])
        if not _readable(reference) or not response:
            continue
        yield {
            "id": f"natural-reasoning-{split}-{number:06d}",
            "messages": [
                {"role": "user", "content": str(row["question"]).strip()},
                {"role": "assistant", "content": response},
            ],
            "reference": reference,
            "meta": {
                "family": f"natural-reasoning.{number}",
                "slice": "natural_reasoning",
                "source": "natural_reasoning",
            },
        }


def first_response(responses: Any) -> str:
    """The text of the first response: of a list of rows, or of columns as Parquet may give them."""
    if isinstance(responses, dict):
        responses = [{"response": text} for text in responses.get("response") or []]
    for response in responses or []:
        text = response.get("response") if isinstance(response, dict) else response
        if isinstance(text, str) and text.strip():
            return text.strip()
    return ""


def _readable(reference: str) -> bool:
    try:
        return bool(read(reference))
    except (Unparsable, TooLarge, ZeroDivisionError):
        return False
