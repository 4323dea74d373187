"""Supervised fine-tuning of a LoRA adapter with TRL's SFTTrainer: loss on every assistant turn, and on nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from train import dev, distributed, engines, estimate, methods, network
from train.checkpoints import steps_done
from train.data import IGNORED, Tokenized, collate, fitting, in_training_order, packed, tokenize
from train.loss import completion_loss
from train.methods import Job, Trained
from train.trainer import arguments, in_order
from truemark.errors import InvalidConfig
from truemark.recipe import Recipe

DATA = "train.jsonl"
Options = methods.Options

Loss = Callable[[Any, dict[str, Any], Any], Any]
"""(model, batch, labelled tokens in the whole step or None) → scalar: their mean, so that the parts of a step add up to it.

Or `(scalar, {name: scalar})`: what it is made of, which the log gets as `loss_NAME`.
"""


def train(job: Job) -> Trained:
    """Run the recipe over the job's rows, continuing from the last whole checkpoint in its work directory.

    Raises InvalidData for rows that cannot be trained on, TruemarkError when the loss or the gradient is not finite.
    """
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, job.recipe.data.special_tokens)
    ordered, steps = lay_out(job, tokenize(job.rows, tokenizer))
    if job.recipe.run.engine == "mlx":
        from train import mlx

        return mlx.fit(job, ordered, steps, tokenizer)
    return fit(job, ordered, steps, tokenizer)


def lay_out(job: Job, examples: Sequence[Tokenized]) -> tuple[list[Tokenized], int]:
    """The rows of all steps in order, and the number of steps. Raises InvalidConfig for packing without a length."""
    recipe = job.recipe
    chosen = fitting(examples, recipe.data.max_length)
    if recipe.data.packing:
        if recipe.data.max_length is None:
            raise InvalidConfig("data.packing needs data.max_length, the length of a packed row in tokens")
        chosen = packed(chosen, recipe.data.max_length)
    batch = recipe.optim.batch_size
    steps = recipe.optim.steps if recipe.optim.epochs is None else math.ceil(recipe.optim.epochs * len(chosen) / batch)
    levels = list(job.domain.LEVELS) if recipe.data.order == "curriculum" else []
    return in_training_order(chosen, batch, steps, recipe.seed, levels), steps


def fit(
    job: Job,
    ordered: Sequence[Tokenized],
    steps: int,
    tokenizer: Any,
    loss: Loss | None = None,
    *,
    more: dict[str, list[Any]] | None = None,
    collator: Callable[..., dict[str, Any]] = collate,
) -> Trained:
    """Train on `ordered` (steps × batch_size rows) with `loss`, by default the cross entropy of the labelled tokens.

    `more` is further columns, one value a row, for a `collator(rows, pad=…)` that knows them.
    """
    from datasets import Dataset

    recipe = job.recipe
    estimate.announce(recipe, job.base.local_path(), ordered, steps, job.work, done=steps_done(job.work))
    model = network.load(recipe, job.base, tokenizer, job.start)
    if loss is None:
        loss = engines.unsloth_loss if engines.unsloth(recipe) else partial(completion_loss, share=can_share(recipe))
    columns = {
        "input_ids": [row.ids for row in ordered],
        "labels": [row.labels for row in ordered],
        "name": [row.name for row in ordered],
        **(more or {}),
    }
    if ordered[0].positions is not None:
        columns["position_ids"] = [row.positions for row in ordered]
    distributed.loss_as_forward(model, loss)
    trainer = _trainer_class()(
        model=model,
        args=_arguments(recipe, steps, job.work),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
        data_collator=partial(collator, pad=tokenizer.pad_token_id or 0),
    )
    log = dev.run(trainer, job, steps, model, tokenizer)
    return Trained(
        save=lambda path: network.save(model, tokenizer, recipe, job.base, path),
        log=log,
        report={
            "examples": len(ordered),
            "tokens": sum(len(row.ids) for row in ordered),
            "loss_tokens": sum(label != IGNORED for row in ordered for label in row.labels),
        },
    )


def can_share(recipe: Recipe) -> bool:
    """Whether what all rows begin with may go through once: not under noise of its own per row, nor where processes must keep step.

    What a batch shares differs between processes, and a model that is split among them goes through its layers with all of them.
    """
    return recipe.optim.neftune is None and distributed.processes() == 1


def _arguments(recipe: Recipe, steps: int, work: Path) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        **arguments(recipe, steps, work),
        neftune_noise_alpha=recipe.optim.neftune,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
    )


def _trainer_class() -> Any:
    """SFTTrainer with the model's own loss and the rows in the order given. A function, because TRL is imported late."""
    from trl import SFTTrainer

    class Trainer(in_order(SFTTrainer)):  # type: ignore[misc]
        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            inputs = {key: value for key, value in inputs.items() if key != "names"}
            found = model(batch=inputs, items=num_items_in_batch)
            value, terms = found if isinstance(found, tuple) else (found, {})
            for name, term in terms.items():  # TRL logs the mean over the parts of a step; this makes it their sum
                self._metrics["train"][f"loss_{name}"].append(term.item() * self.args.gradient_accumulation_steps)
            # the processes' gradients are averaged, but `num_items_in_batch` counts the tokens of all of them
            value = value if num_items_in_batch is None else value * distributed.processes()
            return (value, None) if return_outputs else value

    return Trainer
