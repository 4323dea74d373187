"""One decoding step of a causal language model over plain tensors: what `torchscript` and `pt2` hold. Loads with torch alone.

    program(ids [B, T], mask [B, P + T], position [B, T], keep [K], past) -> (logits [B, K, V], present)

`past` is a tuple of 2·layers float32 tensors [B, heads, P, head_dim]: key and value of layer 0, of layer 1, …; P is 0 at first. `present` is the same
with P + T positions: the next step's `past`. `mask` is 0 on left padding, `position` counts the unpadded tokens from 0, `keep` names the positions in
0…T-1 whose logits are wanted. All others are int64. B, T, P and K are dynamic; `prove` runs a program in sizes that it was not traced in.

Why our own module around the `transformers` model, and not `transformers.exporters.DynamoExporter` (5.19) or its `integrations.executorch`: the first gives a
program whose inputs are a `DynamicCache`, so it is called with transformers installed; the second has a static cache of one sequence without padding.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from exports.source import Source
from truemark import adapters, holds
from truemark.errors import InvalidArtifact
from truemark.files import require_room, write_json

DESCRIPTION = "program.json"
_BY_LAYER_TYPE = ("qwen2", "qwen3", "gemma2", "gemma3_text")
"""Those that take one mask for each type of layer; the others take one for all layers."""


def refuse(source: Source, what: str) -> None:
    """Raise InvalidArtifact, before any work, when a program cannot hold the base of `source`. `what` names the format in the message."""
    config = json.loads((source.base.local_path() / "config.json").read_text(encoding="utf-8"))
    if reason := holds.program(config):
        raise InvalidArtifact(f"{what}: {reason}", mend="export to fp16 or gguf instead")


def opened(source: Source) -> Any:
    """The merged model as a `Step` in eval mode, on the CPU, in fp32."""
    import torch

    from truemark import compute

    compute.prepare()
    return _step(adapters.plain(source.merged(), dtype=torch.float32).eval().requires_grad_(False))


def _step(network: Any) -> Any:
    import torch
    from transformers import DynamicCache

    config = network.config
    window = getattr(config, "sliding_window", None)
    split = config.model_type in _BY_LAYER_TYPE

    class Step(torch.nn.Module):
        """See the top of this file for the tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, mask: Any, position: Any, keep: Any, past: Any) -> Any:
            out = self.network(
                input_ids=ids,
                attention_mask=_attention(ids, mask, past[0], window, split),
                position_ids=position,
                past_key_values=DynamicCache(list(zip(past[::2], past[1::2], strict=True))),
                use_cache=True,
                logits_to_keep=keep,
            )
            present = [tensor for layer in out.past_key_values.layers for tensor in (layer.keys, layer.values)]
            return out.logits, tuple(present)

    return Step()


def _attention(ids: Any, mask: Any, key: Any, window: int | None, split: bool) -> Any:
    """Additive float32 masks [B, 1, T, P + T] from the padding mask [B, P + T]: 0 where a token is seen, else the lowest finite number.

    Finite, because a row of padding sees nothing, and a softmax over -inf alone is NaN, which the next layer would spread. Distances in the window are
    those in the sequence, as in `transformers.masking_utils`. The sequence is counted from `ids` and the cached `key`, not from the mask, which is only
    looked up: were the mask's length tied to P + T, `torch.export` would demand that both be at least 2.
    """
    import torch

    index = torch.ones_like(torch.cat([key[0, 0, :, 0].long(), ids[0]])).cumsum(0) - 1  # [P + T]
    query = index[key.shape[2] :, None]
    seen = (index[None, :] <= query)[None, None] & mask[:, index][:, None, None, :].bool()
    near = seen & (index[None, :] > query - window)[None, None] if window else seen
    zero, lowest = torch.zeros((), dtype=torch.float32), torch.full((), torch.finfo(torch.float32).min)
    full, sliding = torch.where(seen, zero, lowest), torch.where(near, zero, lowest)
    return {"full_attention": full, "sliding_attention": sliding} if split else sliding


