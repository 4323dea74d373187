"""Runtimes: one small protocol over everything that can answer. One file each, one row each in RUNTIMES."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from truemark.errors import EngineError, UnknownName
from truemark.models import ModelRef, resolve
from truemark.runtimes.base import Completion, Prompt, Runtime, Sampling

__all__ = ["Completion", "Prompt", "Runtime", "Sampling", "open_runtime"]

RUNTIMES = {
    "torch": "truemark.runtimes.torch:TorchRuntime",
    "llamacpp": "truemark.runtimes.llamacpp:LlamaCppRuntime",
    "torchscript": "truemark.runtimes.program:ProgramRuntime",
    "pt2": "truemark.runtimes.program:ProgramRuntime",
    "mlx": "truemark.runtimes.mlx:MlxRuntime",
    "onnx": "truemark.runtimes.onnx:OnnxRuntime",
    "http": "truemark.runtimes.http:HttpRuntime",
    "rule": "truemark.runtimes.rule:RuleRuntime",
    "seq2seq": "truemark.runtimes.seq2seq:Seq2SeqRuntime",
    "scratch": "train.structure.runtime:ScratchRuntime",
}

DEFAULT = {
    "checkpoint": "torch",
    "adapter": "torch",
    "gguf": "llamacpp",
    "lora-gguf": "llamacpp",
    "onnx": "onnx",
    "openai": "http",
    "rule": "rule",
    "t5": "seq2seq",
    "model": "scratch",
}
"""The runtime that opens each kind of model reference when none is asked for."""


def open_runtime(ref: ModelRef | str, runtime: str | None = None, **options: Any) -> Runtime:
    """Open `ref` in `runtime` (default: by the kind of the reference).

    Raises UnknownName for a runtime that does not exist or a kind that none can open, MissingDependency for an extra.
    """
    model = resolve(ref) if isinstance(ref, str) else ref
    if model.kind in ("scorer", "none"):
        raise EngineError(
            f"{model.label} writes no answers: expected a model, found {model.kind}", mend="truemark models"
        )
    name = runtime or DEFAULT.get(model.kind, model.kind)
    if name not in RUNTIMES:
        raise UnknownName("runtime", name, RUNTIMES)
    module, _, attribute = RUNTIMES[name].partition(":")
    opened: Runtime = getattr(import_module(module), attribute)(model, **options)
    return opened
