"""What the composite loss needs beside an answer: the source's tokens, a known wrong answer, and what would be copied.

All of it is made before the first step, from the example and the seed alone, so that a resumed run sees the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any, cast

from domains.base import Domain, Example, negatives, question
from train.data import IGNORED, Tokenized, collate, tokenize
from truemark.errors import InvalidData

_START = -1
"""Stands before the first token of a text, so that beginning as the source begins is a copied n-gram too."""


@dataclass(frozen=True)
class Contrasted(Tokenized):
    """An example with one answer, and what that answer is held against."""

    source: list[int] = field(default_factory=list)
    """The sentence that is reworded, as tokens of a text of its own."""
    negatives: list[list[int]] = field(default_factory=list)
    """Wrong answers, each with the end of turn behind it, as continuations of the same prompt."""
    copies: list[tuple[int, int]] = field(default_factory=list)
    """(which token of the answer, what would stand there if the source's n-gram were copied)."""


def contrasted(
    rows: Sequence[dict[str, Any]], tokenizer: Any, domain: Domain, seed: int, *, wrong: bool, ngram: int
) -> list[Contrasted]:
    """All rows with their sources; with the domain's negatives where `wrong`, with copied n-grams where `ngram` is not 0.

    Raises InvalidData for a row of several answers, and where negatives are wanted and no row has any.
    """
    made = []
    for row, plain in zip(rows, tokenize(rows, tokenizer), strict=True):
        if sum(message["role"] == "assistant" for message in row["messages"]) != 1:
            raise InvalidData(f"example {plain.name!r}: the composite loss expects one answer, found several")
        source = tokenizer(_source(row), add_special_tokens=False)["input_ids"]
        gold = [label for label in plain.labels if label != IGNORED]
        made.append(
            Contrasted(
                **vars(plain),
                source=source,
                negatives=_negatives(row, tokenizer, domain, Random(f"{seed}.{plain.name}")) if wrong else [],
                copies=copies(source, gold, ngram) if ngram else [],
            )
        )
    if wrong and not any(row.negatives for row in made):
        raise InvalidData(
            f"options.equivalence needs answers that are known to be wrong; {domain.NAME} makes none of these rows",
            mend="set options.equivalence to 0, or train on what `truemark data build rewording` writes",
        )
    return made


def _source(row: dict[str, Any]) -> str:
    source = (row.get("meta") or {}).get("source")
    return source if isinstance(source, str) and source else question(cast("Example", row))


def _negatives(row: dict[str, Any], tokenizer: Any, domain: Domain, rng: Random) -> list[list[int]]:
    """The answer with its reference replaced by each negative: what stands around it (tags, reasoning) stays."""
    if not isinstance(row.get("meta"), dict) or not isinstance(row.get("reference"), str):
        return []
    answer, reference = row["messages"][-1]["content"], row["reference"]
    before, found, after = answer.rpartition(reference)
    texts = [before + text + after if found else text for _, text in negatives(domain, cast("Example", row), rng)]
    rng.shuffle(texts)
    wrong = [{**row, "messages": [*row["messages"][:-1], {"role": "assistant", "content": text}]} for text in texts]
    return [[label for label in one.labels if label != IGNORED] for one in tokenize(wrong, tokenizer)]


def copies(source: Sequence[int], gold: Sequence[int], n: int) -> list[tuple[int, int]]:
    """(t, c) for every n-gram of the source that ends in c, whose other tokens stand before gold[t], and that the gold does not contain."""
    start = [_START] * (n - 1)
    first, second = [*start, *source], [*start, *gold]
    contained = {tuple(second[t : t + n]) for t in range(len(gold))}
    follows: dict[tuple[int, ...], dict[int, None]] = {}
    for i in range(len(source)):
        *before, last = first[i : i + n]
        if (*before, last) not in contained:
            follows.setdefault(tuple(before), {})[last] = None
    return [(t, token) for t in range(len(gold)) for token in follows.get(tuple(second[t : t + n - 1]), ())]


def columns(ordered: Sequence[Contrasted]) -> dict[str, list[Any]]:
    """Columns of a dataset, one value a row; an example that comes again meets its next negative."""
    seen: Counter[str] = Counter()
    chosen = []
    for row in ordered:
        chosen.append(row.negatives[seen[row.name] % len(row.negatives)] if row.negatives else [])
        seen[row.name] += 1
    return {
        "source": [row.source for row in ordered],
        "negative": chosen,
        "copied_at": [[t for t, _ in row.copies] for row in ordered],
        "copied": [[token for _, token in row.copies] for row in ordered],
    }


def collate_contrasted(rows: list[dict[str, Any]], pad: int) -> dict[str, Any]:
    """`collate`'s batch with the negatives behind the answers of their own rows; both go on from one prompt.

    Beside `input_ids`, `labels` (of the answers alone), `position_ids` int64 `[B, T]` and `mask` bool `[B, 1, T, T]` (both only where there
    are negatives): `source_ids` `[B, S]` with `source_mask`; and flat int64 vectors, for each token of a negative `negative_row`,
    `negative_from` (the column that predicts it) and `negative_token`; for each copy `copied_index` (which labelled token of the batch) and `copied_token`.
    """
    import torch

    laid, spans = [], []
    for row in rows:
        ids, wrong = row["input_ids"], row["negative"]
        start = next(i for i, label in enumerate(row["labels"]) if label != IGNORED)
        positions = [*range(len(ids)), *range(start, start + len(wrong))]
        laid.append({"input_ids": ids + wrong, "labels": row["labels"] + [IGNORED] * len(wrong), "name": row["name"],
                     "position_ids": positions if any(row["negative"] for row in rows) else None})  # fmt: skip
        spans.append((start, len(ids), len(ids) + len(wrong)))
    batch = collate(laid, pad)
    flat = [
        (number, start - 1 if column == end else column - 1, ids["input_ids"][column])
        for number, ((start, end, last), ids) in enumerate(zip(spans, laid, strict=True))
        for column in range(end, last)
    ]
    if flat:
        see = torch.ones(batch["input_ids"].shape[1], batch["input_ids"].shape[1], dtype=torch.bool).tril()
        batch["mask"] = see.repeat(len(rows), 1, 1, 1)
        for number, (start, end, last) in enumerate(spans):
            batch["mask"][number, 0, end:last, start:end] = False
        for column, values in zip(("row", "from", "token"), zip(*flat, strict=True), strict=True):
            batch[f"negative_{column}"] = torch.tensor(values)
    counts = [sum(label != IGNORED for label in row["labels"]) for row in rows]
    before = [0, *accumulate(counts)]
    batch["copied_index"] = torch.tensor(
        [before[n] + t for n, row in enumerate(rows) for t in row["copied_at"]], dtype=torch.long
    )
    batch["copied_token"] = torch.tensor([token for row in rows for token in row["copied"]], dtype=torch.long)
    longest = max(len(row["source"]) for row in rows)
    batch["source_ids"] = torch.tensor([row["source"] + [pad] * (longest - len(row["source"])) for row in rows])
    # the first token of a text is what attention rests on; its state says nothing of the text (Xiao et al. 2023, arXiv:2309.17453)
    batch["source_mask"] = torch.tensor(
        [[0 < i < len(row["source"]) or len(row["source"]) == 1 == i + 1 for i in range(longest)] for row in rows]
    )
    return batch
