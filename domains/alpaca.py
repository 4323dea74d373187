"""Training data in Alpaca form: one `{"instruction": …, "input": …, "output": …}` a line, one turn each.

Source: github.com/tatsu-lab/stanford_alpaca, `alpaca_data.json`. The form has no place for a system prompt and none for several turns: the
prompt is baked in the adapter's chat template, and a system message of an example's own (the problem it is about) becomes the `input`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from truemark.errors import InvalidData

TURNS = (["user", "assistant"], ["system", "user", "assistant"])


def rows(examples: Sequence[dict[str, Any]], system_prompt: str) -> list[dict[str, Any]]:
    """The rows of a training file. Raises InvalidData naming the first example that is not one question and its answer."""
    return [_row(example, number, system_prompt) for number, example in enumerate(examples, 1)]


def _row(example: dict[str, Any], number: int, system_prompt: str) -> dict[str, str]:
    messages = example.get("messages")
    whole = isinstance(messages, list) and all(
        isinstance(message, dict) and isinstance(message.get("content"), str) for message in messages
    )
    turns = [message.get("role") for message in messages] if whole and messages else []
    if turns not in TURNS:
        raise InvalidData(f"example {number}: Alpaca's form takes one question and one answer, found {turns or str(messages)[:60]}")  # fmt: skip
    system, question, answer = "", messages[-2]["content"], messages[-1]["content"]  # type: ignore[index]
    if len(turns) == 3:
        system = messages[0]["content"].removeprefix(system_prompt).strip()  # type: ignore[index]
    return {"instruction": question, "input": system, "output": answer}
