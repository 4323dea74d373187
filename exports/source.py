"""The adapter that is exported: opened, distrusted, and merged once for all formats that need it merged."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truemark import lora, models
from truemark.artifacts import Artifact
from truemark.errors import InvalidArtifact
from truemark.files import storage_errors
from truemark.models import ModelRef

WEIGHTS = "adapter_model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


@dataclass
class Source:
    """A checked adapter with its base."""

    ref: ModelRef
    base: ModelRef
    artifact: Artifact
    _merged: Path | None = None
    _scratch: contextlib.ExitStack | None = None
    _shared: dict[str, Path] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.artifact.path

    def merged(self) -> Path:
        """A temporary fp32 checkpoint with the adapter merged in; made on first use, gone with `opened`."""
        if self._merged is None:
            assert self._scratch is not None
            directory = Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="truemark-merge-")))
            with storage_errors(directory):
                merge(self.ref, self.base, directory)
            self._merged = directory
        return self._merged

    def scratch(self, name: str) -> Path:
        """A temporary directory for what the formats of one command share: the same for the same `name`, gone with `opened`."""
        if name not in self._shared:
            assert self._scratch is not None
            self._shared[name] = Path(
                self._scratch.enter_context(tempfile.TemporaryDirectory(prefix=f"truemark-{name}-"))
            )
        return self._shared[name]

    def copy_tokenizer(self, out: Path) -> None:
        """The adapter's own tokenizer and chat template, byte for byte."""
        for name in TOKENIZER_FILES:
            if (self.path / name).is_file():
                (out / name).write_bytes((self.path / name).read_bytes())


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Source]:
    """Open and check the adapter at `path`.

    Raises ModelNotFound when its base is not here or has other weights; InvalidArtifact when a file was changed, the config lies about
    the rank, a weight is not finite, the file is cut off, or the adapter does nothing.
    """
    ref = models.resolve(path)
    if ref.kind != "adapter" or ref.artifact is None:
        raise InvalidArtifact(
            f"expected an adapter made by truemark, found {ref.kind} at {path}", mend="truemark train math"
        )
    base = ref.base()
    check_weights(ref.artifact.path)
    with contextlib.ExitStack() as scratch:
        yield Source(ref, base, ref.artifact, _scratch=scratch)


def check_weights(path: Path) -> None:
    """Raise InvalidArtifact unless the LoRA tensors in `path` are finite, of the rank that their config states, and not all zero."""
    import numpy as np

    config = lora.read_config(path)
    moved = False
    for name, tensor in _tensors(path):
        rank = lora.stated_rank(config, lora.module_of(name))
        if not np.isfinite(tensor).all():
            raise InvalidArtifact(f"{path / WEIGHTS}: {name} holds NaN or Inf", mend="train the adapter again")
        if (".lora_A." in name and tensor.shape[0] != rank) or (".lora_B." in name and tensor.shape[1] != rank):
            raise InvalidArtifact(
                f"{path}: adapter_config.json says rank {rank}, {name} has shape {tuple(tensor.shape)}"
            )
        moved = moved or ((".lora_B." in name or ".lora_embedding_A" in name) and bool(tensor.any()))
    if not moved:
        raise InvalidArtifact(f"{path}: all lora_B weights are zero: this adapter is its base", mend="train it")


def _tensors(path: Path) -> Iterator[tuple[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not (path / WEIGHTS).is_file():
        raise InvalidArtifact(f"{path} has no {WEIGHTS}", mend="train the adapter again")
    try:
        with safe_open(path / WEIGHTS, framework="pt") as file:  # torch, because NumPy has no bf16
            for name in file.keys():  # noqa: SIM118 - not a dict
                yield name, file.get_tensor(name).float().numpy()
    except SafetensorError as error:
        raise InvalidArtifact(
            f"{path / WEIGHTS} is cut off or not safetensors: {error}", mend="train the adapter again"
        ) from None


def merge(ref: ModelRef, base: ModelRef, out: Path) -> None:
    """Write the base with the adapter merged in, in fp32, as a Hugging Face checkpoint with the adapter's tokenizer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from truemark import compute

    compute.prepare()
    network = AutoModelForCausalLM.from_pretrained(base.local_path(), dtype=torch.float32, trust_remote_code=False)
    try:
        merged: Any = PeftModel.from_pretrained(network, ref.local_path()).merge_and_unload()
    except (RuntimeError, ValueError, KeyError) as error:
        raise InvalidArtifact(f"{ref.text} does not fit its base: {str(error).splitlines()[0][:200]}") from None
    merged.save_pretrained(out, safe_serialization=True)
    for name in TOKENIZER_FILES:
        if (ref.local_path() / name).is_file():
            (out / name).write_bytes((ref.local_path() / name).read_bytes())
