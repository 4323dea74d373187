"""Supervised fine-tuning with MLX (`run.engine: mlx`): Apple's own library instead of torch, and the same PEFT adapter at the end.

mlx-lm brings the models and the LoRA layers. Its own training loop is not taken: it masks one prompt per example, where ours has loss on every
answer of a conversation, it batches in another order, and it cannot go on from where it was killed.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train import network as torch_side
from train.checkpoints import COMPLETE, last_checkpoint
from train.data import IGNORED, Tokenized
from train.methods import Job, Trained
from truemark import holds
from truemark.console import progress, say
from truemark.errors import InvalidConfig, MissingDependency, TruemarkError
from truemark.files import write_json
from truemark.lora import WEIGHTS
from truemark.models import ModelRef
from truemark.recipe import Recipe
from truemark.runtimes.mlx import fast_blas, flat

BETAS, EPSILON = [0.9, 0.99], 1e-8  # as train.trainer.arguments has them
FACTORS = {"lora_a": "lora_A", "lora_b": "lora_B"}


def fit(job: Job, ordered: Sequence[Tokenized], steps: int, tokenizer: Any) -> Trained:
    """Train on `ordered` (steps × batch_size rows), from the last whole checkpoint where there is one.

    Raises InvalidConfig for what of a recipe MLX does not do here, MissingDependency without mlx-lm.
    """
    recipe = job.recipe
    model = load(recipe, job.base)
    log = _train(model, job, ordered, steps)
    return Trained(
        save=lambda path: write(model, tokenizer, recipe, path),
        log=log,
        report={
            "examples": len(ordered),
            "tokens": sum(len(row.ids) for row in ordered),
            "loss_tokens": sum(label != IGNORED for row in ordered for label in row.labels),
        },
    )


def load(recipe: Recipe, base: ModelRef) -> Any:
    """The base in MLX, frozen, with LoRA layers whose B is zero. Raises InvalidConfig, MissingDependency."""
    _refuse(recipe)
    fast_blas()
    try:
        import mlx.core as mx
        from mlx.utils import tree_map
        from mlx_lm.tuner.utils import linear_to_lora_layers
        from mlx_lm.utils import load_model
    except ImportError as error:
        raise MissingDependency(f"run.engine: mlx: {error}", mend="pip install 'truemark[mlx]'") from None
    path = base.local_path()
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    if reason := holds.mlx(config):
        raise InvalidConfig(f"run.engine: mlx: {reason}", mend="--set run.engine=transformers")
    chosen = {"fp32": mx.float32, "bf16": mx.bfloat16, "fp16": mx.float16}
    dtype = chosen.get(recipe.run.precision) or (mx.bfloat16 if mx.metal.is_available() else mx.float32)
    say(f"training with MLX on {mx.default_device().type.name} in {str(dtype).removeprefix('mlx.core.')}")
    mx.random.seed(recipe.seed)
    model, _ = load_model(path, lazy=True, model_config=flat(config))
    model.update(tree_map(lambda weight: weight.astype(dtype), model.parameters()))
    model.freeze()
    settings: dict[str, Any] = {
        "rank": recipe.lora.rank,
        "scale": recipe.lora.alpha / recipe.lora.rank,
        "dropout": recipe.lora.dropout,
    }
    wanted = recipe.lora.target_modules
    if not isinstance(wanted, str):
        inside = [name for name, _ in model.layers[0].named_modules()]
        settings["keys"] = {name for name in inside if name.rpartition(".")[2] in wanted}
    blocks = len(model.layers)
    recipe.lora_config(blocks)  # more layers than there are is an error
    linear_to_lora_layers(model, recipe.lora.top_layers or blocks, settings)
    model.train()
    return model


def _refuse(recipe: Recipe) -> None:
    asked = {
        f"method {recipe.method}": recipe.method != "sft",
        "start": recipe.start is not None,
        "data.packing": recipe.data.packing,
        "data.special_tokens": bool(recipe.data.special_tokens),
        "optim.neftune": recipe.optim.neftune is not None,
        "run.quantize": recipe.run.quantize != "none",
        "run.keep best": recipe.run.keep == "best",
        "run.gradient_checkpointing": recipe.run.gradient_checkpointing,
        "target_modules as a pattern": recipe.lora.target_modules != "all-linear"
        and isinstance(recipe.lora.target_modules, str),
        "more arguments under lora": bool(recipe.lora.model_extra),
    }
    if found := [what for what, wanted in asked.items() if wanted]:
        raise InvalidConfig(
            f"run.engine: mlx does not go with {', '.join(found)}", mend="--set run.engine=transformers"
        )


def _train(model: Any, job: Job, ordered: Sequence[Tokenized], steps: int) -> list[dict[str, float]]:
    import mlx.core as mx
    from mlx import nn, optimizers
    from mlx.utils import tree_map

    recipe = job.recipe
    optimizer = optimizers.AdamW(
        learning_rate=0.0, betas=BETAS, eps=EPSILON, weight_decay=recipe.optim.weight_decay, bias_correction=True
    )
    optimizer.init(model.trainable_parameters())
    log = _resume(model, optimizer, job.work)
    step_loss = nn.value_and_grad(model, _loss)
    size, parts = recipe.optim.batch_size, recipe.optim.accumulate
    with progress(f"train {recipe.name}", total=steps) as advance:
        advance(len(log))
        for step in range(len(log), steps):
            mx.random.seed(recipe.seed + step + 1)  # dropout: the same after a kill
            rows = ordered[step * size : (step + 1) * size]
            items = sum(label != IGNORED for row in rows for label in row.labels[1:])
            loss, grads = mx.array(0.0), None
            for start in range(0, len(rows), size // parts):
                part, found = step_loss(model, *_batch(rows[start : start + size // parts]), items)
                loss = loss + part
                grads = found if grads is None else tree_map(mx.add, grads, found)
            grads, norm = optimizers.clip_grad_norm(grads, recipe.optim.max_grad_norm)
            optimizer.learning_rate = rate(recipe, step, steps)
            optimizer.update(model, grads)
            mx.eval(model.trainable_parameters(), optimizer.state, loss, norm)
            value = float(loss.item())  # type: ignore[arg-type]
            if not math.isfinite(value):
                raise TruemarkError(
                    f"the loss at step {step + 1} is {value}; its batch is {', '.join(row.name for row in rows)}",
                    mend="look at these examples, or lower optim.learning_rate in the recipe",
                )
            entry: dict[str, float] = {"step": step + 1, "loss": value, "learning_rate": rate(recipe, step, steps)}
            log.append({**entry, "grad_norm": float(norm.item())})
            advance(1, f"loss {value:.3f}")
            if (step + 1) % recipe.run.save_every == 0 or step + 1 == steps:
                _checkpoint(model, optimizer, log, job.work)
    return log


def _loss(model: Any, ids: Any, labels: Any, items: int) -> Any:
    """Cross entropy in nats of the labelled tokens of a right-padded batch `[B, T]`, summed, over `items`."""
    import mlx.core as mx
    from mlx import nn

    logits, wanted = model(ids)[:, :-1].astype(mx.float32), labels[:, 1:]
    keep = wanted != IGNORED
    return (nn.losses.cross_entropy(logits, mx.where(keep, wanted, 0)) * keep).sum() / items


def _batch(rows: Sequence[Tokenized]) -> tuple[Any, Any]:
    import mlx.core as mx

    length = max(len(row.ids) for row in rows)
    ids = [row.ids + [0] * (length - len(row.ids)) for row in rows]
    return mx.array(ids), mx.array([row.labels + [IGNORED] * (length - len(row.labels)) for row in rows])


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0: transformers' schedules, as train.trainer names them."""
    peak, warmup = recipe.optim.learning_rate, recipe.optim.warmup_steps
    if step < warmup:
        return peak * step / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    shape = {"cosine": 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}
    return peak * shape[recipe.optim.schedule]


