"""The server as the demos see it: an OpenAI-compatible address, spoken to with the official client.

Every failure becomes an EngineError in words, with what to do: a person reads it in the page.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truemark.errors import EngineError

if TYPE_CHECKING:
    from openai import APIStatusError

MAX_TOKENS = 384
"""Longest answer asked for; a worked solution takes about 150, and an untrained base rambles."""
MAX_CHARACTERS = 8_000
"""Longest answer shown, whatever the server sends."""
TIMEOUT = 120.0
"""Seconds without a byte from the server."""


@dataclass(frozen=True)
class Model:
    """A row of `/v1/models`. Other servers than `truemark serve` tell the name alone."""

    name: str
    artifact: str = ""
    """`name@sha12` of what is loaded."""
    domain: str = ""
    """What an adapter was trained for."""
    base: str = ""
    """The name of an adapter's base at the same server."""

    @classmethod
    def read(cls, row: dict[str, Any]) -> Model:
        """From the JSON row, with `truemark serve`'s own field where there is one."""
        told = row.get("truemark")
        about = told if isinstance(told, dict) else {}
        return cls(str(row.get("id", "")), *(str(about.get(key) or "") for key in ("artifact", "domain", "base")))


class Server:
    """An OpenAI-compatible endpoint. One object belongs to one event loop."""

    def __init__(self, url: str) -> None:
        import openai

        self.url = url
        """Base URL with the `/v1` suffix."""
        # Without retries: a person sees at once that the server is busy, and asks again.
        key = os.environ.get("TRUEMARK_API_KEY") or "none"
        self._client = openai.AsyncOpenAI(base_url=url, api_key=key, timeout=TIMEOUT, max_retries=0)

    async def models(self) -> list[Model]:
        """What it serves. Raises EngineError."""
        import openai

        try:
            return [Model.read(row.to_dict()) async for row in self._client.models.list()]
        except openai.OpenAIError as error:
            raise self._in_words(error) from None

    async def stream(self, model: str, messages: Sequence[Mapping[str, str]]) -> AsyncIterator[tuple[str, bool]]:
        """Greedy answer to `messages`: pieces of text, each with whether the answer was cut off after it.

        Raises EngineError, also when the answer stops half-way.
        """
        import openai

        shown = 0
        finished = None
        request: dict[str, Any] = {"model": model, "messages": list(messages), "stream": True}
        try:
            answer = await self._client.chat.completions.create(**request, temperature=0, max_tokens=MAX_TOKENS)
            async with answer:
                async for chunk in answer:
                    for choice in chunk.choices[:1]:
                        finished = choice.finish_reason or finished
                        piece = (choice.delta.content or "")[: MAX_CHARACTERS - shown]
                        shown += len(piece)
                        if piece:
                            yield piece, False
                    if shown >= MAX_CHARACTERS:
                        finished = "length"
                        break
        except openai.OpenAIError as error:
            raise self._in_words(error, begun=shown > 0, model=model) from None
        if finished is None:
            raise EngineError("The answer broke off half-way: the server closed the stream.", mend="Ask again.")
        if finished == "length":
            yield "", True

    def _in_words(self, error: Exception, *, begun: bool = False, model: str = "") -> EngineError:
        import openai

        if isinstance(error, openai.APITimeoutError):
            return EngineError(
                f"The server at {self.url} took longer than {TIMEOUT:.0f} s.",
                mend="Ask again, or ask something shorter.",
            )
        if isinstance(error, openai.APIConnectionError):
            if begun:
                return EngineError(
                    "The connection to the server broke in the middle of the answer.",
                    mend="Ask again. If it stays so, start the server again: truemark serve --adapter NAME=PATH",
                )
            return EngineError(
                f"No server answers at {self.url}.",
                mend="Start it: truemark serve --adapter NAME=PATH, then ask again.",
            )
        if isinstance(error, openai.APIStatusError):
            return _status_in_words(error, model)
        return EngineError(f"The server at {self.url} sent something that is not an answer: {error}", mend="Ask again.")


def _status_in_words(error: APIStatusError, model: str) -> EngineError:
    status = error.status_code
    if status in (429, 503):
        return EngineError(
            f"The server is busy or just starting: {_message(error)}", mend="Ask again in a few seconds."
        )
    if status == 404 and model:
        return EngineError(
            f"The server has no model '{model}'.", mend=f"Start it with one: truemark serve --adapter {model}=PATH"
        )
    if status in (401, 403):
        return EngineError("The server wants a key.", mend="Set TRUEMARK_API_KEY and start the demo again.")
    return EngineError(f"The server refused the question ({status}): {_message(error)}", mend="Ask another way.")


def _message(error: APIStatusError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error.message)[:300]
