"""Training data as the JSONL that OpenAI's fine-tuning takes: one `{"messages": [...]}` a line, with the domain's system prompt in it.

Source: platform.openai.com/docs/guides/supervised-fine-tuning. An adapter carries its prompt in its chat template; a model tuned
there has none, so every conversation brings it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from truemark.errors import InvalidData

FEWEST = 10
"""Examples that a fine-tuning job takes at least."""
ROLES = ("system", "user", "assistant", "tool")


def rows(examples: Sequence[dict[str, Any]], system_prompt: str) -> list[dict[str, Any]]:
    """The rows of a training file. Raises InvalidData naming the first example that the format has no place for."""
    if len(examples) < FEWEST:
        raise InvalidData(f"OpenAI's fine-tuning takes at least {FEWEST} examples, found {len(examples)}")
    return [{"messages": _messages(example, number, system_prompt)} for number, example in enumerate(examples, 1)]


def _messages(example: dict[str, Any], number: int, system_prompt: str) -> list[dict[str, str]]:
    found = example.get("messages")
    if not isinstance(found, list) or not found:
        raise InvalidData(f"example {number}: expected a list of messages, found {str(found)[:60]!r}")
    messages = []
    for message in found:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            raise InvalidData(f"example {number}: expected a role of {', '.join(ROLES)} and a text, found {str(message)[:80]!r}")  # fmt: skip
        messages.append({"role": role, "content": content})
    if messages[-1]["role"] != "assistant":
        raise InvalidData(f"example {number}: the last message must be the assistant's, found {messages[-1]['role']}")
    if messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system_prompt})
    return messages
