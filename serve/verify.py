"""Verified answers: generate, let the domain judge, generate again; the first answer that passes is the answer.

    {"model": "math", "messages": […], "truemark": {"verify": true, "attempts": 3}}      or      {"model": "math:verified", …}

The first attempt is the request as it stands; further ones are warmer, or are told what was wrong. Where none passes, the domain's own solution is
returned if it has one, and said to be that. What can be checked without a gold answer, and what not, says `domains/review.py`; it runs in the
sandbox. A client that leaves ends the attempt at the engine and the check in its worker.

In a stream nothing is sent of an attempt before it is accepted: text that a client has seen cannot be taken back. It gets comments (`: attempt 2`, which
every client skips) while it waits, then the accepted answer, and the verdict with the finish reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from domains import DOMAINS, get
from domains.base import Domain, Verdict
from domains.review import LIMITS, TARGET, Review, again, takes_hints
from serve.catalog import ServedModel
from serve.engines.base import FinishReason, Piece
from serve.observe import record
from serve.protocol import (
    ApiError,
    AssistantMessage,
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    Choice,
    ChunkChoice,
    Delta,
    Usage,
    completion_id,
    now,
    sse,
)
from serve.verification import USUAL, Judged, Options, Outcome, Report, Tried
from truemark import sandbox
from truemark.errors import EngineError

log = logging.getLogger("truemark.serve")
SUFFIX = ":verified"
TOKENS = 4096
"""Once all attempts together have generated so many, no other begins."""
SECONDS = 120.0
"""After so many since the first began no other begins, and one that runs is cut off."""
WARMER = 0.8
"""Least temperature of a further attempt: greedily it would be the first again."""
KEEP_ALIVE = 5.0
"""Seconds between two comments in a stream that waits."""
_ONE_PLAIN_TEXT: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "response_format": (None, {"type": "text"}),
}
"""Fields that a verified answer cannot follow, with the values that ask for nothing."""
_reviewers = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="review")
"""As many as the sandbox has workers: what waits for one can still be cancelled."""
Begin = Callable[[ChatRequest], Awaitable[tuple[int, AsyncGenerator[Piece, None]]]]
"""A request → its prompt's tokens, and the engine's pieces."""


class VerifiedCompletion(ChatCompletion):
    truemark: Report


class VerifiedChunk(ChatChunk):
    truemark: Report


def split(name: str) -> tuple[str, bool]:
    """`math:verified` → `math`, True."""
    return name.removesuffix(SUFFIX), name.endswith(SUFFIX)


def variant(model: ServedModel) -> str | None:
    """The name under which a model's answers come verified; None for one without a domain."""
    return f"{model.name}{SUFFIX}" if model.domain in DOMAINS else None


def wanted(chat: ChatRequest) -> bool:
    """Whether a verified answer is asked for. Raises ApiError 400 for options that go with nothing."""
    options, named = chat.truemark or Options(), split(chat.model)[1]
    if named and options.verify is False:
        raise _refused(f"the model name ends in {SUFFIX}, and verify is false", "truemark.verify")
    if not (named or options.verify) and (options.attempts, options.feedback) != (None, None):
        raise _refused('attempts and feedback go with "verify": true', "truemark")
    return named or bool(options.verify)


