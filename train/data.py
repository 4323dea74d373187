"""Examples → token ids with labels, in the order they are trained on.

Only assistant turns and the end-of-turn tokens behind them carry loss. The prompt's tokens are those that the adapter's own template
renders, so what is trained is what will be served.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from truemark.errors import InvalidData

IGNORED = -100
"""Label of a token without loss, as in PyTorch's cross entropy."""


@dataclass(frozen=True)
class Tokenized:
    """One example: `ids` and `labels` have one length; `labels` is IGNORED outside the assistant's words."""

    ids: list[int]
    labels: list[int]


def tokenize(rows: Sequence[dict[str, Any]], tokenizer: Any) -> list[Tokenized]:
    """Render and label all examples. Raises InvalidData naming the first row that cannot be trained on."""
    return [_tokenize(row, tokenizer, number) for number, row in enumerate(rows, 1)]


def _tokenize(row: dict[str, Any], tokenizer: Any, number: int) -> Tokenized:
    messages = row.get("messages")
    where = f"example {row.get('id', number)!r}"
    if not isinstance(messages, list) or not messages or not all(_is_message(message) for message in messages):
        raise InvalidData(f"{where}: expected `messages`, a list of {{role, content}}, found {str(messages)[:80]}")
    if messages[-1]["role"] != "assistant":
        raise InvalidData(f"{where}: expected the last message to be the assistant's, found {messages[-1]['role']!r}")
    ids: list[int] = []
    labels: list[int] = []
    for turn, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = _ids(tokenizer, messages[:turn], generate=True)
        whole = _ids(tokenizer, messages[: turn + 1], generate=False)
        end = max(position for position, token in enumerate(whole) if token == tokenizer.eos_token_id) + 1
        if whole[: len(prompt)] != prompt or prompt[: len(ids)] != ids:
            raise InvalidData(f"{where}: the template does not render a conversation as a continuation of its prompt")
        labels += [IGNORED] * (len(prompt) - len(labels)) + whole[len(prompt) : end]
        ids = whole[:end]
    return Tokenized(ids, labels)


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)
    )


def _ids(tokenizer: Any, messages: list[dict[str, str]], *, generate: bool) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def in_training_order(examples: Sequence[Tokenized], batch_size: int, steps: int, seed: int) -> list[Tokenized]:
    """`steps` batches laid end to end: shuffled, with examples of like length in one batch so that little is padding."""
    rng = random.Random(seed)
    ordered: list[Tokenized] = []
    while len(ordered) < batch_size * steps:
        for batch in _grouped(list(examples), batch_size, rng):
            ordered += batch
    return ordered[: batch_size * steps]


def _grouped(examples: list[Tokenized], batch_size: int, rng: random.Random) -> Iterator[list[Tokenized]]:
    """One epoch: eight batches are sorted by length at a time; what does not fill a batch waits for another epoch."""
    rng.shuffle(examples)
    for start in range(0, len(examples), batch_size * 8):
        pool = sorted(examples[start : start + batch_size * 8], key=lambda example: len(example.ids))
        batches = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        rng.shuffle(batches)
        yield from (batch for batch in batches if len(batch) == batch_size or len(examples) < batch_size)


def collate(rows: list[dict[str, list[int]]], pad: int) -> dict[str, Any]:
    """Right-padded `input_ids` and `labels`, int64 `[B, T]`. A causal model never looks at padding behind it, so no mask is needed."""
    import torch

    length = max(len(row["input_ids"]) for row in rows)
    return {
        "input_ids": torch.tensor([row["input_ids"] + [pad] * (length - len(row["input_ids"])) for row in rows]),
        "labels": torch.tensor([row["labels"] + [IGNORED] * (length - len(row["labels"])) for row in rows]),
    }
