"""Any OpenAI-compatible endpoint, through the official client: several questions at a time, each asked again while that may help."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from truemark.chat import Message
from truemark.errors import EngineError
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Prompt, Sampling
from truemark.runtimes.retries import Budget, NoAnswer, Spending, retry_after, wait_before
from truemark.settings import endpoint_url

if TYPE_CHECKING:
    import numpy as np

RETRIES = 4
"""Of one question, beyond the first try: after 408, 409, 429, 5xx, a connection that broke or took too long, half an answer, none."""
GIVE_UP = 16
"""Questions in a row without an answer after which the endpoint is taken to be down."""
_AGAIN = (408, 409, 425, 429)
_SAME_FOR_ALL = (401, 403, 404, 405)
"""Statuses that say no to every question alike: key, model or address are wrong."""


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
        budget: Budget | None = None,
    ) -> None:
        """`workers` questions at a time; `timeout` in seconds for each try; `budget` caps what they cost together."""
        from openai import OpenAI

        self.url = base_url or endpoint_url()
        self.model, self.workers = model.target, workers
        self.budget = budget or Budget()
        self.retried = 0
        """Tries beyond the first, over all questions."""
        self.client = OpenAI(
            base_url=self.url,
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=0,  # the client knows no half answer and no budget: see `_ask`
            timeout=timeout,
        )

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """An endpoint renders out of sight."""
        return []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """`workers` questions at a time. Raises EngineError for the first that has no answer after its retries."""
        for index, answer in self.attempt(prompts, sampling):
            if isinstance(answer, NoAnswer):
                raise answer
            yield index, answer

    def attempt(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion | NoAnswer]]:
        """The same, where a question without an answer does not end the others.

        Raises EngineError where no question can have one (key, model or address wrong; GIVE_UP in a row without an answer), and
        BudgetSpent. What was answered by then has been yielded.
        """
        waiting = deque(enumerate(prompts))
        asked: dict[Future[Completion], int] = {}
        row, stop = 0, None
        closing = threading.Event()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                while asked or (waiting and stop is None):
                    while waiting and stop is None and len(asked) < 2 * self.workers:
                        index, prompt = waiting.popleft()
                        asked[pool.submit(self._ask, prompt, sampling, closing)] = index
                    for future in wait(asked, return_when=FIRST_COMPLETED).done:
                        index = asked.pop(future)
                        try:
                            answer: Completion | NoAnswer = future.result()
                            row = 0
                        except NoAnswer as error:
                            answer, row = error, row + 1
                        except EngineError as error:
                            # others are under way, and may be paid for: theirs are kept
                            stop = stop or error
                            continue
                        if row >= GIVE_UP and stop is None and isinstance(answer, NoAnswer):
                            stop = EngineError(f"{row} questions in a row had no answer; the last: {answer.message}", mend=answer.mend)  # fmt: skip
                        yield index, answer
            finally:
                for future in asked:
                    future.cancel()
                closing.set()  # where nobody reads on, no worker sits out its wait
        if stop is not None:
            raise stop

    def _ask(self, prompt: Prompt, sampling: Sampling, closing: threading.Event) -> Completion:
        """One question, with its retries. Raises NoAnswer, or EngineError where no question would be answered."""
        digest = hashlib.sha256(json.dumps([dict(message) for message in prompt], sort_keys=True).encode()).hexdigest()  # type: ignore[arg-type]
        empty: Completion | None = None
        for number in range(RETRIES + 1):
            try:
                with self.budget.room_for(_most_tokens(prompt), sampling.max_tokens) as cost:
                    answer = self._once(prompt, sampling, digest, cost)
                if answer.text or empty is not None:
                    return answer
                empty, after = answer, 0.0  # a model may have nothing to say; said twice, it is its answer
            except NoAnswer as error:
                if empty is not None:
                    return empty
                seconds = wait_before(number + 1, error.after)
                if not error.again or number == RETRIES or seconds is None:
                    raise self._after(error, number + 1) from None
                after = seconds
            if number < RETRIES:
                self.retried += 1
                if closing.wait(after):
                    break
        if empty is not None:
            return empty
        raise NoAnswer("nobody waits for the answer any more")

    def _once(self, prompt: Prompt, sampling: Sampling, digest: str, cost: Spending) -> Completion:
        from openai import OpenAIError

        began = time.monotonic()
        try:
            answer = self.client.chat.completions.create(**self._request(prompt, sampling))
        except OpenAIError as error:
            raise self._failure(error, cost) from None
        except ValueError as error:  # a body that says it is JSON, and is none
            raise NoAnswer(
                f"{self.url} answered with something else than JSON: {str(error)[:120]}", again=True
            ) from None
        try:  # the client passes on what is no chat completion as it came: a page of text, other fields, other types
            choice = answer.choices[0]
            text, finish = choice.message.content, choice.finish_reason
            if not isinstance(text, str):
                raise TypeError
        except (AttributeError, IndexError, TypeError):
            raise NoAnswer(
                f"{self.url} answered with something else than a chat completion: {str(answer)[:120]!r}", again=True
            ) from None
        if answer.usage:
            cost.tokens_in = _count(getattr(answer.usage, "prompt_tokens", None), cost.tokens_in)
            cost.tokens_out = _count(getattr(answer.usage, "completion_tokens", None), cost.tokens_out)
        if finish == "content_filter":
            raise NoAnswer(f"{self.url} withheld its answer (content_filter)")
        used = (cost.tokens_in, cost.tokens_out) if answer.usage else (0, None)
        return Completion(text, finish or "stop", (), used[0], digest, time.monotonic() - began, used[1])

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """One answer as it comes. Raises EngineError, also where it breaks off in the middle."""
        from openai import APIConnectionError, OpenAIError

        said = finished = False
        try:
            for chunk in self.client.chat.completions.create(**self._request(prompt, sampling), stream=True):
                if not chunk.choices:
                    continue
                if chunk.choices[0].delta.content:
                    said = True
                    yield chunk.choices[0].delta.content
                finished = finished or chunk.choices[0].finish_reason is not None
        except OpenAIError as error:
            if said and isinstance(error, APIConnectionError):
                raise EngineError(f"{self.url} broke off in the middle of an answer: {error}") from None
            raise self._failure(error, Spending(0, 0)) from None
        except (ValueError, AttributeError, TypeError) as error:
            raise EngineError(f"{self.url} streamed something else than chat completions: {str(error)[:120]}") from None
        if not finished:
            raise EngineError(f"{self.url} broke off in the middle of an answer")

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

    def _failure(self, error: Exception, cost: Spending) -> EngineError:
        """What an error of the client means, and what the try did cost: nothing where the endpoint refused it."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        words = f"{self.url} did not answer for '{self.model}': {str(error)[:300]}"
        mend = "is it up? truemark serve, or set OPENAI_BASE_URL and OPENAI_API_KEY"
        if isinstance(error, APIStatusError):
            cost.tokens_in = cost.tokens_out = 0
            status = error.response.status_code
            if status in _SAME_FOR_ALL or getattr(error, "code", None) == "insufficient_quota":
                return EngineError(words, mend=mend)
            again = status in _AGAIN or status >= 500
            return NoAnswer(words, mend=mend, again=again, after=retry_after(error.response.headers))
        if isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError):
            if type(error.__cause__).__name__ == "ConnectError":
                cost.tokens_in = cost.tokens_out = 0  # it never heard the question
            words += f" ({error.__cause__})" if error.__cause__ else ""
        return NoAnswer(words, mend=mend, again=True)

    def _after(self, error: NoAnswer, tries: int) -> NoAnswer:
        if error.again and error.after is not None and wait_before(1, error.after) is None:
            return NoAnswer(f"{error.message}; it asks to wait {error.after:.0f} s", mend=error.mend)
        return NoAnswer(f"{error.message} (tries: {tries})" if tries > 1 else error.message, mend=error.mend)

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


def _most_tokens(prompt: Prompt) -> int:
    """No more tokens than this are in a prompt: a byte each (as byte-level vocabularies have at most), and a frame for each message."""
    return sum(
        len(str(message["content"]).encode("utf-8", "replace")) + 16
        for message in prompt
        if not isinstance(message, int)
    )


def _count(value: Any, instead: int) -> int:
    return value if type(value) is int and value >= 0 else instead
