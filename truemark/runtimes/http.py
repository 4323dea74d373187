"""Any OpenAI-compatible endpoint, through the official client."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from truemark.chat import Message
from truemark.errors import EngineError
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Prompt, Sampling
from truemark.settings import endpoint_url

if TYPE_CHECKING:
    import numpy as np

RETRIES = 4
"""The client waits with exponential back-off on 429, 5xx and broken connections, and obeys Retry-After."""


class HttpRuntime:
    """`openai:MODEL` behind `base_url` (default: OPENAI_BASE_URL, else the local gateway); the key comes from OPENAI_API_KEY."""

    name = "http"

    def __init__(
        self,
        model: ModelRef,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        workers: int = 8,
        timeout: float = 120,
    ) -> None:
        from openai import OpenAI

        self.url = base_url or endpoint_url()
        self.model, self.workers = model.target, workers
        self.client = OpenAI(
            base_url=self.url,
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=RETRIES,
            timeout=timeout,
        )

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """An endpoint renders out of sight."""
        return []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """`workers` requests at a time. Raises EngineError for the first that fails after its retries."""
        with ThreadPoolExecutor(self.workers) as pool:
            asked = {pool.submit(self._ask, prompt, sampling): index for index, prompt in enumerate(prompts)}
            try:
                for done in as_completed(asked):
                    yield asked[done], done.result()
            finally:
                for future in asked:
                    future.cancel()

    def _ask(self, prompt: Prompt, sampling: Sampling) -> Completion:
        from openai import OpenAIError

        began = time.monotonic()
        try:
            answer = self.client.chat.completions.create(**self._request(prompt, sampling))
        except OpenAIError as error:
            raise self._failure(error) from None
        except ValueError as error:  # a body that says it is JSON, and is none
            raise EngineError(f"{self.url} answered with something else than JSON: {str(error)[:120]}") from None
        try:  # the client passes on what is no chat completion as it came: a page of text, other fields, other types
            choice = answer.choices[0]
            text = choice.message.content or ""
            if not isinstance(text, str):
                raise TypeError
        except (AttributeError, IndexError, TypeError):
            raise EngineError(
                f"{self.url} answered with something else than a chat completion: {str(answer)[:120]!r}"
            ) from None
        digest = hashlib.sha256(json.dumps([dict(message) for message in prompt], sort_keys=True).encode()).hexdigest()  # type: ignore[arg-type]
        used = answer.usage.prompt_tokens if answer.usage else 0
        return Completion(text, choice.finish_reason or "stop", (), used, digest, time.monotonic() - began)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        from openai import OpenAIError

        try:
            for chunk in self.client.chat.completions.create(**self._request(prompt, sampling), stream=True):
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
        except OpenAIError as error:
            raise self._failure(error) from None

    def _request(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": list(prompt),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        return {**request, "stop": list(sampling.stop)} if sampling.stop else request

    def _failure(self, error: Exception) -> EngineError:
        return EngineError(
            f"{self.url} did not answer for '{self.model}': {str(error)[:300]}",
            mend="is it up? truemark serve, or set OPENAI_BASE_URL and OPENAI_API_KEY",
        )

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        raise EngineError(
            "an endpoint gives no full distributions: compare files in the torch or llamacpp runtime instead"
        )

    def vocabulary(self) -> list[str]:
        return []

    def eos_ids(self) -> set[int]:
        return set()

    def describe(self) -> dict[str, Any]:
        return {"runtime": self.name, "url": self.url, "model": self.model}

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> HttpRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
