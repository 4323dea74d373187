"""How long a run will take and how much memory it will need, said before it starts; and how far off that was, said at its end.

Time: a few blocks of the base's shape are timed here and now on a batch of the run's own (`train/probe.py`), and multiplied out over blocks,
batches, checkpoints. Memory: what lies there (libraries, weights, adapter with gradients and AdamW's two moments), and what the largest
batch needs on top (what autograd keeps, logits where labels are). `announce` prints it; `outcome` compares.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import domains
from train import dev, distributed, methods, network, probe
from train.data import IGNORED, Tokenized, collate, tokenize
from truemark import compute, meter, models
from truemark.console import duration, say
from truemark.errors import TruemarkError
from truemark.files import read_jsonl, write_json
from truemark.recipe import Recipe

FILE = "estimate.json"
TRAINED = 16
"""Bytes a trained parameter, all in fp32: itself, its gradient, AdamW's two moments."""
CHECKPOINT = 12
"""Of those, bytes that a checkpoint holds."""
TOKENIZER = 4 << 20
"""A checkpoint's other files."""
STEP = 0.012
"""Seconds a step of the trainer's own: collating, logging, callbacks."""
CHARACTERS = 2.5
"""Of text a token, where there is no tokenizer: prose has four, formulas and programs two or three."""
FIRST = 3
"""Steps that are timed where a method's work is not known before."""
WASTE = {"cpu": 1.4}
"""What an allocator takes over what is asked for: measured for glibc's heap, whose holes between tensors are resident too."""
SETUP = 3.0
"""Seconds before the first step, beside touching the memory."""
TOUCH = 1.5e-9
"""Seconds a byte of touching memory for the first time: page faults of a virtual machine, and the base read from disk."""
BITS = {"4bit": 4.127, "8bit": 8.0}
"""Bits a quantized weight; 4-bit with its doubly quantized scales (QLoRA, section 3)."""


@dataclass(frozen=True)
class Work:
    """What is trained on, in numbers."""

    steps: int
    rows: int
    tokens: int
    loss_tokens: int
    padded: int
    """Tokens with padding, over all steps."""
    largest: int
    """Padded tokens of the largest part of a step."""
    largest_loss: int
    """Labelled tokens in the part with most of them."""
    answers: int
    """Tokens of a long answer."""


@dataclass(frozen=True)
class Estimate:
    """Of one process."""

    seconds: float
    memory: dict[str, int]
    """Bytes by what they are for; the peak is their sum."""
    work: Work
    checkpoint: int
    """Bytes of one."""
    disk: int
    """Bytes that checkpoints and the adapter will have on disk at once."""
    device: str
    precision: str
    knobs: dict[str, int] = field(default_factory=dict)
    """Peak in bytes after one change of the recipe, lowest first."""
    notes: list[str] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """Bytes."""
        return sum(self.memory.values())

    def line(self) -> str:
        """In a line, for a person."""
        return (
            f"estimate: {self.work.steps} steps, {self.work.tokens} tokens in about {duration(self.seconds)}, {size(self.peak)} of memory, "
            f"{size(self.disk)} on disk"
        )

    def table(self) -> str:
        """In lines, for a person."""
        parts = ", ".join(f"{name} {size(count)}" for name, count in self.memory.items())
        rows = [
            ("time", f"about {duration(self.seconds)} on {self.device} in {self.precision}"),
            ("memory", f"{size(self.peak)} at its peak: {parts}"),
            ("steps", f"{self.work.steps}, {self.work.rows} rows"),
            (
                "tokens",
                f"{self.work.tokens}, of which {self.work.loss_tokens} carry loss; {self.work.padded} with padding",
            ),
            ("checkpoint", f"{size(self.checkpoint)}; {size(self.disk)} of disk in all"),
            *(("less memory", f"{size(peak)} with {knob}") for knob, peak in self.knobs.items()),
            *(("note", note) for note in self.notes),
        ]
        return "\n".join(f"{name:12} {text}" for name, text in rows)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {**asdict(self), "peak": self.peak}