def _checkpoint(model: Any, optimizer: Any, log: list[dict[str, float]], work: Path) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    path = work / f"checkpoint-{len(log)}"
    path.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(path / "adapter.safetensors"), dict(tree_flatten(model.trainable_parameters())))
    mx.save_safetensors(str(path / "optimizer.safetensors"), dict(tree_flatten(optimizer.state)))
    write_json(path / "log.json", log)
    (path / COMPLETE).touch()
    for old in sorted(work.glob("checkpoint-*"), key=lambda old: int(old.name.rpartition("-")[2]))[:-2]:
        shutil.rmtree(old, ignore_errors=True)


def _resume(model: Any, optimizer: Any, work: Path) -> list[dict[str, float]]:
    """Weights and optimizer of the last whole checkpoint; its log, empty without one."""
    import mlx.core as mx
    from mlx.utils import tree_unflatten

    found = last_checkpoint(work)
    if found is None:
        return []
    weights: Any = mx.load(f"{found}/adapter.safetensors")
    state: Any = mx.load(f"{found}/optimizer.safetensors")
    model.update(tree_unflatten(list(weights.items())))
    optimizer.state = tree_unflatten(list(state.items()))
    log: list[dict[str, float]] = json.loads((Path(found) / "log.json").read_text())
    return log


def write(model: Any, tokenizer: Any, recipe: Recipe, path: Path) -> None:
    """PEFT's files: A and B transposed (MLX has `[in, r]` and `[r, out]`), alpha / rank for MLX's scale; tokenizer and README."""
    import numpy as np
    from mlx.utils import tree_flatten
    from peft import LoraConfig
    from safetensors.numpy import save_file

    tensors, targets = {}, set()
    trained: list[Any] = tree_flatten(model.trainable_parameters())  # type: ignore[assignment]
    for name, weight in trained:
        module, _, factor = name.rpartition(".")
        targets.add(module.rpartition(".")[2])
        tensors[f"base_model.model.{module}.{FACTORS[factor]}.weight"] = np.ascontiguousarray(np.array(weight).T)
    save_file(tensors, path / WEIGHTS, metadata={"format": "pt"})
    config = {**recipe.lora_config(len(model.layers)), "target_modules": sorted(targets)}
    LoraConfig(**config, base_model_name_or_path=recipe.base, inference_mode=True).save_pretrained(str(path))
    tokenizer.save_pretrained(path)
    torch_side.write_readme(recipe, path)
