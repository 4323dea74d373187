"""Checkpoints and adapters in PyTorch. The reference that every mark is measured against: the PEFT model, unmerged, in fp32."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truemark import adapters, chat, compute
from truemark.errors import MissingDependency, ModelNotFound
from truemark.models import ModelRef
from truemark.runtimes.batched import BatchedRuntime

if TYPE_CHECKING:
    import numpy as np


class TorchRuntime(BatchedRuntime):
    """A causal language model in PyTorch, computing in `dtype` (fp32 by default: 16-bit weights are widened, not their values changed)."""

    name = "torch"

    def __init__(
        self, model: ModelRef, *, dtype: str = "float32", device: str | None = None, batch_size: int = 24
    ) -> None:
        """Load `model` (checkpoint or adapter). Raises ModelNotFound, InvalidArtifact, or MissingDependency without torch."""
        try:
            import torch
            from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingDependency.extra(error.name or "torch", "train") from None
        compute.prepare()
        _hush()
        if model.kind not in ("checkpoint", "adapter"):
            raise ModelNotFound(f"the torch runtime opens checkpoints and adapters, not {model.kind} ('{model.text}')")
        directory = model.local_path()
        base = _base_of(model).local_path() if model.kind == "adapter" else directory
        self.model_ref = model
        self.device = device or compute.device()
        self.dtype = dtype
        self.batch_size = batch_size
        kind = getattr(torch, dtype)
        network: Any = (
            adapters.load(base, directory, dtype=kind) if model.kind == "adapter" else _checkpoint(base, kind)
        )
        own = directory if (directory / "tokenizer.json").is_file() else base
        tokenizer = AutoTokenizer.from_pretrained(own, trust_remote_code=False)
        self._hold(network.to(self.device), tokenizer, chat.read_template(own))

    @classmethod
    def around(cls, network: Any, tokenizer: Any, *, batch_size: int = 24) -> TorchRuntime:
        """A runtime of a network that is in memory, e.g. while it is trained. It stays in evaluation mode."""
        runtime = cls.__new__(cls)
        runtime.device, runtime.batch_size = str(network.device), batch_size
        runtime.dtype = str(network.dtype).removeprefix("torch.")
        runtime._hold(network, tokenizer, tokenizer.chat_template)
        return runtime

    def _hold(self, network: Any, tokenizer: Any, template: str) -> None:
        self.network = network.eval()
        self.tokenizer: Any = tokenizer
        self.template = template
        self.bos_token, self.eos_token = tokenizer.bos_token or "", tokenizer.eos_token or ""
        self._eos = _end_tokens(self.network, tokenizer)

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            logits = self.network(input_ids=torch.tensor([list(ids)], device=self.device)).logits[0].float()
            result: np.ndarray = torch.log_softmax(logits, dim=-1).cpu().numpy()
        return result

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        """The base of an adapter, in the same memory and with the adapter's vocabulary, for the length of the block."""
        with self.network.disable_adapter():
            yield

    def vocabulary(self) -> list[str]:
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return [str(piece) for piece in pieces]

    def describe(self) -> dict[str, Any]:
        import torch

        return {
            "runtime": self.name,
            "torch": torch.__version__,
            "device": self.device,
            "compute": self.dtype,
            "threads": torch.get_num_threads(),
            "batch": self.batch_size,
        }

    def close(self) -> None:
        self.__dict__.pop("network", None)

    def __enter__(self) -> TorchRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _forward(self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        import torch
        from transformers import DynamicCache

        cache = DynamicCache() if cache is None else cache
        with torch.inference_mode():
            out = self.network(
                input_ids=torch.from_numpy(ids).to(self.device),
                attention_mask=torch.from_numpy(mask).to(self.device),
                position_ids=torch.from_numpy(position).to(self.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return out.logits[:, -1].float().cpu().numpy(), cache

    def _keep(self, cache: Any, rows: list[int]) -> Any:
        import torch

        cache.batch_select_indices(torch.tensor(rows, device=self.device))
        return cache


def _checkpoint(directory: Path, dtype: Any) -> Any:
    try:
        return adapters.plain(directory, dtype=dtype)
    except ImportError as error:  # a quantized checkpoint names the package that reads it
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        method = config.get("quantization_config", {}).get("quant_method", "")
        raise MissingDependency(
            f"{directory} needs a package that is not installed: {str(error).splitlines()[0][:200]}",
            mend=f"pip install 'truemark[{'bnb' if method == 'bitsandbytes' else 'int8'}]'",
        ) from None


def _base_of(model: ModelRef) -> ModelRef:
    """The base of an adapter artifact, or of a plain PEFT directory by the name in its config."""
    if model.artifact is not None:
        return model.base()
    from truemark.models import resolve

    name = json.loads((model.local_path() / "adapter_config.json").read_text(encoding="utf-8")).get(
        "base_model_name_or_path"
    )
    try:
        return resolve(str(name))
    except ModelNotFound:
        return resolve(f"hf:{name}")


def _end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    configured = network.generation_config.eos_token_id
    many = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in (*many, tokenizer.eos_token_id) if token is not None)


def _hush() -> None:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
