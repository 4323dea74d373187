"""TorchScript and `torch.export` programs: torch and `tokenizers` alone, no transformers. `exports/program.py` says what a program takes and gives.

Both files can run code of whoever wrote them: TorchScript is a program, and `torch.export.load` falls back to unrestricted unpickling and evaluates
symbolic expressions. So they are opened only as the hashed file of an artifact, and a .pt2 that holds a pickle (ours hold none) is refused.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truemark import compute
from truemark.errors import InvalidArtifact, MissingDependency, ModelNotFound
from truemark.models import ModelRef
from truemark.runtimes.batched import BatchedRuntime
from truemark.runtimes.tokenizer import FileTokenizer

if TYPE_CHECKING:
    import numpy as np

FILES = {"torchscript": "model.torchscript", "pt2": "model.pt2"}


class ProgramRuntime(BatchedRuntime):
    """A program of one decoding step, on the CPU in fp32 (its trace holds CPU constants)."""

    def __init__(self, model: ModelRef, *, batch_size: int = 24) -> None:
        """Raises ModelNotFound, InvalidArtifact, or MissingDependency without torch."""
        try:
            import torch
        except ImportError:
            raise MissingDependency.extra("torch", "train") from None
        if model.kind not in FILES or model.artifact is None:
            raise ModelNotFound(f"a program is opened from an export of {' or '.join(FILES)}, not from {model.kind} ('{model.text}')")  # fmt: skip
        compute.prepare()
        directory = model.local_path()
        file = directory / FILES[model.kind]
        if not file.is_file():
            raise InvalidArtifact(f"{directory} has no {file.name}", mend=f"truemark export --to {model.kind}")
        self.name = model.kind
        self.model_ref = model
        self.batch_size = batch_size
        self._tokenizer = FileTokenizer(directory)
        self.template, self._eos = self._tokenizer.template, self._tokenizer.eos
        self.bos_token, self.eos_token = self._tokenizer.bos_token, self._tokenizer.eos_token
        described = _description(directory)
        self._shapes = [(int(layer["heads"]), int(layer["head_dim"])) for layer in described["layers"]]
        try:
            self._program: Any = _load_pt2(file) if model.kind == "pt2" else torch.jit.load(str(file), map_location="cpu").eval()  # fmt: skip
        except (RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InvalidArtifact(f"{file} cannot be read: {str(error).splitlines()[0][:200]}") from None

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        import numpy as np
        import torch

        tokens = np.array([list(ids)], dtype=np.int64)
        position = np.arange(len(ids), dtype=np.int64)[None]
        with torch.inference_mode():
            logits, _ = self._run(tokens, np.ones_like(tokens), position, list(range(len(ids))), None)
            result: np.ndarray = torch.log_softmax(logits[0], dim=-1).numpy()
        return result

    def vocabulary(self) -> list[str]:
        return self._tokenizer.vocabulary()

    def describe(self) -> dict[str, Any]:
        import torch

        return {
            "runtime": self.name,
            "torch": torch.__version__,
            "device": "cpu",
            "compute": "float32",
            "threads": torch.get_num_threads(),
            "batch": self.batch_size,
        }

    def close(self) -> None:
        self.__dict__.pop("_program", None)

    def __enter__(self) -> ProgramRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.text(tokens)

    def _forward(self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        import torch

        with torch.inference_mode():
            logits, cache = self._run(ids, mask, position, [ids.shape[1] - 1], cache)
        result: np.ndarray = logits[:, -1].numpy()
        return result, cache

    def _run(self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, keep: list[int], past: Any) -> Any:
        import torch

        if past is None:
            past = tuple(torch.zeros((len(ids), heads, 0, size)) for heads, size in self._shapes for _ in range(2))
        return self._program(
            torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(position), torch.tensor(keep), past
        )

    def _keep(self, cache: Any, rows: list[int]) -> Any:
        return tuple(tensor[rows] for tensor in cache)


def _description(directory: Path) -> dict[str, Any]:
    file = directory / "program.json"
    try:
        described: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        [(layer["heads"], layer["head_dim"]) for layer in described["layers"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArtifact(f"{file} does not describe a program: {error}", mend="export it again") from None
    return described


def _load_pt2(file: Path) -> Any:
    import torch

    _refuse_pickles(file)
    return torch.export.load(file).module()


def _refuse_pickles(file: Path) -> None:
    """Raise InvalidArtifact when an archive holds anything that `torch.export.load` would unpickle."""
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            pickled: list[str] = []
            if entry.filename.endswith(("_weights_config.json", "_constants_config.json")):
                payloads = json.loads(archive.read(entry))["config"]
                pickled = [name for name, payload in payloads.items() if payload.get("use_pickle")]
            elif "/sample_inputs/" in entry.filename and entry.file_size:
                pickled = [entry.filename]
            if pickled:
                raise InvalidArtifact(
                    f"{file} holds pickled data ({pickled[0]}): loading it would run its author's code",
                    mend="export it again",
                )
