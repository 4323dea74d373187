"""Supervised fine-tuning of a LoRA adapter with TRL's SFTTrainer.

Two things are done once here that the trainer would do for every example: the tokens that all prompts of a batch begin with (system
prompt, template) go through the model once a batch, and logits are computed where a label is, not for the whole vocabulary × sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from train.data import IGNORED, Tokenized, collate
from train.recipe import Recipe
from truemark import chat, compute
from truemark.console import say
from truemark.errors import TruemarkError
from truemark.models import ModelRef

COMPLETE = "complete"
"""Marker written last into a checkpoint: one without it was cut off while it was saved."""


def load_tokenizer(base: ModelRef, system_prompt: str) -> Any:
    """The base's tokenizer with the domain's system prompt in its chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.local_path(), trust_remote_code=False)
    tokenizer.chat_template = chat.with_default_system(chat.read_template(base.local_path()), system_prompt)
    return tokenizer


def train(
    recipe: Recipe,
    base: ModelRef,
    ordered: list[Tokenized],
    tokenizer: Any,
    work: Path,
    on_step: Callable[[int, float], None],
) -> tuple[Any, list[dict[str, float]]]:
    """Run the recipe over `ordered` (steps × batch_size examples), continuing from the last whole checkpoint in `work`.

    Returns the PEFT model and the log: one dict a step with loss, learning_rate, grad_norm. `on_step(step, loss)` is called after
    each. Raises TruemarkError when the loss is not finite.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, PrinterCallback, set_seed

    compute.prepare()
    device = compute.device()
    dtype = compute.training_dtype(device)
    say(f"training on {device} in {str(dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads")
    set_seed(recipe.seed)
    model: Any = AutoModelForCausalLM.from_pretrained(base.local_path(), dtype=dtype, trust_remote_code=False)
    lora = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=recipe.target_modules,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, lora)
    rows = Dataset.from_list([{"input_ids": example.ids, "labels": example.labels} for example in ordered])
    trainer = _trainer_class()(
        model=model,
        args=_arguments(recipe, work),
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=partial(collate, pad=tokenizer.pad_token_id or 0),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_callback(on_step))
    trainer.train(resume_from_checkpoint=last_checkpoint(work))
    return model, [entry for entry in trainer.state.log_history if "loss" in entry]


def last_checkpoint(work: Path) -> str | None:
    """The newest checkpoint that was saved whole, or None."""
    whole = [path for path in work.glob("checkpoint-*") if (path / COMPLETE).is_file()]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _arguments(recipe: Recipe, work: Path) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(work),
        per_device_train_batch_size=recipe.batch_size,
        max_steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.05},
        weight_decay=0.0,
        adam_beta2=0.99,
        max_grad_norm=1.0,
        seed=recipe.seed,
        data_seed=recipe.seed,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=2,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        gradient_checkpointing=False,
        bf16=False,
        fp16=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=compute.device() == "cuda",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
        packing=False,
        logging_nan_inf_filter=False,
    )


def _trainer_class() -> Any:
    """SFTTrainer with our loss and a sampler that keeps the given order. A function, because TRL is imported late."""
    from torch.utils.data import SequentialSampler
    from trl import SFTTrainer

    class Trainer(SFTTrainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            rows: Any = train_dataset if train_dataset is not None else self.train_dataset
            return SequentialSampler(rows)

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss = completion_loss(self.accelerator.unwrap_model(model), inputs["input_ids"], inputs["labels"])
            if not loss.isfinite():
                raise TruemarkError(
                    f"the loss at step {self.state.global_step + 1} is {loss.item()}",
                    mend="lower learning_rate in the recipe, or look for broken examples in that batch",
                )
            return (loss, None) if return_outputs else loss

    return Trainer


def completion_loss(model: Any, ids: Any, labels: Any) -> Any:
    """Mean cross entropy in nats over the labelled tokens of a right-padded batch (`ids`, `labels` int64 `[B, T]`).

    Equal to the model's own loss with full logits; `model` is a PEFT causal LM with the usual `model` and `lm_head` inside.
    """
    import torch
    from transformers import DynamicCache

    causal = model.get_base_model()
    shared = _shared_prefix(ids, labels)
    cache: Any = None
    if shared:
        cache = DynamicCache()
        causal.model(input_ids=ids[:1, :shared], past_key_values=cache, use_cache=True)
        for layer in cache.layers:
            layer.keys = layer.keys.expand(len(ids), -1, -1, -1)
            layer.values = layer.values.expand(len(ids), -1, -1, -1)
    hidden = causal.model(input_ids=ids[:, shared:], past_key_values=cache, use_cache=shared > 0).last_hidden_state[
        :, :-1
    ]
    wanted = labels[:, shared + 1 :]
    keep = wanted != IGNORED
    return torch.nn.functional.cross_entropy(causal.lm_head(hidden[keep]).float(), wanted[keep])


def _shared_prefix(ids: Any, labels: Any) -> int:
    """Leading columns that are equal in all rows and carry no loss, less one: the first labelled token needs a hidden state before it."""
    same = ((ids == ids[:1]).all(dim=0) & (labels == IGNORED).all(dim=0)).long()
    return max(int(same.cumprod(dim=0).sum()) - 1, 0) if len(ids) > 1 else 0


def _callback(on_step: Callable[[int, float], None]) -> Any:
    from transformers import TrainerCallback

    class Report(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                on_step(state.global_step, logs["loss"])

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()

    return Report()
