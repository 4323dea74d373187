"""Training of any module with transformers' Trainer, as every other method here is trained: checkpoints, resumption, curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from train.methods import Job
from train.trainer import arguments, run
from truemark.errors import TruemarkError

Losses = Callable[[Any, dict[str, Any]], Any]
"""(model, batch) → the loss of each labelled item of the batch, float [items]."""


def fit(job: Job, model: Any, rows: Sequence[Any], steps: int, collate: Callable[..., Any], losses: Losses) -> list[dict[str, float]]:  # fmt: skip
    """Train on `rows` in their order, `batch_size` a step; a batch's column `labels` is -100 where there is no label.

    The loss is the mean over the labelled items of a step. Raises TruemarkError when it is not finite, naming `names` of the batch.
    """
    from torch.utils.data import SequentialSampler
    from transformers import Trainer as Base
    from transformers import TrainingArguments

    class Trainer(Base):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            given: Any = train_dataset if train_dataset is not None else self.train_dataset
            return SequentialSampler(given)

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            names = inputs.pop("names", [])
            found = losses(model, inputs)
            value = found.sum() / (max(found.numel(), 1) if num_items_in_batch is None else num_items_in_batch)
            if not value.isfinite():
                raise TruemarkError(
                    f"the loss at step {self.state.global_step + 1} is {value.item()}; its batch is {', '.join(names)}",
                    mend="look at these examples, or lower optim.learning_rate in the recipe",
                )
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
