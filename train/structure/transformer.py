"""A small decoder-only transformer in plain PyTorch: rotary positions, RMS norms, normed queries and keys, squared ReLU, no biases.

The taste is nanochat's (https://github.com/karpathy/nanochat). A token enters as the sum of its own embedding and, with features, of
four small ones: role, depth, operand, side.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from train.structure.places import DEPTHS, OPERANDS, ROLES, SIDES


class Shape(BaseModel):
    """Of the network; config.json holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocabulary: int = Field(ge=1, le=100_000)
    width: int = Field(192, ge=16, le=2048, multiple_of=16)
    layers: int = Field(4, ge=1, le=48)
    heads: int = Field(6, ge=1, le=64)
    features: bool = True
    """Whether places enter; without, their tables are not there."""


TABLES = (len(ROLES), DEPTHS, OPERANDS, SIDES)


@cache
def network() -> Any:
    """The module's class. A function, because torch is imported late."""
    import torch
    from torch import nn
    from torch.nn.functional import linear, relu, rms_norm, scaled_dot_product_attention

    def turned(x: Any, positions: Any) -> Any:
        """Rotary embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864, equation 34); `x` [B, heads, T, size], `positions` [T]."""
        half = x.shape[-1] // 2
        angles = positions[:, None] * 10000.0 ** (-torch.arange(half, device=x.device) / half)
        cos, sin = angles.cos(), angles.sin()
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

    class Block(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.mixed = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.up = nn.Linear(width, 4 * width, bias=False)
            self.down = nn.Linear(4 * width, width, bias=False)

        def forward(self, x: Any, positions: Any, mask: Any, cache: list[Any] | None) -> Any:
            rows, length, width = x.shape
            parts = self.mixed(rms_norm(x, (width,))).view(rows, length, 3, self.heads, width // self.heads)
            q, k, v = parts.permute(2, 0, 3, 1, 4)
            q, k = (turned(rms_norm(one, one.shape[-1:]), positions) for one in (q, k))
            if cache is not None:
                if cache:
                    k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
                cache[:] = [k, v]
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
            x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
            return x + self.down(relu(self.up(rms_norm(x, (width,)))).square())

    class Transformer(nn.Module):
        def __init__(self, shape: Shape) -> None:
            super().__init__()
            width = shape.width
            self.tokens = nn.Embedding(shape.vocabulary, width)
            self.blocks = nn.ModuleList(Block(width, shape.heads) for _ in range(shape.layers))
            self.head = nn.Linear(width, shape.vocabulary, bias=False)
            for name, weight in self.named_parameters():
                if name.endswith(("out.weight", "down.weight", "head.weight")):  # a block is the identity at first
                    nn.init.zeros_(weight)
                elif name == "tokens.weight":
                    nn.init.normal_(weight, std=1.0)
                else:
                    nn.init.normal_(weight, std=width**-0.5)
            # last, so that the rest starts from the same weights with and without; at first places say nothing
            self.places = nn.ModuleList(nn.Embedding(size, width) for size in TABLES if shape.features)
            for table in self.places.parameters():
                nn.init.zeros_(table)

        def hidden(self, ids: Any, places: Any, start: int = 0, mask: Any = None, caches: list[Any] | None = None) -> Any:  # fmt: skip
            """States [B, T, width] for `ids` int64 [B, T] and `places` int64 [B, T, 4] from position `start` on."""
            x = self.tokens(ids)
            for column, table in enumerate(self.places):
                x = x + table(places[..., column])
            positions = torch.arange(start, start + ids.shape[1], device=ids.device)
            for index, block in enumerate(self.blocks):
                x = block(x, positions, mask, None if caches is None else caches[index])
            return rms_norm(x, x.shape[-1:])

        def forward(self, ids: Any, places: Any, labels: Any) -> Any:
            """Cross entropy in nats of each labelled token, float [labels]; `labels` int64 [B, T] stand at the token that they are."""
            wanted = labels[:, 1:]
            keep = wanted != -100
            logits = linear(self.hidden(ids, places)[:, :-1][keep], self.head.weight).float()
            return nn.functional.cross_entropy(logits, wanted[keep], reduction="none")

    return Transformer
