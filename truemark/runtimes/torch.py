"""Checkpoints and adapters in PyTorch. The reference that every mark is measured against: the PEFT model, unmerged, in fp32."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from truemark import chat, compute
from truemark.chat import Message
from truemark.errors import InvalidArtifact, MissingDependency, ModelNotFound
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Prompt, Sampling
from truemark.runtimes.text import choose, cut, prompt_hash

if TYPE_CHECKING:
    import numpy as np


class TorchRuntime:
    """A causal language model in PyTorch, computing in `dtype` (fp32 by default: 16-bit weights are widened, not their values changed)."""

    name = "torch"

    def __init__(
        self, model: ModelRef, *, dtype: str = "float32", device: str | None = None, batch_size: int = 24
    ) -> None:
        """Load `model` (checkpoint or adapter). Raises ModelNotFound, InvalidArtifact, or MissingDependency without torch."""
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
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
        network: Any = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype), trust_remote_code=False)
        if model.kind == "adapter":
            network = _with_adapter(network, directory)
        self.network = network.to(self.device).eval()
        own = directory if (directory / "tokenizer.json").is_file() else base
        self.tokenizer: Any = AutoTokenizer.from_pretrained(own, trust_remote_code=False)
        self.template = chat.read_template(own)
        self._eos = _end_tokens(self.network, self.tokenizer)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        text = chat.render(
            self.template, messages, bos_token=self.tokenizer.bos_token or "", eos_token=self.tokenizer.eos_token or ""
        )
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Batches of prompts of like length; yields each batch's answers when the batch is done."""
        ids = [self._ids(prompt) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            began = time.monotonic()
            answers = self._decode(
                [ids[index] for index in batch], sampling, [sampling.seed + index for index in batch]
            )
            seconds = (time.monotonic() - began) / len(batch)
            for index, tokens in zip(batch, answers, strict=True):
                yield index, self._completion(ids[index], tokens, sampling, seconds)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        said = ""
        tokens: list[int] = []
        for token in self._steps([self._ids(prompt)], sampling, [sampling.seed]):
            if token[0] in self._eos:
                break
            tokens.append(token[0])
            text = cut(self.tokenizer.decode(tokens, skip_special_tokens=True), sampling.stop)[0]
            if not text.endswith("�") and len(text) > len(said):
                yield text[len(said) :]
                said = text
            if cut(self.tokenizer.decode(tokens, skip_special_tokens=True), sampling.stop)[1]:
                break

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            logits = self.network(input_ids=torch.tensor([list(ids)], device=self.device)).logits[0].float()
            result: np.ndarray = torch.log_softmax(logits, dim=-1).cpu().numpy()
        return result

    def vocabulary(self) -> list[str]:
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return [str(piece) for piece in pieces]

    def eos_ids(self) -> set[int]:
        return set(self._eos)

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

    def _ids(self, prompt: Prompt) -> list[int]:
        if prompt and isinstance(prompt[0], int):
            return list(prompt)  # type: ignore[arg-type]
        return self.prompt_ids(prompt)  # type: ignore[arg-type]

    def _completion(self, prompt: list[int], tokens: list[int], sampling: Sampling, seconds: float) -> Completion:
        ended = bool(tokens) and tokens[-1] in self._eos
        tokens = tokens[:-1] if ended else tokens
        text, stopped = cut(self.tokenizer.decode(tokens, skip_special_tokens=True), sampling.stop)
        return Completion(
            text, "stop" if ended or stopped else "length", tuple(tokens), len(prompt), prompt_hash(prompt), seconds
        )

    def _decode(self, prompts: list[list[int]], sampling: Sampling, seeds: list[int]) -> list[list[int]]:
        """Answers of one batch, each with its end token if it reached one."""
        answers: list[list[int]] = [[] for _ in prompts]
        done = [False] * len(prompts)
        for tokens in self._steps(prompts, sampling, seeds):
            for row, token in enumerate(tokens):
                if not done[row]:
                    answers[row].append(token)
                    done[row] = token in self._eos or self._stopped(answers[row], sampling.stop)
            if all(done):
                break
        return answers

    def _stopped(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        return bool(stop) and cut(self.tokenizer.decode(tokens, skip_special_tokens=True), stop)[1]

    def _steps(self, prompts: list[list[int]], sampling: Sampling, seeds: list[int]) -> Iterator[list[int]]:
        """One list of next tokens a step, for all rows; a row that has ended repeats its end token."""
        import numpy as np
        import torch
        from transformers import DynamicCache

        width = max(len(prompt) for prompt in prompts)
        pad = next(iter(self._eos), 0)
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=self.device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self.device)
        position = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache()
        last = [pad] * len(prompts)
        rows, ended = list(range(len(prompts))), set[int]()
        randoms = [np.random.default_rng(seed) for seed in seeds]
        for _ in range(sampling.max_tokens):
            with torch.inference_mode():
                out = self.network(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=position,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            logits = out.logits[:, -1].float().cpu().numpy()
            chosen = [choose(logits[i], sampling, randoms[row]) for i, row in enumerate(rows)]
            for row, token in zip(rows, chosen, strict=True):
                last[row] = last[row] if row in ended else token
                if token in self._eos:
                    ended.add(row)
            yield list(last)
            alive = [i for i, row in enumerate(rows) if row not in ended]
            if not alive:
                return
            if len(alive) <= len(rows) * 3 // 4:  # copying the cache pays when a quarter of it is dead
                keep = torch.tensor(alive, device=self.device)
                cache.batch_select_indices(keep)
                mask, position, rows, chosen = (
                    mask[keep],
                    position[keep],
                    [rows[i] for i in alive],
                    [chosen[i] for i in alive],
                )
            ids = torch.tensor(chosen, device=self.device)[:, None]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            position = position[:, -1:] + 1


def _base_of(model: ModelRef) -> ModelRef:
    """The base of an adapter artifact, or of a plain PEFT directory by the name in its config."""
    if model.artifact is not None:
        return model.base()
    import json

    from truemark.models import resolve

    name = json.loads((model.local_path() / "adapter_config.json").read_text(encoding="utf-8")).get(
        "base_model_name_or_path"
    )
    try:
        return resolve(str(name))
    except ModelNotFound:
        return resolve(f"hf:{name}")


def _with_adapter(network: Any, directory: Any) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(network, directory)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InvalidArtifact(f"{directory} does not fit its base: {str(error).splitlines()[0][:200]}") from None


def _end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    configured = network.generation_config.eos_token_id
    many = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in (*many, tokenizer.eos_token_id) if token is not None)


def _hush() -> None:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
