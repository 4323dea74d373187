"""Any OpenAI-compatible endpoint as a writer of data: paraphrases, blueprints. What it has answered once is not asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from truemark.chat import Message
from truemark.files import sha256_json, write_text
from truemark.models import ModelRef
from truemark.runtimes.base import Sampling
from truemark.runtimes.http import HttpRuntime
from truemark.settings import cache_dir


class Endpoint:
    """`model` behind `base_url` (default: OPENAI_BASE_URL, else the local gateway); the key comes from OPENAI_API_KEY."""

    def __init__(
        self, model: str, *, base_url: str | None = None, cache: Path | None = None, timeout: float = 120
    ) -> None:
        """Answers are kept in `cache` (default: `endpoint` in Truemark's cache) by URL, model, messages and sampling.

        `timeout` is in seconds, for each try.
        """
        reference = ModelRef(f"openai:{model}", "openai", target=model)
        self._runtime = HttpRuntime(reference, base_url=base_url, timeout=timeout)
        self._cache = cache or cache_dir() / "endpoint"

    def complete(
        self, messages: Sequence[Message], *, max_tokens: int = 512, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """The answer's text, which may be empty. Raises EngineError when the endpoint does not answer."""
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature, seed=seed)
        key = sha256_json([self._runtime.url, self._runtime.model, list(messages), max_tokens, temperature, seed])
        file = self._cache / f"{key}.txt"
        if file.is_file():
            return file.read_text(encoding="utf-8")
        [(_, answer)] = self._runtime.generate([list(messages)], sampling)
        text = answer.text.encode("utf-8", "replace").decode("utf-8")  # no UTF-8 file can hold a lone surrogate
        write_text(file, text)
        return text

    def close(self) -> None:
        """End the client's connections."""
        self._runtime.close()
