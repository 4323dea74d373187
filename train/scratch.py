"""A small transformer from scratch whose tokens know their place in the mathematics, or, for comparison, do not.

`options.features` adds to each token's embedding those of its role, depth, operand and side (`structure.places`): in the question from its
parse, in the answer from what has been written so far. Everything else is equal: data, order, seed, and the first weights, for the tables
of places begin at zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from train import methods
from train.data import IGNORED, Tokenized, fitting, in_training_order
from train.methods import Job, Trained
from train.structure import places
from train.structure.changes import conversation
from train.structure.fitting import fit
from train.structure.transformer import Shape, network
from train.structure.vocabulary import ANSWER, END, PAD, QUESTION, SPECIAL, Vocabulary
from truemark import compute
from truemark.errors import InvalidArtifact, InvalidConfig
from truemark.files import write_json, write_text

DATA = "train.jsonl"
FORMAT = "scratch"
WEIGHTS = "model.safetensors"
MAX_TOKENS = 256
"""Of an answer."""


class Options(methods.Options):
    """The network's."""

    features: bool = True
    """Whether tokens know their place; `false` is the ablation."""
    width: int = Field(192, ge=16, le=2048, multiple_of=16)
    layers: int = Field(4, ge=1, le=48)
    heads: int = Field(6, ge=1, le=64)


def train(job: Job) -> Trained:
    """Train on the job's rows. Raises InvalidData for rows without question and answer, InvalidConfig for a shape that cannot be."""
    from transformers import set_seed

    recipe, options = job.recipe, job.options(Options)
    if options.width % (2 * options.heads):
        raise InvalidConfig(f"options.width {options.width} is not a multiple of 2 × options.heads = {2 * options.heads}")  # fmt: skip
    compute.prepare()
    texts = [conversation(row, number) for number, row in enumerate(job.rows, 1)]
    vocabulary = Vocabulary.of(text for pair in texts for text in pair)
    prepared = [_whole(vocabulary, question, answer) for question, answer in texts]
    levels = [str((row.get("meta") or {}).get("level", "")) for row in job.rows]
    examples = fitting(
        [Tokenized(ids, labels, str(index), level=levels[index]) for index, (ids, labels, _) in enumerate(prepared)],
        recipe.data.max_length,
    )
    batch = recipe.optim.batch_size
    steps = recipe.optim.steps if recipe.optim.epochs is None else math.ceil(recipe.optim.epochs * len(examples) / batch)  # fmt: skip
    order = job.domain.LEVELS if recipe.data.order == "curriculum" else ()
    ordered = [int(row.name) for row in in_training_order(examples, batch, steps, recipe.seed, list(order))]
    set_seed(recipe.seed)
    shape = Shape(vocabulary=len(vocabulary), **options.model_dump())
    model = network()(shape)

    def collate(indices: Sequence[int]) -> dict[str, Any]:
        names = [str(job.rows[index].get("id", index + 1)) for index in indices]
        return {**_padded([prepared[index] for index in indices]), "names": names}

    log = fit(job, model, ordered, steps, collate, lambda model, columns: model(**columns))
    return Trained(
        save=lambda path: save(model, shape, vocabulary, path),
        log=log,
        report={
            "examples": len(ordered),
            "tokens": sum(len(prepared[index][0]) for index in ordered),
            "loss_tokens": sum(label != IGNORED for index in ordered for label in prepared[index][1]),
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "vocabulary": len(vocabulary),
        },
        kind="model",
        format=FORMAT,
    )


Encoded = tuple[list[int], list[int], list[places.Place]]
"""Ids, labels (IGNORED outside the answer) and places of one conversation."""


def prompt(vocabulary: Vocabulary, question: str) -> tuple[list[int], list[places.Place]]:
    """Ids and places of a question, up to where the answer begins."""
    spans = vocabulary.pieces(question)
    ids = [QUESTION, *vocabulary.encode(piece for _, piece in spans), ANSWER]
    return ids, [places.NOWHERE, *places.of_question(question, spans), places.NOWHERE]


def _whole(vocabulary: Vocabulary, question: str, answer: str) -> Encoded:
    ids, known = prompt(vocabulary, question)
    pieces = [piece for _, piece in vocabulary.pieces(answer)]
    written = [*vocabulary.encode(pieces), END]
    return [*ids, *written], [*[IGNORED] * len(ids), *written], [*known, *places.of_answer(pieces), places.NOWHERE]


def _padded(rows: Sequence[Encoded]) -> dict[str, Any]:
    """`ids`, `labels` [B, T] and `places` [B, T, 4], int64, padded on the right, where nothing attends to it."""
    import torch

    length = max(len(ids) for ids, _, _ in rows)
    gaps = [length - len(ids) for ids, _, _ in rows]
    return {
        "ids": torch.tensor([ids + [PAD] * gap for (ids, _, _), gap in zip(rows, gaps, strict=True)]),
        "labels": torch.tensor([labels + [IGNORED] * gap for (_, labels, _), gap in zip(rows, gaps, strict=True)]),
        "places": torch.tensor([known + [places.NOWHERE] * gap for (_, _, known), gap in zip(rows, gaps, strict=True)]),
    }


