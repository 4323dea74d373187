"""Examples → token ids with labels, in the order they are trained on.

Only assistant turns and the end-of-turn tokens behind them carry loss. The prompt's tokens are those that the adapter's own template
renders, so what is trained is what will be served.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from truemark.console import say
from truemark.errors import InvalidData

IGNORED = -100
"""Label of a token without loss, as in PyTorch's cross entropy."""


@dataclass(frozen=True)
class Tokenized:
    """One example: `ids` and `labels` have one length; `labels` is IGNORED outside the assistant's words."""

    ids: list[int]
    labels: list[int]
    name: str = ""
    """The example's id, for messages; several in a packed row."""
    positions: list[int] | None = None
    """Position of each token in its own example, where a row packs several."""
    level: str = ""


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
        if whole[: len(prompt)] != prompt or prompt[: len(ids)] != ids:
            raise InvalidData(f"{where}: the template does not render a conversation as a continuation of its prompt")
        ends = [place for place, token in enumerate(whole) if token == tokenizer.eos_token_id and place >= len(prompt)]
        if not ends:
            raise InvalidData(f"{where}: the template does not end an answer with {tokenizer.eos_token!r}")
        end = ends[-1] + 1
        labels += [IGNORED] * (len(prompt) - len(labels)) + whole[len(prompt) : end]
        ids = whole[:end]
    return Tokenized(ids, labels, str(row.get("id", number)), level=str((row.get("meta") or {}).get("level", "")))


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)
    )


def prompt_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """What is asked, with the generation prompt, as the tokenizer's template renders it."""
    return _ids(tokenizer, messages, generate=True)


def _ids(tokenizer: Any, messages: list[dict[str, str]], *, generate: bool) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def fitting(examples: Sequence[Tokenized], max_length: int | None) -> list[Tokenized]:
    """Those of at most `max_length` tokens; says how many were left out. Raises InvalidData when none is left."""
    kept = [example for example in examples if max_length is None or len(example.ids) <= max_length]
    if not kept:
        shortest = min(len(example.ids) for example in examples)
        raise InvalidData(f"no example has at most data.max_length = {max_length} tokens; the shortest has {shortest}")
    if len(kept) < len(examples):
        say(
            f"left out {len(examples) - len(kept)} of {len(examples)} examples: longer than data.max_length = {max_length} tokens"
        )
    return kept


def packed(examples: Sequence[Tokenized], length: int) -> list[Tokenized]:
    """Rows of at most `length` tokens with as many whole examples in each as fit: best fit decreasing, as in TRL's `pack_dataset`."""
    from datasets import Dataset
    from trl import pack_dataset

    columns = {"ids": [example.ids for example in examples], "labels": [example.labels for example in examples],
               "owner": [[index] * len(example.ids) for index, example in enumerate(examples)]}  # fmt: skip
    rows = []
    for row in pack_dataset(Dataset.from_dict(columns), seq_length=length, strategy="bfd"):
        owners = list(dict.fromkeys(row["owner"]))
        positions = [position for owner in owners for position in range(len(examples[owner].ids))]
        labels = [IGNORED if position == 0 else label for position, label in zip(positions, row["labels"], strict=True)]
        name = ", ".join(examples[owner].name for owner in owners)
        rows.append(Tokenized(row["ids"], labels, name, positions, examples[owners[0]].level))
    return rows


def in_training_order(
    examples: Sequence[Tokenized], batch_size: int, steps: int, seed: int, levels: Sequence[str] = ()
) -> list[Tokenized]:
    """`steps` batches laid end to end: shuffled, with examples of like length in one batch so that little is padding.

    With `levels` (a curriculum) those of the first come first, each level for as many steps as its share of the examples; an example of no
    such level counts to the first.
    """
    rng = random.Random(seed)
    known = {level: index for index, level in enumerate(levels)}
    stages: dict[int, list[Tokenized]] = {}
    for example in examples:
        stages.setdefault(known.get(example.level, 0), []).append(example)
    ordered: list[Tokenized] = []
    seen = 0
    for _, stage in sorted(stages.items()):
        seen += len(stage)
        until = batch_size * round(steps * seen / len(examples))
        while len(ordered) < until:
            for batch in _grouped(list(stage), batch_size, rng):
                ordered += batch
        del ordered[until:]
    return ordered


def _grouped(examples: list[Tokenized], batch_size: int, rng: random.Random) -> Iterator[list[Tokenized]]:
    """One epoch: eight batches are sorted by length at a time; what does not fill a batch waits for another epoch."""
    rng.shuffle(examples)
    for start in range(0, len(examples), batch_size * 8):
        pool = sorted(examples[start : start + batch_size * 8], key=lambda example: len(example.ids))
        batches = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        rng.shuffle(batches)
        yield from (batch for batch in batches if len(batch) == batch_size or len(examples) < batch_size)


def collate(rows: list[dict[str, Any]], pad: int) -> dict[str, Any]:
    """Right-padded `input_ids` and `labels`, int64 `[B, T]`, and `names`. A causal model never looks at padding behind it, so no mask is needed.

    Packed rows have `position_ids` too: where they begin again at 0 an example begins, which the model's mask keeps blind to those before it
    (`find_packed_sequence_indices` in transformers' masking_utils.py).
    """
    import torch

    length = max(len(row["input_ids"]) for row in rows)

    def padded(column: str, fill: int) -> Any:
        return torch.tensor([row[column] + [fill] * (length - len(row[column])) for row in rows])

    batch = {
        "input_ids": padded("input_ids", pad),
        "labels": padded("labels", IGNORED),
        "names": [row.get("name", "") for row in rows],
    }
    if rows[0].get("position_ids") is not None:
        batch["position_ids"] = padded("position_ids", 0)
    return batch
