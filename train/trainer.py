"""What every trainer of transformers and TRL is told here: its arguments, which checkpoints count, and how it reports."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from train import distributed, estimate, failures, tracking
from train.checkpoints import COMPLETE, last_checkpoint, steps_done
from train.methods import Job
from truemark import compute
from truemark.console import progress
from truemark.recipe import Recipe


def run(trainer: Any, job: Job, steps: int) -> list[dict[str, float]]:
    """Train, from the last whole checkpoint where there is one; returns the log, one entry a step."""
    from transformers import PrinterCallback

    distributed.shard_on_cpu(trainer)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(failures.watch(trainer))
    trainer.add_callback(estimate.pace(job.recipe, job.work))
    tracking.continue_curves(trainer, steps_done(job.work))
    with progress(f"train {job.recipe.name}", total=steps) as advance:
        trainer.add_callback(_callback(advance))
        trainer.train(resume_from_checkpoint=last_checkpoint(job.work))
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def in_order(kind: Any) -> Any:
    """A trainer class of transformers or TRL that takes its rows in the order they were laid out in."""
    from torch.utils.data import SequentialSampler

    class InOrder(kind):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    return InOrder


def arguments(recipe: Recipe, steps: int, work: Path) -> dict[str, Any]:
    """What every trainer of transformers is told: the fields of TrainingArguments that a recipe decides."""
    schedules: dict[str, dict[str, Any]] = {
        "cosine": {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.05}},
        "linear": {"lr_scheduler_type": "linear"},
        "constant": {"lr_scheduler_type": "constant_with_warmup"},
    }
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": distributed.rows_each(recipe),
        "gradient_accumulation_steps": recipe.optim.accumulate,
        "max_steps": steps,
        "learning_rate": recipe.optim.learning_rate,
        "warmup_steps": recipe.optim.warmup_steps,
        **schedules[recipe.optim.schedule],
        "weight_decay": recipe.optim.weight_decay,
        "adam_beta2": 0.99,
        "max_grad_norm": recipe.optim.max_grad_norm,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "save_strategy": "steps",
        "save_steps": recipe.run.save_every,
        "save_total_limit": 2,
        "logging_steps": 1,
        "report_to": recipe.run.track,
        "run_name": tracking.name(recipe, work),
        "disable_tqdm": True,
        "gradient_checkpointing": recipe.run.gradient_checkpointing,
        "bf16": False,  # the weights are in the number type that was chosen; no autocast on top
        "fp16": False,
        "use_cpu": compute.device() == "cpu",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": compute.device() == "cuda",
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
    }


def _callback(advance: Any) -> Any:
    from transformers import TrainerCallback

    class Report(TrainerCallback):
        reached = 0

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                advance(state.global_step - self.reached, f"loss {logs['loss']:.3f}")
                self.reached = state.global_step

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            distributed.wait()
            if distributed.main():
                # TRL's frozen reference adapter is saved as a folder beside the trained one; where transformers finds folders it loads them
                # alone (Trainer._load_from_checkpoint), and a resumed run would go on from fresh weights. It is made from `start` each time.
                shutil.rmtree(checkpoint / "ref", ignore_errors=True)
                (checkpoint / COMPLETE).touch()

    return Report()
