"""Encoder-decoder models in PyTorch, the baseline before chat models: `t5:google/flan-t5-base`, or the path of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from truemark import compute
from truemark.chat import Message
from truemark.errors import EngineError, MissingDependency, ModelNotFound
from truemark.models import ModelRef
from truemark.runtimes.base import Sampling
from truemark.runtimes.batched import BatchedRuntime, logprobs_of
from truemark.runtimes.text import choose

if TYPE_CHECKING:
    import numpy as np


class Seq2SeqRuntime(BatchedRuntime):
    """A T5-like model in fp32. It has no chat template: see `rendered` for what it reads."""

    name = "seq2seq"

    def __init__(self, model: ModelRef, *, device: str | None = None, batch_size: int = 24) -> None:
        """Load `model`. Raises ModelNotFound where it is no encoder-decoder, MissingDependency without torch."""
        try:
            import torch
            import transformers
            from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
        except ImportError as error:
            raise MissingDependency.extra(error.name or "torch", "train") from None
        compute.prepare()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        directory = model.local_path()
        try:
            config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
            if not config.is_encoder_decoder:
                raise ModelNotFound(f"{model.text} is no encoder-decoder: expected a T5, found {config.model_type}")
            self.network: Any = AutoModelForSeq2SeqLM.from_pretrained(
                directory, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            )
            self.tokenizer: Any = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelNotFound(
                f"{model.text} in {directory} cannot be loaded: {str(error).splitlines()[0][:200]}",
                mend="expected config.json, model.safetensors and a tokenizer of an encoder-decoder",
            ) from None
        self.device = device or compute.device()
        self.network = self.network.to(self.device).eval()
        self.batch_size = batch_size
        self.eos_token = self.tokenizer.eos_token or ""
        ends = {self.network.generation_config.eos_token_id, self.tokenizer.eos_token_id} - {None}
        self._eos = frozenset(int(end) for end in ends)
        self._start = int(self.network.config.decoder_start_token_id)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        ids: list[int] = self.tokenizer(rendered(messages))["input_ids"]
        return ids

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        raise EngineError("an encoder-decoder has no distribution over its prompt")

    def vocabulary(self) -> list[str]:
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return [str(piece) for piece in pieces]

    def describe(self) -> dict[str, Any]:
        import torch

        return {
            "runtime": self.name,
            "torch": torch.__version__,
            "device": self.device,
            "compute": "float32",
            "threads": torch.get_num_threads(),
            "batch": self.batch_size,
        }

    def close(self) -> None:
        self.__dict__.pop("network", None)

    def __enter__(self) -> Seq2SeqRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _steps(
        self, prompts: list[list[int]], sampling: Sampling, seeds: list[int], said: list[list[float]] | None = None
    ) -> Iterator[list[int]]:
        """The encoder reads the prompts once; the decoder then writes a token a step for all rows."""
        import numpy as np
        import torch

        width = max(len(prompt) for prompt in prompts)
        pad = int(self.network.config.pad_token_id or 0)
        ids = torch.tensor([prompt + [pad] * (width - len(prompt)) for prompt in prompts], device=self.device)
        mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts], device=self.device)
        randoms = [np.random.default_rng(seed) for seed in seeds]
        with torch.inference_mode():
            read = self.network.get_encoder()(input_ids=ids, attention_mask=mask)
        last, cache, ended = [self._start] * len(prompts), None, set[int]()
        for _ in range(sampling.max_tokens):
            with torch.inference_mode():
                out = self.network(
                    encoder_outputs=read,
                    attention_mask=mask,
                    decoder_input_ids=torch.tensor(last, device=self.device)[:, None],
                    past_key_values=cache,
                    use_cache=True,
                )
            cache = out.past_key_values
            logits = out.logits[:, -1].float().cpu().numpy()
            for row in range(len(prompts)):
                if row not in ended:
                    last[row] = choose(logits[row], sampling, randoms[row])
                    if said is not None:
                        said[row] += logprobs_of(logits[row : row + 1], [last[row]])
                    if last[row] in self._eos:
                        ended.add(row)
            yield list(last)
            if len(ended) == len(prompts):
                return


def rendered(messages: Sequence[Message]) -> str:
    """The text for a model without turns: system text and question apart by an empty line; earlier turns with their roles named."""
    system = [str(message["content"]) for message in messages if message["role"] == "system"]
    turns = [message for message in messages if message["role"] != "system"]
    if len(turns) == 1:
        return "\n\n".join([*system, str(turns[0]["content"])])
    return "\n\n".join([*system, *(f"{message['role']}: {message['content']}" for message in turns)])
