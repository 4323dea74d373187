"""The adapter that is exported: opened, distrusted, and merged once for all formats that need it merged."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truemark import adapters, lora, models
from truemark.artifacts import Artifact
from truemark.errors import InvalidArtifact
from truemark.files import storage_errors
from truemark.models import ModelRef

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
        copy_tokenizer(self.path, out)


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
    """Raise InvalidArtifact unless the adapter's tensors are finite, of the rank that their config states, and change something."""
    import torch

    config = lora.read_config(path)
    if config.get("peft_type") != "LORA":
        raise InvalidArtifact(f"{path}: expected a LoRA adapter, adapter_config.json says {config.get('peft_type')!r}")
    moved = False
    for name, tensor in adapters.tensors(path):
        if not torch.isfinite(tensor).all():
            raise InvalidArtifact(f"{path / lora.WEIGHTS}: {name} holds NaN or Inf", mend="train the adapter again")
        if (rank := _rank_in(name, tensor)) is not None and rank != (
            stated := lora.stated_rank(config, lora.module_of(name))
        ):
            raise InvalidArtifact(
                f"{path}: adapter_config.json says rank {stated}, {name} has shape {tuple(tensor.shape)}"
            )
        # what is not a LoRA factor (a whole head, an embedding, new tokens) replaces the base's own
        moved = moved or (not _is_start(name) and bool(tensor.any()))
    if not moved:
        raise InvalidArtifact(f"{path}: all lora_B weights are zero: this adapter is its base", mend="train it")


def _is_start(name: str) -> bool:
    """True for what is not zero at the start of training: it says nothing of whether training changed anything."""
    return any(part in name for part in (".lora_A.", ".lora_embedding_B", ".lora_magnitude_vector", ".base_layer."))


def _rank_in(name: str, tensor: Any) -> int | None:
    if ".lora_A." in name or ".lora_embedding_A" in name:
        return int(tensor.shape[0])
    if ".lora_B." in name or ".lora_embedding_B" in name:
        return int(tensor.shape[1])
    return None


def merge(ref: ModelRef, base: ModelRef, out: Path) -> None:
    """Write the base with the adapter merged in, in fp32, as a Hugging Face checkpoint with the adapter's tokenizer."""
    import torch

    from truemark import compute

    compute.prepare()
    merged = adapters.merge(adapters.load(base.local_path(), ref.local_path(), dtype=torch.float32))
    merged.save_pretrained(out, safe_serialization=True)
    copy_tokenizer(ref.local_path(), out)
    del merged
    compute.release()


def copy_tokenizer(adapter: Path, out: Path) -> None:
    """The adapter's own tokenizer and chat template, byte for byte."""
    for name in TOKENIZER_FILES:
        if (adapter / name).is_file():
            (out / name).write_bytes((adapter / name).read_bytes())
