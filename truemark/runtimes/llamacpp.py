"""GGUF files in llama.cpp, in process: merged exports, LoRA-GGUF adapters on their base, and the embedded base's own file."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truemark import chat
from truemark.chat import Message
from truemark.errors import EngineError, InvalidArtifact, MissingDependency, ModelNotFound
from truemark.gguf_convert import base_gguf
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Prompt, Sampling
from truemark.runtimes.text import choose, cut, prompt_hash
from truemark.settings import threads

if TYPE_CHECKING:
    import numpy as np

LOGITS_AT_ONCE = 128
"""Tokens whose logits are asked for in one call: 49,152 × 128 floats are 25 MB."""


class LlamaCppRuntime:
    """A GGUF model with `parallel` sequences of up to `context` tokens decoded side by side."""

    name = "llamacpp"

    def __init__(self, model: ModelRef, *, context: int = 1024, parallel: int = 8) -> None:
        """Load the file. Raises ModelNotFound for a reference without a GGUF, EngineError when llama.cpp refuses it."""
        try:
            import llama_cpp
        except ImportError:
            raise MissingDependency.extra("llama-cpp-python", "gguf") from None
        self.model_ref = model
        self.api = llama_cpp
        self.context, self.parallel = context, parallel
        self._handles: list[tuple[Any, Any]] = []
        _silence(llama_cpp)
        llama_cpp.llama_backend_init()
        path, lora = _files(model)
        self._model = self._keep(
            llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params()),
            llama_cpp.llama_model_free,
            f"llama.cpp cannot load {path}",
        )
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = context * parallel, parallel
        settings.n_batch = settings.n_ubatch = 512
        settings.n_threads = settings.n_threads_batch = threads()
        settings.no_perf = True
        self._ctx = self._keep(
            llama_cpp.llama_init_from_model(self._model, settings), llama_cpp.llama_free, "no memory for the KV cache"
        )
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._batch = llama_cpp.llama_batch_init(512, 0, 1)
        if lora is not None:
            self._apply(lora)
        found = llama_cpp.llama_model_chat_template(self._model, None)
        self.metadata_template = found.decode() if found and lora is None else None
        """The copy inside the file, where there is one and it is the model's own."""
        self.template = self._read_template(found.decode() if found else None)

    def _keep(self, handle: Any, free: Any, message: str) -> Any:
        if not handle:
            self.close()
            raise EngineError(message, mend="truemark verify, or make the export again")
        self._handles.append((handle, free))
        return handle

    def _apply(self, lora: Path) -> None:
        adapter = self.api.llama_adapter_lora_init(self._model, str(lora).encode())
        if not adapter:
            raise EngineError(f"llama.cpp cannot apply {lora} to this base", mend="export it again")
        adapters = (self.api.llama_adapter_lora_p_ctypes * 1)(adapter)
        if self.api.llama_set_adapters_lora(self._ctx, adapters, 1, (ctypes.c_float * 1)(1.0)):
            raise EngineError(f"llama.cpp refused the adapter {lora}")

    def _read_template(self, inside: str | None) -> str:
        directory = self.model_ref.artifact.path if self.model_ref.artifact else None
        if directory and (directory / "chat_template.jinja").is_file():
            return chat.read_template(directory)
        if not inside:
            raise InvalidArtifact(
                f"'{self.model_ref.text}' carries no chat template", mend="export it again from an adapter with one"
            )
        return inside

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        eos = self.api.llama_vocab_get_text(self._vocab, self.api.llama_vocab_eos(self._vocab)).decode()
        bos = self.api.llama_vocab_get_text(self._vocab, self.api.llama_vocab_bos(self._vocab)).decode()
        return self.tokenize(chat.render(self.template, messages, bos_token=bos, eos_token=eos))

    def tokenize(self, text: str) -> list[int]:
        """Token ids of rendered text: special tokens are parsed, none is added (the template writes them)."""
        raw = text.encode()
        buffer = (self.api.llama_token * (len(raw) + 8))()
        count = self.api.llama_tokenize(self._vocab, raw, len(raw), buffer, len(buffer), False, True)
        if count < 0:
            raise EngineError(f"llama.cpp cannot tokenize a text of {len(raw)} bytes")
        return list(buffer[:count])

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Continuous batching: as soon as one sequence ends, the next prompt takes its place."""
        waiting = [(index, self._ids(prompt)) for index, prompt in enumerate(prompts)][::-1]
        slots: dict[int, _Sequence] = {}
        held: dict[int, list[int]] = {}
        """The prompt that each slot's memory begins with, also when its answer has ended."""
        while waiting or slots:
            for slot in range(self.parallel):
                if slot not in slots and waiting:
                    index, ids = waiting.pop()
                    slots[slot] = _Sequence(index, ids, sampling.seed + index)
                    read = self._take_over(slot, ids, held)
                    held[slot] = ids
                    slots[slot].next = self._prefill(slot, slots[slot], sampling, read)
            for slot, sequence in list(slots.items()):
                if self._finished(sequence, sampling):
                    yield sequence.index, self._completion(sequence, sampling)
                    del slots[slot]
            if slots:
                self._step(slots, sampling)

    def _take_over(self, slot: int, prompt: list[int], held: dict[int, list[int]]) -> int:
        """Give `slot` what another one's memory holds of the very same prompt: all but its last token. Returns how many tokens that is.

        Several answers to one prompt read it once.
        """
        source = slot if held.get(slot) == prompt else next((s for s, ids in held.items() if ids == prompt), None)
        if source != slot:
            self.api.llama_memory_seq_rm(self._memory, slot, -1, -1)
        if source is None or len(prompt) < 2:
            return 0
        if source != slot:
            self.api.llama_memory_seq_cp(self._memory, source, slot, -1, -1)
        self.api.llama_memory_seq_rm(self._memory, slot, len(prompt) - 1, -1)
        return len(prompt) - 1

    def _prefill(self, slot: int, sequence: _Sequence, sampling: Sampling, read: int = 0) -> int:
        """Read the prompt from token `read` on; returns the first token of the answer."""
        if len(sequence.prompt) + sampling.max_tokens > self.context:
            raise EngineError(
                f"a prompt of {len(sequence.prompt)} tokens with {sampling.max_tokens} to come does not fit {self.context}"
            )
        for start in range(read, len(sequence.prompt), 512):
            piece = sequence.prompt[start : start + 512]
            self._decode([(token, start + i, slot) for i, token in enumerate(piece)], [len(piece) - 1])
        sequence.position = len(sequence.prompt)
        return choose(self._logits(len(piece) - 1), sampling, sequence.random)

    def _step(self, slots: dict[int, _Sequence], sampling: Sampling) -> None:
        order = list(slots)
        self._decode([(slots[slot].next, slots[slot].position, slot) for slot in order], list(range(len(order))))
        for row, slot in enumerate(order):
            sequence = slots[slot]
            sequence.tokens.append(sequence.next)
            sequence.position += 1
            sequence.next = choose(self._logits(row), sampling, sequence.random)

    def _finished(self, sequence: _Sequence, sampling: Sampling) -> bool:
        ended = self.api.llama_vocab_is_eog(self._vocab, sequence.next)
        full = len(sequence.tokens) + 1 >= sampling.max_tokens
        stopped = bool(sampling.stop) and cut(self._text([*sequence.tokens, sequence.next]), sampling.stop)[1]
        if not ended and (full or stopped):
            sequence.tokens.append(sequence.next)
        sequence.ended = bool(ended)
        return bool(ended or full or stopped)

    def _completion(self, sequence: _Sequence, sampling: Sampling) -> Completion:
        text, stopped = cut(self._text(sequence.tokens), sampling.stop)
        seconds = (time.monotonic() - sequence.began) / self.parallel
        return Completion(
            text,
            "stop" if sequence.ended or stopped else "length",
            tuple(sequence.tokens),
            len(sequence.prompt),
            prompt_hash(sequence.prompt),
            seconds,
        )

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        sequence = _Sequence(0, self._ids(prompt), sampling.seed)
        self.api.llama_memory_seq_rm(self._memory, 0, -1, -1)
        sequence.next = self._prefill(0, sequence, sampling)
        said = ""
        while True:
            finished = self._finished(sequence, sampling)
            text = cut(self._text(sequence.tokens), sampling.stop)[0]
            if not text.endswith("�") and len(text) > len(said):
                yield text[len(said) :]
                said = text
            if finished:
                return
            self._step({0: sequence}, sampling)

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        import numpy as np

        if len(ids) > self.context:
            raise EngineError(f"{len(ids)} tokens do not fit a context of {self.context}")
        self.api.llama_memory_seq_rm(self._memory, 0, -1, -1)
        rows = []
        for start in range(0, len(ids), LOGITS_AT_ONCE):
            piece = ids[start : start + LOGITS_AT_ONCE]
            self._decode([(token, start + i, 0) for i, token in enumerate(piece)], list(range(len(piece))))
            rows += [self._logits(row).copy() for row in range(len(piece))]
        logits = np.stack(rows)
        logits -= logits.max(axis=-1, keepdims=True)
        result: np.ndarray = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return result

    def _decode(self, tokens: list[tuple[int, int, int]], wanted: list[int]) -> None:
        """Run (token, position, sequence) triples; logits are kept for the rows in `wanted`."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for row, (token, position, sequence) in enumerate(tokens):
            batch.token[row], batch.pos[row], batch.n_seq_id[row], batch.logits[row] = token, position, 1, 0
            batch.seq_id[row][0] = sequence
        for row in wanted:
            batch.logits[row] = 1
        code = self.api.llama_decode(self._ctx, batch)
        if code:
            raise EngineError(f"llama_decode failed with code {code}")

    def _logits(self, row: int) -> np.ndarray:
        """A view, valid until the next decode."""
        import numpy as np

        return np.ctypeslib.as_array(self.api.llama_get_logits_ith(self._ctx, row), shape=(self._size,))

    def _text(self, tokens: Sequence[int]) -> str:
        return b"".join(self._piece(token, special=False) for token in tokens).decode("utf-8", errors="replace")

    def _piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = self.api.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return bytes(buffer.raw[: max(count, 0)])

    def vocabulary(self) -> list[str]:
        return [
            self.api.llama_vocab_get_text(self._vocab, token).decode("utf-8", errors="replace")
            for token in range(self._size)
        ]

    def eos_ids(self) -> set[int]:
        return {token for token in range(self._size) if self.api.llama_vocab_is_eog(self._vocab, token)}

    def describe(self) -> dict[str, Any]:
        return {
            "runtime": self.name,
            "llama-cpp-python": self.api.__version__,
            "device": "cpu",
            "threads": threads(),
            "parallel": self.parallel,
        }

    def close(self) -> None:
        if hasattr(self, "_batch"):
            self.api.llama_batch_free(self._batch)
            del self._batch
        while self._handles:
            handle, free = self._handles.pop()
            free(handle)

    def __enter__(self) -> LlamaCppRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ids(self, prompt: Prompt) -> list[int]:
        if prompt and isinstance(prompt[0], int):
            return list(prompt)  # type: ignore[arg-type]
        return self.prompt_ids(prompt)  # type: ignore[arg-type]


class _Sequence:
    """One answer while it grows."""

    def __init__(self, index: int, prompt: list[int], seed: int) -> None:
        import numpy as np

        self.index, self.prompt = index, prompt
        self.tokens: list[int] = []
        self.next = -1
        """Chosen, but not yet decoded."""
        self.position = 0
        self.ended = False
        self.random = np.random.default_rng(seed)
        self.began = time.monotonic()


def _files(model: ModelRef) -> tuple[Path, Path | None]:
    """The GGUF to load, and the LoRA-GGUF to apply to it."""
    if model.kind == "gguf":
        return model.local_path(), None
    if model.embedded is not None:
        return model.embedded.gguf(), None
    if model.kind == "lora-gguf":
        return base_gguf(model.base()), model.local_path()
    raise ModelNotFound(
        f"the llamacpp runtime opens GGUF files, not {model.kind} ('{model.text}')", mend="truemark export … --to gguf"
    )


def adds_bos(path: Path) -> bool:
    """Whether llama.cpp puts a BOS token before a prompt of its own accord with this file (only its vocabulary is loaded)."""
    try:
        import llama_cpp
    except ImportError:
        raise MissingDependency.extra("llama-cpp-python", "gguf") from None
    _silence(llama_cpp)
    settings = llama_cpp.llama_model_default_params()
    settings.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
    if not model:
        raise EngineError(f"llama.cpp cannot load {path}", mend="truemark verify, or make the export again")
    try:
        return bool(llama_cpp.llama_vocab_get_add_bos(llama_cpp.llama_model_get_vocab(model)))
    finally:
        llama_cpp.llama_model_free(model)


_silent: list[Any] = []
"""Keeps the callback alive: C holds only its address."""


def _silence(llama_cpp: Any) -> None:
    if not _silent:
        _silent.append(llama_cpp.llama_log_callback(lambda level, text, data: None))
        llama_cpp.llama_log_set(_silent[0], ctypes.c_void_p(0))
