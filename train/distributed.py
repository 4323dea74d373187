"""Training over several devices or machines, as one of the processes that `accelerate launch` starts.

    accelerate launch --config_file train/accelerate/fsdp.yaml -m truemark train RECIPE
    truemark train RECIPE --launch fsdp --processes 8          the same

FSDP2 (https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html) and DeepSpeed ZeRO wrap the model: its weights are whole only
while the wrapper's own forward runs. So a loss that looks inside the model is made that forward (`loss_as_forward`), and weights are
gathered from all processes before the main one writes them (`whole`). All processes run the same code; what only the main one may do asks `main()`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from truemark import compute
from truemark.errors import InvalidConfig, MissingDependency, TruemarkError, UnknownName
from truemark.recipe import Recipe
from truemark.settings import main_process as main
from truemark.settings import processes

__all__ = [
    "configs",
    "join",
    "launch",
    "loss_as_forward",
    "main",
    "processes",
    "rows_each",
    "shard_on_cpu",
    "shards",
    "wait",
    "whole",
]

CONFIGS = Path(__file__).parent / "accelerate"


def configs() -> list[str]:
    """Names of the shipped accelerate configurations."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def launch(config: str, arguments: Sequence[str], count: int | None = None) -> int:
    """`accelerate launch` of `truemark train` with these arguments; returns its exit code.

    Raises UnknownName for a configuration that is not shipped (a user's own is given to `accelerate launch` itself), MissingDependency for
    ZeRO without DeepSpeed.
    """
    if config not in configs():
        raise UnknownName("accelerate configuration", config, configs())
    if config.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        raise MissingDependency("'deepspeed' is not installed", mend="pip install deepspeed, or --launch fsdp")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / f"{config}.yaml")]
    if count is not None:
        command += ["--num_processes", str(count)]
    # the processes share the cores: without a number, accelerate gives each one thread and warns of it
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.run(
        [*command, "-m", "truemark", "train", *arguments], env={**os.environ, **threads}, check=False
    ).returncode


def join() -> None:
    """Meet the other processes, where there are any: before the first thing that one of them does for all."""
    if processes() > 1:
        from accelerate import PartialState

        PartialState(cpu=compute.device() == "cpu")


def shard_on_cpu(trainer: Any) -> None:
    """FSDP over processes on a CPU: PyTorch does it over gloo, but accelerate 1.15 turns it on for accelerators alone (state.py) and would run DDP."""
    if processes() == 1 or compute.device() != "cpu" or os.environ.get("ACCELERATE_USE_FSDP") != "true":
        return
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    state = trainer.accelerator.state
    state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, FullyShardedDataParallelPlugin()
    trainer.is_fsdp_enabled = True


def wait() -> None:
    """Until all processes are here."""
    if processes() > 1:
        import torch.distributed

        torch.distributed.barrier()


def rows_each(recipe: Recipe) -> int:
    """Rows of one device in one part of a step: `batch_size` is over all devices and parts. Raises InvalidConfig when it does not divide."""
    count = processes()
    parts = count * recipe.optim.accumulate
    if recipe.optim.batch_size % parts:
        raise InvalidConfig(
            f"optim.batch_size {recipe.optim.batch_size} is over all devices: it is not a multiple of {count} processes × "
            f"accumulate {recipe.optim.accumulate}",
            mend=f"--set optim.batch_size={-(-recipe.optim.batch_size // parts) * parts}",
        )
    return recipe.optim.batch_size // parts


def shards() -> int:
    """Into how many parts the base's weights are split."""
    whole = os.environ.get("ACCELERATE_USE_FSDP") != "true" and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") != "3"
    return 1 if whole else processes()


def loss_as_forward(model: Any, loss: Callable[[Any, dict[str, Any], Any], Any]) -> None:
    """Make `model(batch=…, items=…)` compute `loss(model, batch, items)`, so that a wrapper's hooks run around all of it.

    Called past the wrapper, DDP would never average gradients and a sharded module would see a part of its weights. Other calls of the
    model are as before; `generate` goes through the base model.
    """
    plain = model.forward

    def forward(*arguments: Any, batch: Any = None, items: Any = None, **options: Any) -> Any:
        return plain(*arguments, **options) if batch is None else loss(model, batch, items)

    model.forward = forward


def whole(model: Any) -> dict[str, Any]:
    """The model's `state_dict()`; of one that several processes train the adapter's entries, gathered on the CPU.

    All processes must call it. Embeddings are among them: a grown vocabulary is saved whole. Raises TruemarkError under FSDP version 1.
    """
    if processes() == 1:
        return dict(model.state_dict())
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        raise TruemarkError(
            "the weights are split by FSDP version 1", mend=f"use {CONFIGS / 'fsdp.yaml'}: fsdp_version: 2"
        )
    wanted = {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.requires_grad}
    embeddings = {id(layer.weight) for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer}
    wanted |= {
        name for name, parameter in model.named_parameters(remove_duplicate=False) if id(parameter) in embeddings
    }
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name not in wanted:
            continue
        if isinstance(tensor, DTensor):
            found[name] = tensor.full_tensor().detach().cpu()
        elif hasattr(tensor, "ds_id"):  # DeepSpeed ZeRO-3
            import deepspeed

            with deepspeed.zero.GatheredParameters([tensor]):
                found[name] = tensor.detach().cpu().clone()
        else:
            found[name] = tensor.detach().cpu()
    return found