# the artifact -----------------------------------------------------------------------------------------------------------------


def save(model: Any, shape: Shape, vocabulary: Vocabulary, path: Path) -> None:
    """Weights, shape and tokens, into a directory."""
    import json

    from safetensors.torch import save_file

    from train import distributed
    from train.structure.vocabulary import FILE

    if not distributed.main():
        return
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, path / WEIGHTS)
    write_json(path / "config.json", shape.model_dump())
    write_text(path / FILE, json.dumps(vocabulary.tokens) + "\n")
    (path / "README.md").write_text(
        "# A transformer from scratch\n\nMade by Truemark; it stands on no base. `train.scratch.answer(path, question)` asks it.\n",
        encoding="utf-8",
    )


Written = tuple[list[int], bool]
"""Ids of an answer, and whether it came to its end."""


class Model:
    """A trained one, ready to answer."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidArtifact when the files are not there or do not fit each other."""
        from pydantic import ValidationError
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        compute.prepare()
        self.vocabulary = Vocabulary.load(path)
        try:
            shape = Shape.model_validate_json((path / "config.json").read_bytes())
            self.model: Any = network()(shape)
            self.model.load_state_dict(load_file(path / WEIGHTS))
        except (OSError, ValidationError, SafetensorError, RuntimeError, ValueError) as error:
            raise InvalidArtifact(f"{path} is not a model of this program: {str(error)[:200]}", mend="train it again") from None  # fmt: skip
        if shape.vocabulary != len(self.vocabulary):
            raise InvalidArtifact(f"{path}: {shape.vocabulary} embeddings, {len(self.vocabulary)} tokens", mend="train it again")  # fmt: skip
        self.model.eval()

    def answers(self, questions: Sequence[str], *, max_tokens: int = MAX_TOKENS, batch: int = 64) -> list[str]:
        """The most probable answer to each question, token by token."""
        return [self.vocabulary.decode(ids) for ids, _ in self.written(questions, max_tokens=max_tokens, batch=batch)]

    def written(self, questions: Sequence[str], *, max_tokens: int = MAX_TOKENS, batch: int = 64) -> list[Written]:
        """The same as ids, each with whether it came to its end within `max_tokens`."""
        prompts = [prompt(self.vocabulary, question) for question in questions]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index][0]))  # of like length in one batch
        found: list[Written] = [([], False)] * len(questions)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            for index, one in zip(chosen, self._greedy([prompts[index] for index in chosen], max_tokens), strict=True):
                found[index] = one
        return found

    def _greedy(self, prompts: Sequence[tuple[list[int], list[places.Place]]], max_tokens: int) -> list[Written]:
        """Prompts are padded on the left, where the mask hides it; rotary positions are relative, so a shift changes nothing."""
        import torch

        length = max(len(ids) for ids, _ in prompts)
        gaps = [length - len(ids) for ids, _ in prompts]
        ids = torch.tensor([[PAD] * gap + row for (row, _), gap in zip(prompts, gaps, strict=True)])
        known = torch.tensor([[places.NOWHERE] * gap + row for (_, row), gap in zip(prompts, gaps, strict=True)])
        seen = torch.arange(length)[None] >= torch.tensor(gaps)[:, None]  # [B, T]: what is no padding
        mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None] & seen[:, None, None]
        mask |= torch.eye(length, dtype=torch.bool)  # padding sees itself, so that its softmax is a number
        scanners = [places.Scanner() for _ in prompts]
        written: list[list[int]] = [[] for _ in prompts]
        open_rows = set(range(len(prompts)))
        caches: list[Any] = [[] for _ in self.model.blocks]
        start = 0
        with torch.no_grad():
            for _ in range(max_tokens):
                state = self.model.hidden(ids, known, start, mask, caches)[:, -1]
                start += ids.shape[1]
                scores = self.model.head(state)
                scores[:, [token for token in range(len(SPECIAL)) if token != END]] = -torch.inf
                chosen = scores.argmax(dim=1).tolist()
                for row in list(open_rows):
                    if chosen[row] == END:
                        open_rows.discard(row)
                    else:
                        written[row].append(chosen[row])
                if not open_rows:
                    break
                ids = torch.tensor(chosen)[:, None]
                pieces = [self.vocabulary.tokens[token] if token >= len(SPECIAL) else "\n" for token in chosen]
                known = torch.tensor([[scanner.feed(piece)] for scanner, piece in zip(scanners, pieces, strict=True)])
                seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
                mask = seen[:, None, None]
        return [(ids, row not in open_rows) for row, ids in enumerate(written)]


def answer(path: Path | str, question: str) -> str:
    """The answer of a published model to one question. Raises InvalidArtifact for an artifact of another kind or a broken one."""
    from truemark import artifacts

    artifact = artifacts.open_artifact(Path(path))
    if artifact.manifest.format != FORMAT:
        raise InvalidArtifact(f"{path}: expected a model of format {FORMAT}, found {artifact.manifest.kind} of format {artifact.manifest.format}", mend="truemark train math-scratch")  # fmt: skip
    return Model(artifact.path).answers([question])[0]