def sample(step: Any, batch: int, length: int, past: int) -> tuple[Any, ...]:
    """Inputs of these sizes, with a left-padded first row."""
    import torch

    random = torch.Generator().manual_seed(batch + length + past)
    ids = torch.randint(0, step.network.config.vocab_size, (batch, length), generator=random)
    mask = torch.ones((batch, past + length), dtype=torch.int64)
    mask[0, : 1 if past + length > 1 else 0] = 0
    position = (mask.cumsum(1) - 1).clamp(min=0)[:, past:].clone()  # a view would be a guard of the export
    shapes = cache_shapes(step.network.config)
    kept = tuple(torch.randn((batch, heads, past, size), generator=random) for heads, size in shapes for _ in range(2))
    return ids, mask, position, torch.arange(max(length - 2, 0), length), kept


def cache_shapes(config: Any) -> list[tuple[int, int]]:
    """(key/value heads, head size) of each layer."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return [(int(heads), int(size))] * int(config.num_hidden_layers)


def prove(program: Callable[..., Any], step: Any, what: str) -> None:
    """Raise InvalidArtifact unless `program` answers as the model it was made from, in sizes it was not made in.

    An unequal left-padded batch, then one token after it with the cache; one row; one token. The model gets its own two-dimensional mask and its own
    cache, so a wrong mask of ours shows too.
    """
    import torch
    from transformers import DynamicCache

    network = step.network
    shapes = cache_shapes(network.config)
    for lengths in ((11, 4, 7), (6,), (1,)):
        ids = torch.randint(0, network.config.vocab_size, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(3))  # fmt: skip
        mask = torch.tensor([[0] * (max(lengths) - length) + [1] * length for length in lengths])
        past = tuple(torch.zeros((len(lengths), heads, 0, size)) for heads, size in shapes for _ in range(2))
        own = DynamicCache(config=network.config)
        for turn in range(3):
            position = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            with torch.inference_mode():
                logits, past = program(ids, mask, position, torch.tensor([ids.shape[1] - 1]), past)
                wanted = network(input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=own, use_cache=True).logits[:, -1:]  # fmt: skip
            gap = float((logits - wanted).abs().max() / wanted.std())
            if not gap < 1e-3:
                raise InvalidArtifact(
                    f"{what} of {network.config.model_type} differs from the model it was made from: logits by {gap:.1e} of their spread "
                    f"(batch {len(lengths)}, length {max(lengths)}, step {turn})",
                    mend="export to fp16 instead",
                )
            ids = wanted.argmax(-1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)


def describe(source: Source, step: Any, out: Path, file: str, text: str) -> None:
    """Write what a caller of the program needs: `program.json`, the tokenizer, the end tokens."""
    import torch

    shapes = cache_shapes(step.network.config)
    write_json(
        out / DESCRIPTION,
        {
            "schema_version": 1,
            "file": file,
            "note": text,
            "torch": torch.__version__,
            "inputs": {
                "ids": "int64 [B, T]",
                "mask": "int64 [B, P + T], 0 on left padding",
                "position": "int64 [B, T], unpadded tokens counted from 0",
                "keep": "int64 [K], positions in 0..T-1 whose logits are returned",
                "past": "tuple of 2 x layers float32 [B, heads, P, head_dim]: key and value of each layer; P is 0 at first",
            },
            "outputs": {"logits": "float32 [B, K, V]", "present": "as past, with P + T positions"},
            "layers": [{"heads": heads, "head_dim": size} for heads, size in shapes],
            "vocabulary": step.network.config.vocab_size,
        },
    )
    generation = source.merged() / "generation_config.json"
    if generation.is_file():
        (out / generation.name).write_bytes(generation.read_bytes())
    source.copy_tokenizer(out)


@contextlib.contextmanager
def tracing(step: Any, what: str) -> Iterator[None]:
    """Raise InvalidArtifact when torch cannot trace the model.

    Without the tracer's warnings: what they fear (a Python number that became a constant) is what `prove` looks for.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InvalidArtifact(
            f"torch cannot make {what} of {step.network.config.model_type}: {words}", mend="export to fp16 instead"
        ) from error


def room(step: Any, out: Path) -> None:
    """Raise StorageError when `out` cannot hold the program: torch's archive writers end the process when the disk is full, so ask first."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in step.parameters())
    require_room(out, size + size // 20 + 32 * 2**20)
