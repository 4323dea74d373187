"""What every in-process runtime with a key/value cache and left-padded batches shares: a subclass brings the tokenizer and one forward step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from truemark import chat
from truemark.chat import Message
from truemark.runtimes.base import Completion, Prompt, Sampling
from truemark.runtimes.text import choose, cut, prompt_hash

if TYPE_CHECKING:
    import numpy as np


class BatchedRuntime:
    """Greedy or sampled decoding of batches of like length. Subclasses set `name`, `template`, `bos_token`, `eos_token`,
    `batch_size` and `_eos`, and implement `_encode`, `_text`, `_forward`, `_keep`, `logprobs`, `vocabulary`, `describe` and `close`."""

    name: str
    template: str
    bos_token: str = ""
    eos_token: str = ""
    batch_size: int = 24
    _eos: frozenset[int]

    def _encode(self, text: str) -> list[int]:
        """Token ids of rendered text: special tokens are parsed, none is added (the template writes them)."""
        raise NotImplementedError

    def _text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without special tokens."""
        raise NotImplementedError

    def _forward(self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        """One step for B rows: int64 `ids` and `position` [B, T], `mask` [B, past + T] (0 on the left padding), `cache` None at first.

        Returns float32 logits of the last position [B, V] and the cache to go on with.
        """
        raise NotImplementedError

    def _keep(self, cache: Any, rows: list[int]) -> Any:
        """The cache of these rows of the batch."""
        raise NotImplementedError

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        return self._encode(chat.render(self.template, messages, bos_token=self.bos_token, eos_token=self.eos_token))

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Batches of prompts of like length; yields each batch's answers when the batch is done."""
        ids = [self._ids(prompt) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            began = time.monotonic()
            said: list[list[float]] = [[] for _ in batch]
            answers = self._decode(
                [ids[index] for index in batch], sampling, [sampling.seed + index for index in batch], said
            )
            seconds = (time.monotonic() - began) / len(batch)
            for index, tokens, logprobs in zip(batch, answers, said, strict=True):
                completion = self._completion(ids[index], tokens, sampling, seconds)
                yield index, replace(completion, confidence=_confidence(logprobs[: len(tokens)]))

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        said = ""
        tokens: list[int] = []
        for token in self._steps([self._ids(prompt)], sampling, [sampling.seed]):
            if token[0] in self._eos:
                break
            tokens.append(token[0])
            text, stopped = cut(self._text(tokens), sampling.stop)
            if not text.endswith("�") and len(text) > len(said):
                yield text[len(said) :]
                said = text
            if stopped:
                break

    def continuations(self, prompts: Sequence[list[int]], sampling: Sampling) -> list[list[int]]:
        """Generated token ids of every prompt's answer, the end token included where one was reached."""
        answers: list[list[int]] = []
        for start in range(0, len(prompts), self.batch_size):
            batch = list(prompts[start : start + self.batch_size])
            seeds = [sampling.seed + start + row for row in range(len(batch))]
            answers += self._decode(batch, sampling, seeds)
        return answers

    def eos_ids(self) -> set[int]:
        return set(self._eos)

    def _ids(self, prompt: Prompt) -> list[int]:
        if prompt and isinstance(prompt[0], int):
            return list(prompt)  # type: ignore[arg-type]
        return self.prompt_ids(prompt)  # type: ignore[arg-type]

    def _completion(self, prompt: list[int], tokens: list[int], sampling: Sampling, seconds: float) -> Completion:
        ended = bool(tokens) and tokens[-1] in self._eos
        tokens = tokens[:-1] if ended else tokens
        text, stopped = cut(self._text(tokens), sampling.stop)
        return Completion(
            text, "stop" if ended or stopped else "length", tuple(tokens), len(prompt), prompt_hash(prompt), seconds
        )

    def _decode(
        self, prompts: list[list[int]], sampling: Sampling, seeds: list[int], said: list[list[float]] | None = None
    ) -> list[list[int]]:
        """Answers of one batch, each with its end token if it reached one; `said` takes their tokens' log-probabilities (and some after)."""
        answers: list[list[int]] = [[] for _ in prompts]
        done = [False] * len(prompts)
        for tokens in self._steps(prompts, sampling, seeds, said):
            for row, token in enumerate(tokens):
                if not done[row]:
                    answers[row].append(token)
                    done[row] = token in self._eos or self._stopped(answers[row], sampling.stop)
            if all(done):
                break
        return answers

    def _stopped(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        return bool(stop) and cut(self._text(tokens), stop)[1]

    def _steps(
        self, prompts: list[list[int]], sampling: Sampling, seeds: list[int], said: list[list[float]] | None = None
    ) -> Iterator[list[int]]:
        """One list of next tokens a step, for all rows; a row that has ended repeats its end token."""
        import numpy as np

        width = max(len(prompt) for prompt in prompts)
        pad = next(iter(self._eos), 0)
        different = {tuple(prompt): None for prompt in prompts}
        ids = np.array([[pad] * (width - len(prompt)) + list(prompt) for prompt in different], dtype=np.int64)
        mask = np.array([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in different], dtype=np.int64)
        position = np.maximum(mask.cumsum(axis=1) - 1, 0)
        cache: Any = None
        last = [pad] * len(prompts)
        rows, ended = list(range(len(prompts))), set[int]()
        randoms = [np.random.default_rng(seed) for seed in seeds]
        for step in range(sampling.max_tokens):
            logits, cache = self._forward(ids, mask, position, cache)
            if step == 0 and len(different) < len(prompts):  # several answers to one prompt: it is read once
                place = {prompt: row for row, prompt in enumerate(different)}
                copies = [place[tuple(prompt)] for prompt in prompts]
                cache = self._keep(cache, copies)
                logits, mask, position = logits[copies], mask[copies], position[copies]
            chosen = [choose(logits[i], sampling, randoms[row]) for i, row in enumerate(rows)]
            if said is not None:
                for row, logprob in zip(rows, logprobs_of(logits, chosen), strict=True):
                    said[row].append(logprob)
            for row, token in zip(rows, chosen, strict=True):
                last[row] = last[row] if row in ended else token
                if token in self._eos:
                    ended.add(row)
            yield list(last)
            alive = [i for i, row in enumerate(rows) if row not in ended]
            if not alive:
                return
            if len(alive) <= len(rows) * 3 // 4:  # copying the cache pays when a quarter of it is dead
                cache = self._keep(cache, alive)
                mask, position = mask[alive], position[alive]
                rows, chosen = [rows[i] for i in alive], [chosen[i] for i in alive]
            ids = np.array(chosen, dtype=np.int64)[:, None]
            mask = np.concatenate([mask, np.ones((len(rows), 1), dtype=np.int64)], axis=1)
            position = position[:, -1:] + 1


def logprobs_of(logits: np.ndarray, chosen: list[int]) -> list[float]:
    """Log-probabilities of one token of each row of logits [B, V]."""
    import numpy as np

    shifted = logits - logits.max(axis=1, keepdims=True)
    found: list[float] = (shifted[np.arange(len(chosen)), chosen] - np.log(np.exp(shifted).sum(axis=1))).tolist()
    return found


def _confidence(logprobs: list[float]) -> float | None:
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else None
