"""MLX checkpoints with mlx-lm: on Apple machines, and on Linux with its CPU build. No torch, no transformers model.

Weights are widened to fp32 here, as in the torch runtime: the mark then says what the file holds, not what an engine's 16-bit sums lose.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truemark import holds
from truemark.errors import InvalidArtifact, MissingDependency, ModelNotFound
from truemark.models import ModelRef
from truemark.runtimes.batched import BatchedRuntime
from truemark.runtimes.tokenizer import FileTokenizer

if TYPE_CHECKING:
    import numpy as np


def fast_blas() -> None:
    """On Linux, let MLX multiply with the BLAS inside torch, where that is installed: its own wheel brings the reference BLAS, 30 times slower.

    Call it before MLX is imported: the dynamic linker takes `sgemm_` from the first library of the process that shows it to all.
    """
    spec = importlib.util.find_spec("torch") if sys.platform == "linux" else None
    if spec is not None and spec.origin:
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(Path(spec.origin).parent / "lib" / "libtorch_cpu.so"), ctypes.RTLD_GLOBAL)


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of transformers 4 that mlx-lm reads, from a config of transformers 5."""
    rope = config.get("rope_parameters") or {}
    if config["model_type"] == "gemma3_text":
        full, local = rope["full_attention"], rope["sliding_attention"]
        found = {"rope_local_base_freq": local["rope_theta"], "sliding_window_pattern": holds.pattern(config)}
    else:
        full, found = rope, {}
    if "rope_theta" in full:
        found["rope_theta"] = full["rope_theta"]
    if full.get("rope_type", "default") != "default":
        found["rope_scaling"] = {name: value for name, value in full.items() if name != "rope_theta"}
    return found


class MlxRuntime(BatchedRuntime):
    """An export of kind `mlx`; batches are left-padded with mlx-lm's own batch caches."""

    name = "mlx"

    def __init__(self, model: ModelRef, *, batch_size: int = 24) -> None:
        """Raises ModelNotFound, InvalidArtifact, or MissingDependency without mlx-lm."""
        if model.kind != "mlx":
            raise ModelNotFound(f"the mlx runtime opens mlx exports, not {model.kind} ('{model.text}')")
        fast_blas()
        try:
            import mlx.core as mx
            from mlx.utils import tree_map
            from mlx_lm.utils import load_model
        except ImportError as error:
            raise MissingDependency(f"mlx-lm cannot be loaded: {error}", mend="pip install 'truemark[mlx]'") from None
        directory = model.local_path()
        self.model_ref = model
        self.batch_size = batch_size
        self._tokenizer = FileTokenizer(directory)
        self.template, self._eos = self._tokenizer.template, self._tokenizer.eos
        self.bos_token, self.eos_token = self._tokenizer.bos_token, self._tokenizer.eos_token
        try:
            self._network: Any = load_model(directory)[0]
        except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            raise InvalidArtifact(f"mlx-lm cannot read {directory}: {str(error).splitlines()[0][:200]}") from None
        if self._network.model_type == "gemma2":
            self.batch_size = 1  # mlx-lm 0.32 broadcasts a batch's masks over its heads there
        self._network.update(tree_map(lambda weight: weight.astype(mx.float32), self._network.parameters()))

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        import mlx.core as mx
        import numpy as np

        logits = self._network(mx.array([list(ids)]))[0].astype(mx.float32)
        return np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))

    def vocabulary(self) -> list[str]:
        return self._tokenizer.vocabulary()

    def describe(self) -> dict[str, Any]:
        from importlib.metadata import version

        import mlx.core as mx

        return {
            "runtime": self.name,
            "mlx": version("mlx"),
            "device": str(mx.default_device()),
            "compute": "float32",
            "batch": self.batch_size,
        }

    def close(self) -> None:
        self.__dict__.pop("_network", None)

    def __enter__(self) -> MlxRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.text(tokens)

    def _forward(self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        import mlx.core as mx
        import numpy as np

        cache = self._new_cache((mask == 0).sum(axis=1).tolist()) if cache is None else cache
        logits = self._network(mx.array(ids), cache=cache)[:, -1].astype(mx.float32)
        return np.array(logits), cache

    def _new_cache(self, padding: list[int]) -> list[Any]:
        from mlx_lm.models.cache import BatchKVCache, BatchRotatingKVCache, RotatingKVCache, make_prompt_cache

        return [
            BatchRotatingKVCache(layer.max_size, padding)
            if isinstance(layer, RotatingKVCache)
            else BatchKVCache(padding)
            for layer in make_prompt_cache(self._network)
        ]

    def _keep(self, cache: Any, rows: list[int]) -> Any:
        import mlx.core as mx

        for layer in cache:
            layer.filter(mx.array(rows))
        return cache
