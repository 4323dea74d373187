"""Cross entropy where labels are.

Two things are done once that a trainer does for every example: the tokens that all prompts of a batch begin with (system
prompt, template) go through the model once a batch, and logits are computed where a label is, not for the whole vocabulary × sequence.
"""

from __future__ import annotations

from typing import Any

from train.data import IGNORED


def completion_loss(model: Any, batch: dict[str, Any], items: Any = None, *, share: bool = True) -> Any:
    """Cross entropy in nats over the labelled tokens of a right-padded batch (`input_ids`, `labels` int64 `[B, T]`), a mean over `items`.

    `items` is the number of labelled tokens in the whole step, by default those of this batch. Equal to the model's own loss with full
    logits; `model` is a PEFT causal LM with the usual `model` and `lm_head` inside. `share` sends what all rows begin with through once.
    """
    import torch

    labels = batch["labels"]
    states, shared = hidden_states(model, batch, share=share)
    wanted = labels[:, shared + 1 :]
    keep = wanted != IGNORED
    logits = model.get_base_model().lm_head(states[:, :-1][keep]).float()
    total = torch.nn.functional.cross_entropy(logits, wanted[keep], reduction="sum")
    return total / (keep.sum() if items is None else items)


def hidden_states(model: Any, batch: dict[str, Any], *, share: bool = True, mask: Any = None) -> tuple[Any, int]:
    """Last hidden states `[B, T - shared, d]` of a right-padded batch, behind the `shared` columns that all rows begin with.

    With `position_ids` a row holds several texts, each blind to the others: by its positions alone (nothing is shared then), or by `mask`,
    `[B, 1, T, T]`, added to the attention's scores.
    """
    from transformers import DynamicCache

    ids, positions = batch["input_ids"], batch.get("position_ids")
    causal = model.get_base_model()
    # recomputed layers keep no cache (`GradientCheckpointingLayer` drops it with a warning): the prefix would be lost to all rows
    share = share and (positions is None or mask is not None) and not causal.is_gradient_checkpointing
    shared = _shared_prefix(ids, batch["labels"]) if share else 0
    cache: Any = None
    if shared:
        cache = DynamicCache()
        causal.model(input_ids=ids[:1, :shared], past_key_values=cache, use_cache=True)
        for layer in cache.layers:
            layer.keys = layer.keys.expand(len(ids), -1, -1, -1)
            layer.values = layer.values.expand(len(ids), -1, -1, -1)
    out = causal.model(
        input_ids=ids[:, shared:],
        position_ids=None if positions is None else positions[:, shared:],
        attention_mask=None if mask is None else mask[:, :, shared:],
        past_key_values=cache,
        use_cache=shared > 0,
    )
    return out.last_hidden_state, shared


def _shared_prefix(ids: Any, labels: Any) -> int:
    """Leading columns that are equal in all rows and carry no loss, less one: the first labelled token needs a hidden state before it."""
    same = ((ids == ids[:1]).all(dim=0) & (labels == IGNORED).all(dim=0)).long()
    return max(int(same.cumprod(dim=0).sum()) - 1, 0) if len(ids) > 1 else 0
