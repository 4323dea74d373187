"""ONNX exports in plain onnxruntime with `tokenizers`: no torch, no transformers. The cache stays inside onnxruntime between steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truemark.errors import EngineError, InvalidArtifact, MissingDependency, ModelNotFound
from truemark.models import ModelRef
from truemark.runtimes.batched import BatchedRuntime
from truemark.runtimes.tokenizer import FileTokenizer
from truemark.settings import threads

if TYPE_CHECKING:
    import numpy as np

KEEP = "num_logits_to_keep"
"""Optional input of our graphs: how many last positions get logits, 0 for all."""


class OnnxRuntime(BatchedRuntime):
    """A decoder with inputs `input_ids`, `attention_mask` and `past_key_values.*`, outputs `logits` and `present.*`."""

    name = "onnx"

    def __init__(self, model: ModelRef, *, provider: str = "CPUExecutionProvider", batch_size: int = 24) -> None:
        """Load the one graph in `onnx/`. Raises ModelNotFound, InvalidArtifact, EngineError, or MissingDependency."""
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency.extra(error.name or "onnxruntime", "onnx") from None
        if model.kind != "onnx":
            raise ModelNotFound(
                f"the onnx runtime opens ONNX exports, not {model.kind} ('{model.text}')",
                mend="truemark export … --to onnx",
            )
        directory = model.local_path()
        self.api, self.provider, self.batch_size = onnxruntime, provider, batch_size
        self._tokenizer = words = FileTokenizer(directory)
        if words.generation.get("eos_token_id") is None:  # what onnxruntime-genai and transformers.js read too
            raise InvalidArtifact(f"{directory / 'generation_config.json'} names no end tokens", mend="export it again")
        self.template, self._eos = words.template, words.eos
        self.bos_token, self.eos_token = words.bos_token, words.eos_token
        self.session = _session(onnxruntime, _one_graph(directory), provider)
        inputs = {value.name: value for value in self.session.get_inputs()}
        self._past = [value for name, value in inputs.items() if name.startswith("past_key_values.")]
        self._present = [value.name.replace("past_key_values", "present") for value in self._past]
        self._positions = "position_ids" in inputs
        """Graphs of other exporters take them; ours makes them from the mask."""
        self._keeps = KEEP in {value.name for value in self.session.get_overridable_initializers()}

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        import numpy as np

        sequence = np.array([list(ids)], dtype=np.int64)
        logits, _ = self._run(sequence, np.ones_like(sequence), np.arange(sequence.size)[None], None, keep=0)
        rows: np.ndarray = logits[0].astype(np.float32, copy=False)
        rows = rows - rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        return rows

    def vocabulary(self) -> list[str]:
        return self._tokenizer.vocabulary()

    def describe(self) -> dict[str, Any]:
        return {
            "runtime": self.name,
            "onnxruntime": self.api.__version__,
            "device": self.provider,
            "cache": self._past[0].type if self._past else None,
            "threads": threads(),
            "batch": self.batch_size,
        }

    def close(self) -> None:
        self.__dict__.pop("session", None)

    def __enter__(self) -> OnnxRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.text(tokens)

    def _forward(self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        import numpy as np

        logits, cache = self._run(ids, mask, position, cache, keep=1)
        return logits[:, -1].astype(np.float32, copy=False), cache

    def _run(
        self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, cache: Any, *, keep: int
    ) -> tuple[np.ndarray, Any]:
        """Logits [B, S or keep, V] in the graph's own type, and the cache as OrtValues by input name: never copied to NumPy and back."""
        import numpy as np

        value = self.api.OrtValue.ortvalue_from_numpy
        feed = {"input_ids": value(np.ascontiguousarray(ids)), "attention_mask": value(np.ascontiguousarray(mask))}
        if self._positions:
            feed["position_ids"] = value(np.ascontiguousarray(position, dtype=np.int64))
        if self._keeps:
            feed[KEEP] = value(np.array([keep], dtype=np.int64))
        feed |= self._empty(len(ids)) if cache is None else cache
        try:
            logits, *present = self.session.run_with_ort_values(["logits", *self._present], feed)
        except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions have no common root but Exception
            raise EngineError(
                f"onnxruntime: {str(error).splitlines()[0][:300]}", mend="truemark verify, or export it again"
            ) from None
        return logits.numpy(), {past.name: tensor for past, tensor in zip(self._past, present, strict=True)}

    def _empty(self, rows: int) -> dict[str, Any]:
        import numpy as np

        kind = np.float16 if self._past and self._past[0].type == "tensor(float16)" else np.float32
        return {
            past.name: self.api.OrtValue.ortvalue_from_numpy(np.zeros((rows, past.shape[1], 0, past.shape[3]), kind))
            for past in self._past
        }

    def _keep(self, cache: Any, rows: list[int]) -> Any:
        return {name: self.api.OrtValue.ortvalue_from_numpy(tensor.numpy()[rows]) for name, tensor in cache.items()}


def _session(api: Any, file: Path, provider: str) -> Any:
    options = api.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return api.InferenceSession(str(file), options, providers=[provider])
    except Exception as error:  # noqa: BLE001 - as above
        raise EngineError(
            f"onnxruntime cannot load {file}: {str(error).splitlines()[0][:300]}", mend="export it again"
        ) from None


def _one_graph(directory: Path) -> Path:
    files = sorted((directory / "onnx").glob("*.onnx"))
    if len(files) != 1:
        raise ModelNotFound(f"expected one .onnx file in {directory / 'onnx'}, found {len(files)}")
    return files[0]
