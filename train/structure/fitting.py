"""Training of any module with transformers' Trainer, as every other method here is trained: checkpoints, resumption, curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from train.methods import Job
from train.trainer import arguments, in_order, run

Losses = Callable[[Any, dict[str, Any]], Any]
"""(model, batch) → the loss of each labelled item of the batch, float [items]."""


def fit(job: Job, model: Any, rows: Sequence[Any], steps: int, collate: Callable[..., Any], losses: Losses) -> list[dict[str, float]]:  # fmt: skip
    """Train on `rows` in their order, `batch_size` a step; a batch's column `labels` is -100 where there is no label.

    The loss is the mean over the labelled items of a step. Raises TruemarkError when it is not finite, with the batch's `names`.
    """
    from transformers import Trainer as Base
    from transformers import TrainingArguments

    class Trainer(in_order(Base)):  # type: ignore[misc]
        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            found = losses(model, {key: value for key, value in inputs.items() if key != "names"})
            value = found.sum() / (max(found.numel(), 1) if num_items_in_batch is None else num_items_in_batch)
            return (value, None) if return_outputs else value

    trainer = Trainer(
        model=model,
        args=TrainingArguments(**arguments(job.recipe, steps, job.work)),
        train_dataset=list(rows),
        data_collator=collate,
    )
    trainer.model_accepts_loss_kwargs = True  # the parts of a step are divided by the items of the whole step
    return run(trainer, job, steps)


def laid_out(count: int, batch: int, steps: int, seed: int) -> list[int]:
    """Indices of `steps` batches end to end: one shuffled pass after the other."""
    import random

    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < batch * steps:
        order += rng.sample(range(count), count)
    return order[: batch * steps]