def size(count: float) -> str:
    """`1932735283` → `1.9 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def work_of(recipe: Recipe, rows: Sequence[Tokenized], steps: int) -> tuple[Work, list[Tokenized]]:
    """The numbers of rows in training order, and the batch whose size is the median: for one process's parts of a step."""
    each = distributed.rows_each(recipe)
    parts = [rows[i : i + each] for i in range(0, len(rows), each)][:: distributed.processes()]
    padded = [len(part) * max(len(row.ids) for row in part) for part in parts]
    labelled = [[sum(label != IGNORED for label in row.labels) for row in part] for part in parts]
    lengths = sorted(count for part in labelled for count in part)
    typical = sorted(range(len(parts)), key=padded.__getitem__)[len(parts) // 2]
    return Work(
        steps=steps,
        rows=len(rows),
        tokens=sum(len(row.ids) for row in rows),
        loss_tokens=sum(sum(label != IGNORED for label in row.labels) for row in rows),
        padded=sum(padded),
        largest=max(padded),
        largest_loss=max(map(sum, labelled)),
        answers=lengths[int(0.9 * (len(lengths) - 1))],
    ), list(parts[typical])


def estimate(recipe: Recipe, checkpoint: Path, rows: Sequence[Tokenized], steps: int) -> Estimate:
    """For `rows` in training order on the base in directory `checkpoint`, of which config.json is read. Takes a few seconds."""
    import torch
    import trl.trainer.sft_trainer  # noqa: F401 - a run has it in memory, so it is counted

    compute.prepare()
    device, dtype = compute.device(), network.precision(recipe)
    libraries = meter.now(device)
    config = probe.of_directory(checkpoint)
    counted = probe.count(config, recipe)
    work, typical = work_of(recipe, rows, steps)
    columns = [
        {"input_ids": row.ids, "labels": row.labels}
        | ({} if row.positions is None else {"position_ids": row.positions})
        for row in typical
    ]
    batch = collate(columns, pad=0)
    with torch.random.fork_rng():
        cost = probe.measure(config, recipe, batch, dtype, device)
    compute.release()
    width = dtype.itemsize
    peaks = {
        words: sum(_memory(changed, counted, cost, smaller, width, libraries).values())
        for words, changed, smaller in _changes(recipe, counted, work)
    }
    memory = _memory(recipe, counted, cost, work, width, libraries)
    saved = counted.trained * CHECKPOINT + TOKENIZER
    return Estimate(
        seconds=_seconds(recipe, counted, cost, work) + SETUP + (sum(memory.values()) - libraries) * TOUCH,
        memory=memory,
        work=work,
        checkpoint=saved,
        disk=saved * min(3, -(-steps // recipe.run.save_every)) + counted.trained * 4 + TOKENIZER,
        device=device,
        precision=str(dtype).removeprefix("torch."),
        knobs={
            words: peak
            for words, peak in sorted(peaks.items(), key=lambda item: item[1])
            if peak - libraries < 0.95 * (sum(memory.values()) - libraries)
        },
    )


def _seconds(recipe: Recipe, counted: probe.Size, cost: probe.Cost, work: Work) -> float:
    """Blocks below the adapter's lowest go forward only; with gradient checkpointing the others go forward twice."""
    trained = min(recipe.lora.top_layers or counted.blocks, counted.blocks)
    below = counted.blocks - trained
    again = trained if recipe.run.gradient_checkpointing else 0
    batches = work.padded / cost.tokens
    loss_tokens = work.loss_tokens / distributed.processes()
    seconds = batches * (trained * cost.both + (below + again) * cost.forward) + loss_tokens * cost.head
    seconds += work.steps * (counted.trained * cost.update + STEP)
    if recipe.run.keep == "best":
        asked = -(-work.steps // recipe.run.save_every) * -(-dev.EXAMPLES // 24)  # TorchRuntime answers 24 at a time
        seconds += asked * work.answers * (counted.blocks * cost.answer + 24 * cost.head / 3)
    return seconds


def _memory(
    recipe: Recipe, counted: probe.Size, cost: probe.Cost, work: Work, width: int, libraries: int
) -> dict[str, int]:
    """Bytes by what they are for, in one process."""
    split = distributed.shards()
    bits = BITS.get(recipe.run.quantize)
    # what is not quantized of a quantized base is widened to fp32 (peft.prepare_model_for_kbit_training)
    base = counted.inner * (bits / 8 if bits else width) + counted.outer * (4 if bits else width)
    trained = min(recipe.lora.top_layers or counted.blocks, counted.blocks)
    if recipe.run.gradient_checkpointing:
        kept = trained * counted.hidden * width + cost.kept
    else:
        kept = trained * cost.kept
    waste = WASTE.get(compute.device(), 1.0)
    return {
        "libraries": libraries,
        "base": int(base / split),
        "adapter": int(counted.trained * TRAINED / split),
        "activations": int(waste * work.largest * (kept + cost.kept)),  # and the block that the backward pass is in
        "logits": int(waste * work.largest_loss * counted.vocabulary * (width + 3 * 4)),
    }


def _changes(recipe: Recipe, counted: probe.Size, work: Work) -> list[tuple[str, Recipe, Work]]:
    """What would take less memory: how to say it, the recipe with it, and its work."""

    def less(part: float) -> Work:
        return Work(
            **{**asdict(work), "largest": int(work.largest * part), "largest_loss": int(work.largest_loss * part)}
        )

    def changed(section: str, **values: Any) -> Recipe:
        return recipe.model_copy(update={section: getattr(recipe, section).model_copy(update=values)})

    each = distributed.rows_each(recipe)
    found = []
    if each % 2 == 0:
        found += [
            (f"--set optim.accumulate={recipe.optim.accumulate * 2}", recipe, less(0.5)),
            (f"--set optim.batch_size={recipe.optim.batch_size // 2}", recipe, less(0.5)),
        ]
    longest = work.largest // each
    if longest >= 64:
        found.append((f"--set data.max_length={longest // 2}", recipe, less(longest // 2 / longest)))
    if not recipe.run.gradient_checkpointing:
        found.append(("--set run.gradient_checkpointing=true", changed("run", gradient_checkpointing=True), work))
    if recipe.run.quantize == "none":
        found.append(("--set run.quantize=4bit", changed("run", quantize="4bit"), work))
    top = min(recipe.lora.top_layers or counted.blocks, counted.blocks) // 2
    if top:
        found.append((f"--set lora.top_layers={top}", changed("lora", top_layers=top), work))
    return found


def dry_run(recipe: Recipe, data: Path | None) -> Estimate:
    """What a run would need, without one: nothing is downloaded, no weights are read, nothing is written.

    Raises what a run would raise before its first step, TruemarkError for a method that only its own steps can tell.
    """
    method = methods.get(recipe.method)
    domain = domains.get(recipe.domain)
    methods.read_options(recipe, method.Options)
    if not hasattr(method, "lay_out"):
        raise TruemarkError(
            f"what a {recipe.method} run takes is not known before it: its first {FIRST} steps are timed, and the estimate printed then",
            mend=f"truemark train … --dry-run estimates sft; for {recipe.method} start the run",
        )
    rows = read_jsonl(methods.data_file(recipe, data))
    notes = []
    checkpoint = models.configuration(recipe.base)
    base = models.ModelRef(recipe.base, "checkpoint", path=checkpoint)
    if (checkpoint / "tokenizer_config.json").is_file():
        tokenizer = network.load_tokenizer(base, domain.SYSTEM_PROMPT, recipe.data.special_tokens)
        examples = tokenize(rows, tokenizer)
    else:
        notes.append(f"{recipe.base} has no tokenizer here: tokens are guessed, one for {CHARACTERS} characters")
        examples = [_guessed(row, domain.SYSTEM_PROMPT) for row in rows]
    if not any(checkpoint.glob("*.safetensors")):
        notes.append(f"{recipe.base} has no weights here: truemark models pull {recipe.base}")
    ordered, steps = method.lay_out(methods.Job(recipe, domain, base, rows, [], Path()), examples)
    found = estimate(recipe, checkpoint, ordered, steps)
    out = Path("runs") / recipe.name
    if room(out) < found.disk:
        notes.append(f"only {size(room(out))} are free on the disk of {out.parent}/")
    return replace(found, notes=[network.describe(recipe), *notes])


def _guessed(row: dict[str, Any], system: str) -> Tokenized:
    """An example of as many tokens as its characters suggest; with loss on the assistant's."""
    lengths = [(m["role"] == "assistant", int(len(m["content"]) / CHARACTERS) + 4) for m in row["messages"]]
    prompt = int(len(system) / CHARACTERS) + 4
    labels = [IGNORED] * prompt + [label for is_answer, n in lengths for label in [1 if is_answer else IGNORED] * n]
    return Tokenized(
        [1] * len(labels), labels, str(row.get("id", "")), level=str((row.get("meta") or {}).get("level", ""))
    )


def announce(
    recipe: Recipe, checkpoint: Path, rows: Sequence[Tokenized], steps: int, work: Path, done: int = 0
) -> None:
    """Print the estimate of the `steps - done` steps that are left, keep it in the work directory, and start the clock."""
    found = estimate(recipe, checkpoint, rows[done * recipe.optim.batch_size :], steps - done)
    say(found.line())
    start(work, found.to_json())


def start(work: Path, values: dict[str, Any], began: float | None = None) -> None:
    """Keep an estimate (`seconds`, `peak` in bytes where it is known), and measure from now on, or since `began`."""
    if distributed.main():
        write_json(work / FILE, values | {"began": time.monotonic() if began is None else began})
    meter.reset(compute.device())


def pace(recipe: Recipe, work: Path) -> Any:
    """A callback that estimates a run of which nothing was known before: by the steps from its second to its FIRST one."""
    from transformers import TrainerCallback

    class Pace(TrainerCallback):
        began = second = 0.0
        steps = 0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.steps += 1
            now = time.monotonic()
            if self.steps == 1:
                self.second = now
            elif self.steps == FIRST and not (work / FILE).is_file():
                left = state.max_steps - state.global_step
                seconds = now - self.began + left * (now - self.second) / (FIRST - 1)
                say(f"estimate, by the first {FIRST} steps of {recipe.method}: about {duration(seconds)} in all")
                start(work, {"seconds": seconds, "by": f"the first {FIRST} steps"}, self.began)

    return Pace()


def outcome(work: Path) -> tuple[str, dict[str, Any]]:
    """What the estimate was and what came of it: in words, and for training.json. Empty where nothing was estimated."""
    path = work / FILE
    if not path.is_file():
        return "", {}
    values = json.loads(path.read_text())
    taken = time.monotonic() - values.pop("began")
    peak = meter.peak(compute.device())
    words = f"estimated {duration(values['seconds'])}", f"took {duration(taken)} ({_error(taken, values['seconds'])})"
    measured = {"seconds": round(taken, 1), "peak": peak, "seconds_error": round(taken / values["seconds"] - 1, 3)}
    if values.get("peak") and peak:
        words = (
            f"{words[0]} and {size(values['peak'])}",
            f"{words[1]} and {size(peak)} ({_error(peak, values['peak'])})",
        )
        measured["peak_error"] = round(peak / values["peak"] - 1, 3)
    return "; ".join(words), {"estimated": values, "measured": measured}


def _error(found: float, expected: float) -> str:
    return f"{100 * (found / expected - 1):+.0f} %"


def room(path: Path) -> int:
    """Bytes free where `path` will lie."""
    return shutil.disk_usage(next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())).free
