"""Supervised fine-tuning of a LoRA adapter with TRL's SFTTrainer: loss on every assistant turn, and on nothing else.

Two things are done once here that the trainer would do for every example: the tokens that all prompts of a batch begin with (system
prompt, template) go through the model once a batch, and logits are computed where a label is, not for the whole vocabulary × sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from train import dev, distributed, engines, estimate, methods, network
from train.checkpoints import steps_done
from train.data import IGNORED, Tokenized, collate, fitting, in_training_order, packed, tokenize
from train.methods import Job, Trained
from train.trainer import arguments, run
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
    best = dev.Best(job, model, tokenizer) if recipe.run.keep == "best" else None
    if best:
        trainer.add_callback(best.callback())
    log = run(trainer, job, steps)
    if best:
        best.restore()
    return Trained(
        save=lambda path: network.save(model, tokenizer, recipe, job.base, path),
        log=best.with_scores(log) if best else log,
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
    """SFTTrainer with the model's own loss and a sampler that keeps the given order. A function, because TRL is imported late."""
    from torch.utils.data import SequentialSampler
    from trl import SFTTrainer

    class Trainer(SFTTrainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            rows: Any = train_dataset if train_dataset is not None else self.train_dataset
            return SequentialSampler(rows)

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


def completion_loss(model: Any, batch: dict[str, Any], items: Any = None, *, share: bool = True) -> Any:
    """Cross entropy in nats over the labelled tokens of a right-padded batch (`input_ids`, `labels` int64 `[B, T]`), a mean over `items`.

    `items` is the number of labelled tokens in the whole step, by default those of this batch. Equal to the model's own loss with full
    logits; `model` is a PEFT causal LM with the usual `model` and `lm_head` inside. `share` sends what all rows begin with through once.
    """
    import torch

    labels = batch["labels"]
    states, shared = hidden_states(model, batch, share=share)
    wanted = labels[:, shared + 1 :]
    keep = wanted != IGNORED
    logits = model.get_base_model().lm_head(states[:, :-1][keep]).float()
    total = torch.nn.functional.cross_entropy(logits, wanted[keep], reduction="sum")
    return total / (keep.sum() if items is None else items)


def hidden_states(model: Any, batch: dict[str, Any], *, share: bool = True, mask: Any = None) -> tuple[Any, int]:
    """Last hidden states `[B, T - shared, d]` of a right-padded batch, behind the `shared` columns that all rows begin with.

    With `position_ids` a row holds several texts, each blind to the others: by its positions alone (nothing is shared then), or by `mask`,
    `[B, 1, T, T]`, added to the attention's scores.
    """
    from transformers import DynamicCache

    ids, positions = batch["input_ids"], batch.get("position_ids")
    causal = model.get_base_model()
    # recomputed layers keep no cache (`GradientCheckpointingLayer` drops it with a warning): the prefix would be lost to all rows
    share = share and (positions is None or mask is not None) and not causal.is_gradient_checkpointing
    shared = _shared_prefix(ids, batch["labels"]) if share else 0
    cache: Any = None
    if shared:
        cache = DynamicCache()
        causal.model(input_ids=ids[:1, :shared], past_key_values=cache, use_cache=True)
        for layer in cache.layers:
            layer.keys = layer.keys.expand(len(ids), -1, -1, -1)
            layer.values = layer.values.expand(len(ids), -1, -1, -1)
    out = causal.model(
        input_ids=ids[:, shared:],
        position_ids=None if positions is None else positions[:, shared:],
        attention_mask=None if mask is None else mask[:, :, shared:],
        past_key_values=cache,
        use_cache=shared > 0,
    )
    return out.last_hidden_state, shared


MEASURED = completion_loss
"""What `train.probe` times: the same, whatever takes its place in a run."""


def _shared_prefix(ids: Any, labels: Any) -> int:
    """Leading columns that are equal in all rows and carry no loss, less one: the first labelled token needs a hidden state before it."""
    same = ((ids == ids[:1]).all(dim=0) & (labels == IGNORED).all(dim=0)).long()
    return max(int(same.cumprod(dim=0).sum()) - 1, 0) if len(ids) > 1 else 0
