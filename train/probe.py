"""What one block of a base costs here: seconds and kept bytes, measured on a few blocks of its shape without its weights.

`config.json` is enough: the blocks hold arbitrary numbers and a small vocabulary, go through the very loss that training uses, and what they
cost is multiplied by the base's number of blocks. The head, whose size is the real vocabulary, is measured by itself.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from truemark.recipe import Recipe

BLOCKS = 4
VOCABULARY = 1024
FLOPS = 40e9
"""Work of one probed step on a CPU, at most: a second or so. A larger batch is measured on a part of it."""
SECONDS = 0.9
"""Of repeating one measurement."""
HEAD_ROWS = 16384


@dataclass(frozen=True)
class Size:
    """Parameters of the whole model, counted on the meta device."""

    blocks: int
    hidden: int
    vocabulary: int
    inner: int
    """Parameters of linear layers inside the blocks: those that are quantized."""
    outer: int
    """Those of embeddings, head and norms."""
    trained: int


@dataclass(frozen=True)
class Cost:
    """Of one batch, a block: seconds, and bytes that its backward pass keeps, a token."""

    forward: float
    both: float
    """Forward and backward."""
    kept: float
    head: float
    """Seconds of the head and the loss, forward and backward, a labelled token."""
    update: float
    """Seconds of clipping and of an AdamW step, a trained parameter."""
    tokens: int
    """Padded tokens of the probed batch: what `forward` and `both` are for."""
    answer: float
    """Seconds of one more token of an answer through one block, for a batch of answers."""


def count(config: Any, recipe: Recipe) -> Size:
    """Sizes of the base of this configuration with the recipe's adapter on it."""
    import torch

    text = config.get_text_config()
    with torch.device("meta"):
        model = _with_adapter(_network(copy.deepcopy(config)), recipe, text.num_hidden_layers)
    blocks, outer, trained = 0, 0, 0
    head = model.get_output_embeddings()
    if head is not None and text.tie_word_embeddings:
        outer -= head.weight.numel()  # on the meta device the two are apart
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            trained += parameter.numel()
        elif parameter.dim() == 2 and ".layers." in name:
            blocks += parameter.numel()
        else:
            outer += parameter.numel()
    trained += len(recipe.data.special_tokens) * text.hidden_size
    rows = head.weight.shape[0] if head is not None else text.vocab_size
    return Size(text.num_hidden_layers, text.hidden_size, rows, blocks, outer, trained)


def measure(config: Any, recipe: Recipe, batch: dict[str, Any], dtype: Any, device: str) -> Cost:
    """Build a few blocks and time them on a batch as `train.data.collate` makes it (`input_ids`, `labels`, int64 `[B, T]`)."""
    import torch

    from train.loss import completion_loss

    text = config.get_text_config()
    blocks = min(BLOCKS, text.num_hidden_layers)
    model = _filled(config, recipe, blocks, dtype, device)
    batch = _within(batch, sum(p.numel() for p in model.parameters()) / blocks, blocks, device)
    tokens = batch["input_ids"].numel()
    share = recipe.optim.neftune is None

    def step() -> None:
        completion_loss(model, dict(batch), share=share).backward()

    def forward() -> None:
        with torch.no_grad():
            model.get_base_model().model(input_ids=batch["input_ids"], use_cache=False)

    both, only, kept = _timed(step, device) / blocks, _timed(forward, device) / blocks, _kept(step, model) / blocks
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()

    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Cost(
        forward=only,
        both=both,
        kept=kept / tokens,
        head=_head(text, dtype, device),
        update=_timed(update, device) / trained,
        tokens=tokens,
        answer=_answer(model, device) / blocks if recipe.run.keep == "best" else 0.0,
    )


def _network(config: Any) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    with no_init_weights():
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def _with_adapter(network: Any, recipe: Recipe, blocks: int) -> Any:
    from peft import LoraConfig, get_peft_model

    from train.network import lora_config

    top = recipe.lora.top_layers and min(recipe.lora.top_layers, blocks)
    fewer = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"top_layers": top})})
    values = {**lora_config(fewer, network), "init_lora_weights": True}  # others look at weights
    values.pop("trainable_token_indices", None)
    return get_peft_model(network, LoraConfig(**values))