@dataclass
class Attempt:
    """One answer of the model."""

    prompt_tokens: int
    pieces: AsyncGenerator[Piece, None]
    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason | None = None
    review: Review | None = None

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        self.text += piece.text
        self.tokens, self.finish_reason = piece.tokens, piece.finish_reason

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Better is greater."""
        verdict = self.review.verdict if self.review else None
        if self.review is None or verdict is None:
            return False, False, 0.0
        return self.review.accepted, verdict.passed, verdict.score

    def tried(self) -> Tried:
        """As the report tells it."""
        verdict = self.review.verdict if self.review else None
        judged = Judged.of(verdict) if verdict else None
        return Tried(verdict=judged, completion_tokens=self.tokens, finish_reason=self.finish_reason)


@dataclass
class Verified:
    """A verified answer in the making."""

    begin: Begin
    chat: ChatRequest
    model: ServedModel
    domain: Domain
    attempts: int
    feedback: bool
    solve: bool = True
    """Whether the domain may look for a solution of its own; without, answers are judged by what they show of themselves."""
    tries: list[Attempt] = field(default_factory=list)
    deadline: float = 0.0
    """By the loop's clock; set by `start`."""
    ended: str = ""
    """Why there was no other attempt, where a limit or the engine ended them."""

    async def start(self) -> None:
        """Begin the first attempt, to its first piece. Raises ApiError and EngineError, which have a status until then."""
        self.deadline = asyncio.get_running_loop().time() + SECONDS
        await self._begin(self.chat)

    async def finish(self) -> None:
        """All attempts. Raises EngineError when the engine breaks off the first; a later one ends there."""
        await self._end(self.tries[0])
        try:
            async with asyncio.timeout_at(self.deadline):
                while (chat := self._again()) is not None:
                    try:
                        await self._begin(chat)
                    except ApiError:  # with the hint it is too long for the model
                        if not self.feedback:
                            raise
                        self.feedback = False
                        continue
                    await self._end(self.tries[-1])
        except TimeoutError:
            self.ended = f"the {SECONDS:g} s for all attempts were over"
        except (EngineError, ApiError) as error:
            self.ended = f"attempt {len(self.tries) + 1} could not be made: {error}"
        record.judged(self.model.name, self.outcome)
        log.info("%s: %s after %d attempts, %d tokens", self.model.name, self.outcome, len(self.tries), self.usage().completion_tokens)  # fmt: skip

    async def close(self) -> None:
        """End what runs at the engine. Safe to call twice."""
        for attempt in self.tries:
            await attempt.pieces.aclose()

    async def _begin(self, chat: ChatRequest) -> None:
        tokens, pieces = await self.begin(chat)
        try:
            first = await anext(pieces)
        except StopAsyncIteration:
            raise EngineError("the engine gave no answer") from None
        self.tries.append(Attempt(tokens, pieces))
        self.tries[-1].add(first)

    async def _end(self, attempt: Attempt) -> None:
        async with contextlib.aclosing(attempt.pieces):
            async for piece in attempt.pieces:
                attempt.add(piece)
        if attempt.finish_reason is None:
            raise EngineError("the engine broke off while answering")
        attempt.review = await self._review(attempt.text)

    async def _review(self, text: str) -> Review:
        stop = threading.Event()
        messages = [message.plain() for message in self.chat.messages]
        call = partial(sandbox.call, TARGET, self.domain.NAME, messages, text, self.solve, limits=LIMITS, stop=stop)
        try:
            return Review.from_json(await asyncio.get_running_loop().run_in_executor(_reviewers, call))
        except sandbox.SandboxFailed as failure:
            if failure.kind == "error":
                log.error("the check of %s failed: %s", self.domain.NAME, failure.error)
                return Review(None)
            return Review(Verdict(0.0, False, failure.kind, {"message": f"the check was ended: {failure}"}))
        finally:
            stop.set()

    def _again(self) -> ChatRequest | None:
        """The request of a further attempt, None where there is none to be made."""
        last = self.tries[-1]
        assert last.review is not None
        left = TOKENS - sum(attempt.tokens for attempt in self.tries)
        if last.review.accepted or last.review.verdict is None or len(self.tries) >= self.attempts:
            return None
        if left <= 0:
            self.ended = f"the {TOKENS} tokens for all attempts were used"
            return None
        chat = self.chat
        temperature = 1.0 if chat.temperature is None else chat.temperature
        limit = chat.max_completion_tokens or chat.max_tokens or left
        update: dict[str, Any] = {"temperature": max(temperature, WARMER), "max_completion_tokens": min(limit, left)}
        if chat.seed is not None or temperature == 0:  # what was to be repeatable stays so
            update["seed"] = ((chat.seed or 0) + len(self.tries)) % 2**63
        if self.feedback:
            messages = again(self.domain, [message.plain() for message in chat.messages], last.text, last.review)
            update["messages"] = [ChatMessage.model_validate(message) for message in messages]
        return chat.model_copy(update=update)

    # what came of it ----------------------------------------------------------------------------------------------------

    @property
    def best(self) -> Attempt:
        """The attempt to return: the first of the best."""
        return max((attempt for attempt in self.tries if attempt.review), key=lambda attempt: attempt.rank)

    @property
    def outcome(self) -> Outcome:
        """See OUTCOMES."""
        review = self.best.review
        assert review is not None
        own = review.solution.text if review.solution else ""
        return "solver" if review.outcome == "wrong" and own else review.outcome

    def text(self) -> tuple[str, FinishReason]:
        """The answer, and how it ended."""
        review = self.best.review
        if self.outcome == "solver" and review and review.solution:
            return review.solution.text, "stop"
        return self.best.text, cast("FinishReason", self.best.finish_reason)

    def usage(self) -> Usage:
        """Tokens of all attempts."""
        return Usage.of(
            sum(attempt.prompt_tokens for attempt in self.tries), sum(attempt.tokens for attempt in self.tries)
        )

    def report(self) -> Report:
        """The `truemark` field of the answer."""
        outcome, best = self.outcome, self.best.tried()
        by_solver = outcome == "solver"
        return Report(
            outcome=outcome,
            answered_by="solver" if by_solver else "model",
            reason=self._in_words(outcome, best.verdict.message if best.verdict else ""),
            checker=self.domain.CARD.checker,
            attempts=len(self.tries),
            verdict=None if by_solver else best.verdict,
            tried=[attempt.tried() for attempt in self.tries],
        )

    def _in_words(self, outcome: Outcome, message: str) -> str:
        checker, count = self.domain.CARD.checker, len(self.tries)
        none = "the attempt did not pass" if count == 1 else f"none of {count} attempts passed"
        said = {
            "verified": f"{checker} passes it: {message}",
            "solver": f"{none} ({message}): this is {checker}'s own solution, not the model's",
            "unrefuted": f"nothing wrong was found, which is no proof: {message}",
            "wrong": f"{none}: {message}",
            "unchecked": f"nothing could be checked: {checker} cannot read this question",
        }[outcome]
        return f"{said}; {self.ended}" if self.ended else said

    async def completion(self) -> VerifiedCompletion:
        """The whole body."""
        try:
            await self.start()
            await self.finish()
        finally:
            await self.close()
        text, finish = self.text()
        return VerifiedCompletion(
            id=completion_id(),
            created=now(),
            model=self.chat.model,
            choices=[Choice(message=AssistantMessage(content=text), finish_reason=finish)],
            usage=self.usage(),
            truemark=self.report(),
        )

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The events of a started answer; a failure on the way is an event too, without `[DONE]`."""
        with_usage = bool(self.chat.stream_options and self.chat.stream_options.include_usage)
        same: dict[str, Any] = {"id": completion_id(), "created": now(), "model": self.chat.model}
        work = asyncio.create_task(self.finish())

        def chunk(delta: Delta) -> bytes:
            return ChatChunk(**same, choices=[ChunkChoice(delta=delta)]).event(with_usage=with_usage)

        try:
            yield chunk(Delta(role="assistant", content=""))
            while not (await asyncio.wait({work}, timeout=KEEP_ALIVE))[0]:
                yield f": attempt {len(self.tries)}\n\n".encode()
            work.result()
        except EngineError as error:
            yield sse(ApiError(503, error.message, code="engine_unavailable").body())
            return
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        text, finish = self.text()
        yield chunk(Delta(content=text))
        last = [ChunkChoice(delta=Delta(), finish_reason=finish)]
        yield VerifiedChunk(**same, choices=last, truemark=self.report()).event(with_usage=with_usage)
        if with_usage:
            yield ChatChunk(**same, choices=[], usage=self.usage()).event(with_usage=True)
        yield b"data: [DONE]\n\n"


def prepare(begin: Begin, chat: ChatRequest, model: ServedModel) -> Verified:
    """A verified answer to a request that wants one. Raises ApiError 400 for what cannot be verified."""
    if model.domain not in DOMAINS:
        what = f"the domain '{model.domain}' is not known here" if model.domain else "it belongs to no domain"
        raise _refused(
            f"the answers of '{model.name}' cannot be verified: {what}; a check is there for {', '.join(DOMAINS)}",
            "model",
        )
    given = chat.model_dump(mode="json", include=set(_ONE_PLAIN_TEXT))
    for name, value in given.items():
        if value not in _ONE_PLAIN_TEXT[name]:
            raise _refused(f"{name}: a verified answer is one plain text", name)
    options, domain = chat.truemark or Options(), get(str(model.domain))
    feedback = takes_hints(domain) if options.feedback is None else options.feedback
    return Verified(begin, chat, model, domain, options.attempts or USUAL, feedback)


def _refused(message: str, param: str) -> ApiError:
    return ApiError(400, message, param=param, code="not_verifiable")


class VerifiedStream(StreamingResponse):
    """The stream of a started answer. Ends everything it began, whatever happens."""

    def __init__(self, verified: Verified) -> None:
        self._verified = verified
        self._events = verified.events()
        super().__init__(self._events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
            await self._verified.close()
