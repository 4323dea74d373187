"""What can stop a run, and what is then said: a loss that is not finite, too little memory, a full disk, Ctrl-C, SIGTERM.

None of them costs more than the steps since the last whole checkpoint, and each message names the knob or the command that mends it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train import distributed, estimate
from train.checkpoints import last_checkpoint, sweep
from truemark.console import say
from truemark.errors import StorageError, TruemarkError
from truemark.files import is_full
from truemark.recipe import Recipe

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "std::bad_alloc",
)
"""What CUDA, MPS, torch's CPU allocator and C++ say."""


@contextlib.contextmanager
def explained(recipe: Recipe, work: Path) -> Iterator[None]:
    """Turn what can stop a run into an error for its user. Raises StorageError, TruemarkError; KeyboardInterrupt for SIGTERM too."""
    try:
        with _stoppable():
            yield
    except KeyboardInterrupt:
        sweep(work)
        say(f"\nstopped: {_kept(recipe, work)}")
        raise
    except TruemarkError:
        raise
    except (
        Exception
    ) as error:  # a failed write or allocation is another class in each library: torch's, safetensors', the system's
        if is_full(error):
            sweep(work)
            raise StorageError(
                f"no space left while writing {work}: {_kept(recipe, work)}",
                mend=f"make room (df -h {work}), then the same command",
            ) from error
        if is_out_of_memory(error):
            raise out_of_memory(recipe, work) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: on a GPU, in torch's CPU allocator, in Python, in the system."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(w in str(error) for w in OUT_OF_MEMORY)
    )


def out_of_memory(recipe: Recipe, work: Path) -> TruemarkError:
    """Says which change of the recipe takes less, and what the estimate predicts for each."""
    values: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        values = json.loads((work / estimate.FILE).read_text())
    knobs = [f"{knob} ({estimate.size(peak)})" for knob, peak in (values.get("knobs") or {}).items()]
    told = f" of about {estimate.size(values['peak'])}" if values.get("peak") else ""
    return TruemarkError(
        f"out of memory: the estimate was a peak{told}" if told else "out of memory",
        mend="one of these needs less: "
        + ", ".join(
            knobs
            or [
                "--set optim.accumulate=…",
                "data.max_length",
                "run.gradient_checkpointing",
                "run.quantize",
                "lora.top_layers",
            ]
        ),
    )


def _kept(recipe: Recipe, work: Path) -> str:
    found = last_checkpoint(work)
    if found is None:
        return f"there is no checkpoint yet (run.save_every: {recipe.run.save_every}), the same command begins again"
    return f"the checkpoint of step {found.rpartition('-')[2]} is whole, the same command continues from it"


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM as Ctrl-C. Of several processes the launcher stops all: theirs is left alone."""
    if threading.current_thread() is not threading.main_thread() or distributed.processes() > 1:
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def watch(trainer: Any) -> Any:
    """A callback that stops a trainer whose loss or gradient norm is not finite, naming the examples of the step; for any trainer.

    Both numbers are the same in all processes, so all stop. It looks before a checkpoint is written: none holds such weights.
    """
    from transformers import TrainerCallback

    step = trainer.training_step
    batch: list[str] = []

    def remembered(model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        batch.extend(_names(inputs, trainer.processing_class))
        return step(model, inputs, *arguments, **options)

    trainer.training_step = remembered

    class Watch(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            batch.clear()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            for key, words in (("loss", "the loss"), ("grad_norm", "the gradient's norm")):
                value = (logs or {}).get(key)
                if value is not None and not math.isfinite(value):
                    raise TruemarkError(
                        f"{words} at step {state.global_step} is {value}; its batch is {', '.join(batch)}",
                        mend="look at these examples, or lower optim.learning_rate in the recipe",
                    )

    return Watch()


def _names(inputs: Any, tokenizer: Any) -> list[str]:
    """What the examples of a batch are called: their ids where the collator keeps them, else how they begin."""
    rows = inputs if isinstance(inputs, list) else [inputs]
    found: list[str] = []
    for row in rows:
        if not isinstance(row, dict):
            continue
        for key in ("names", "id", "prompt"):
            if row.get(key):
                found += row[key] if isinstance(row[key], list) and key == "names" else [str(row[key])[:80]]
                break
        else:
            ids = next((value for key, value in row.items() if key.endswith("input_ids")), None)
            if ids is not None:
                texts = tokenizer.batch_decode(ids[:, -48:], skip_special_tokens=True)
                found += [repr("…" + text.strip()[-80:]) for text in texts]
    return found
