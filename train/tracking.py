"""Where the curves go beside the artifact's pictures: TensorBoard (local), Trackio or Weights & Biases, by the recipe's `run.track`.

A run that was interrupted continues its own curves: the points after the checkpoint it continues from are drawn once, not twice.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from train import distributed
from train.checkpoints import steps_done
from truemark.errors import MissingDependency
from truemark.files import write_text
from truemark.recipe import Recipe

RUN = "track"
"""Holds the run's id at the tracker; it lives as long as the work directory."""


def prepare(recipe: Recipe, out: Path, work: Path) -> None:
    """Tell the recipe's tracker where it writes. Raises MissingDependency when it is not installed."""
    tracker = recipe.run.track
    if tracker == "none":
        return
    if importlib.util.find_spec(tracker) is None:
        raise MissingDependency(
            f"run.track: {tracker} is not installed",
            mend=f"pip install {tracker}, or truemark train … --set run.track=none",
        )
    if tracker == "tensorboard":
        place = out.parent / "tensorboard" / out.name
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(place)
        if not steps_done(work) and distributed.main():
            shutil.rmtree(place, ignore_errors=True)  # another run's curves
        return
    if not (work / RUN).is_file() and distributed.main():
        write_text(work / RUN, uuid.uuid4().hex[:8])
    distributed.wait()
    os.environ.setdefault("WANDB_PROJECT" if tracker == "wandb" else "TRACKIO_PROJECT", "truemark")
    if tracker == "wandb":
        os.environ |= {"WANDB_RUN_ID": (work / RUN).read_text(), "WANDB_RESUME": "allow"}


def name(recipe: Recipe, work: Path) -> str:
    """The run's name at the tracker; Trackio finds a run to go on with by it."""
    path = work / RUN
    return f"{recipe.name}-{path.read_text()}" if path.is_file() else recipe.name


def continue_curves(trainer: Any, done: int) -> None:
    """Have TensorBoard drop the points after step `done` that the interrupted run had drawn."""
    from transformers.integrations import TensorBoardCallback

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and done and distributed.main():
            from torch.utils.tensorboard import SummaryWriter

            callback.tb_writer = SummaryWriter(log_dir=callback.logging_dir, purge_step=done + 1)
