"""llama-server that embeds as well: the mean of the last layer's states of the bare base, L2-normalised.

One request at a time: with a slot for each, llama.cpp cuts the texts of a batch into pieces of equal length, and takes the
mean of a piece (measured: vectors off by up to 0.13, where 1e-7 is usual). So this is not the engine for many chats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serve.engines import llamacpp
from serve.engines.base import Refused
from truemark.models import ModelRef


class LlamaCppEmbedEngine(llamacpp.LlamaCppEngine):
    """See `serve.engines.base.Engine` and `Embedder`."""

    name = "llamacpp-embed"

    def __init__(self, base: ModelRef, adapters: Mapping[str, ModelRef]) -> None:
        super().__init__(base, adapters)
        self.slots = 1

    def arguments(self, *listen: str) -> list[str]:
        """Of llama-server."""
        size = str(llamacpp.CONTEXT)  # a text must fit one micro-batch
        return [
            *super().arguments(*listen),
            "--embeddings",
            "--pooling",
            "mean",
            "--batch-size",
            size,
            "--ubatch-size",
            size,
        ]

    async def embed(self, prompt_ids: Sequence[int], adapter: str | None) -> list[float]:
        """See the protocol."""
        if adapter is not None:  # llama-server reads no `lora` here
            raise Refused(
                f"llama-server embeds with the bare base alone, not with '{adapter}': name the base as the model"
            )
        answer = await self._call("POST", "/embedding", {"content": list(prompt_ids), "embd_normalize": 2})
        vector: list[float] = answer[0]["embedding"][0]
        return vector