def _filled(config: Any, recipe: Recipe, blocks: int, dtype: Any, device: str) -> Any:
    """`blocks` blocks with a small vocabulary, all of them trained, holding small numbers."""

    config = copy.deepcopy(config)
    text = config.get_text_config()
    text.num_hidden_layers, text.vocab_size, text.pad_token_id = blocks, VOCABULARY, None
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:blocks]
    network = _network(config).to(dtype)
    for parameter in network.parameters():
        parameter.data.uniform_(-0.03, 0.03)
    if recipe.run.quantize == "4bit":
        network = _quantized(network)
    lora = recipe.lora.model_copy(update={"top_layers": None})
    model = _with_adapter(network.to(device), recipe.model_copy(update={"lora": lora}), blocks)
    model.train()
    return model


def _quantized(network: Any) -> Any:
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear

    wanted = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    weights = {name: m.weight.data for name, m in network.named_modules() if isinstance(m, torch.nn.Linear)}
    network = replace_with_bnb_linear(network, modules_to_not_convert=["lm_head"], quantization_config=wanted)
    for name, module in network.named_modules():
        if type(module).__name__ == "Linear4bit":
            module.weight = type(module.weight)(weights[name], requires_grad=False, quant_type="nf4")
    return network


def _within(batch: dict[str, Any], parameters: float, blocks: int, device: str) -> dict[str, Any]:
    """The batch, or so many of its rows and columns that a step stays within FLOPS on a CPU; ids inside the small vocabulary."""
    ids, labels = batch["input_ids"] % VOCABULARY, batch["labels"].clone()
    labels[labels >= 0] %= VOCABULARY
    positions = batch.get("position_ids")
    if device == "cpu":
        most = max(int(FLOPS / (4 * parameters * blocks)), 16)
        rows = max(min(len(ids), most // ids.shape[1]), 1)
        columns = slice(max(ids.shape[1] - max(most // rows, 16), 0), None)
        ids, labels = ids[:rows, columns], labels[:rows, columns]
        positions = positions[:rows, columns] if positions is not None else None
    if not (labels[:, 1:] >= 0).any():
        labels[:, -1] = 0
    cut = {"input_ids": ids, "labels": labels} | ({} if positions is None else {"position_ids": positions})
    return {name: tensor.to(device) for name, tensor in cut.items()}


def _timed(work: Callable[[], None], device: str) -> float:
    """Median seconds of a few runs, after one that does not count."""
    import torch

    wait = getattr(getattr(torch, device, None), "synchronize", lambda: None) if device != "cpu" else lambda: None
    work()
    wait()
    found: list[float] = []
    while len(found) < 3 or (sum(found) < SECONDS / 3 and len(found) < 50):
        began = time.perf_counter()
        work()
        wait()
        found.append(time.perf_counter() - began)
        if sum(found) > SECONDS:
            break
    return median(found)


def _kept(step: Callable[[], None], model: Any) -> int:
    """Bytes that autograd holds between forward and backward, beside the parameters."""
    import torch

    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    seen: dict[int, Any] = {}  # the storages themselves: a freed one's address would be given out again

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storage.nbytes() for storage in seen.values())


def _head(text: Any, dtype: Any, device: str, rows: int = 64) -> float:
    import torch

    some = min(text.vocab_size, HEAD_ROWS)
    weight = torch.full((some, text.hidden_size), 0.01, dtype=dtype, device=device)
    hidden = torch.full((rows, text.hidden_size), 0.01, dtype=dtype, device=device, requires_grad=True)
    wanted = torch.zeros(rows, dtype=torch.long, device=device)

    def once() -> None:
        torch.nn.functional.cross_entropy((hidden @ weight.T).float(), wanted).backward()

    return _timed(once, device) / rows * text.vocab_size / some


def _answer(model: Any, device: str, rows: int = 24) -> float:
    import torch

    token = torch.ones((rows, 1), dtype=torch.long, device=device)

    def once() -> None:
        with torch.inference_mode():
            model.get_base_model().model(input_ids=token, use_cache=False)

    return _timed(once, device)


def of_directory(path: Path) -> Any:
    """The configuration in a checkpoint directory, which may hold nothing else."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(path, trust_remote_code=False)
