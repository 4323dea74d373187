"""One question: streamed from a server by the official `openai` client, then judged by the domain's solver."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from domains import get
from domains.review import Review, review
from truemark.console import say
from truemark.errors import EngineError, ModelNotFound, TruemarkError
from truemark.settings import server_url

MAX_TOKENS = 512
TIMEOUT = 120.0
"""Seconds without a byte from the server."""


def ask(
    domain_name: str, question: str, *, model: str | None, url: str | None, adapter: str | None, as_json: bool
) -> None:
    """Print the answer and what the solver says of it. A delivered answer is a success, right or wrong."""
    domain = get(domain_name)
    if not question.strip():
        raise TruemarkError("the question is empty", mend=f'truemark ask {domain_name} "{domain.CARD.examples[0]}"')
    if adapter and (url or model):
        raise TruemarkError("--adapter starts a server of its own: it goes with neither --url nor --model")
    with _server(domain_name, url, adapter, model) as address:
        name = model or _choose(address, domain_name)
        answer = ""
        for piece in _stream(address, name, domain.messages(question)):
            answer += piece
            if not as_json:
                print(_harmless(piece), end="", flush=True)
    found = review(domain, domain.messages(question), answer)
    if as_json:
        _print_json(question, name, answer, found)
    else:
        print(f"\n\n{in_words(found, domain.CARD.checker)}")


def in_words(found: Review, solver: str) -> str:
    """What was found, for a person."""
    verdict, solution = found.verdict, found.solution
    said = _harmless(str(verdict.detail.get("message") or verdict.reason)) if verdict else ""
    if found.outcome == "verified" and solution:
        return f"✓ verified with {solver}" + (f": {solution.reference}" if solution.text else "")
    if found.outcome == "wrong":
        own = f"; {solver}'s own solution:\n{solution.text}" if solution and solution.text else ""
        return f"✗ the model is wrong: {said}{own}"
    return f"not verified: {solver} cannot read this question" + (f"; of the answer alone: {said}" if said else "")


def _print_json(question: str, model: str, answer: str, found: Review) -> None:
    row = {
        "question": question,
        "model": model,
        "answer": answer,
        "outcome": found.outcome,
        "verdict": found.verdict.to_json() if found.verdict else None,
        "solution": found.solution.text if found.solution else None,
        "reference": found.solution.reference if found.solution else None,
    }
    print(json.dumps(row, ensure_ascii=False))


@contextlib.contextmanager
def _server(domain: str, url: str | None, adapter: str | None, model: str | None) -> Iterator[str]:
    """The address of a server that answers: the one asked for, the one that runs, or one of our own."""
    address = url or server_url()
    if adapter is None and _ready(address):
        yield address
        return
    if url or model:
        raise EngineError(f"no server is ready at {address}", mend="truemark serve --adapter NAME=PATH")
    from serve import catalog, engines, server
    from truemark.shelf import newest_adapter

    path = adapter or str(newest_adapter(domain))
    models = catalog.read([f"{domain}={path}"])
    say(f"{'' if adapter else f'no server at {address}: '}starting one for {path}")
    with server.background(models, engines.create("llamacpp", models.base.ref, models.adapters)) as (own, _):
        yield own


def _ready(address: str) -> bool:
    import httpx

    key = os.environ.get("TRUEMARK_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else None
    url = f"{address.rstrip('/').removesuffix('/v1')}/health"
    try:
        answer = httpx.get(url, timeout=3, headers=headers, trust_env=not _here(address))
        return answer.status_code == 200 and isinstance(answer.json(), dict)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False


def _choose(address: str, domain: str) -> str:
    """The model of `domain` at the server: by name, else by what its artifact was trained for, else the only adapter."""
    import openai

    try:
        with _client(address) as client:
            rows = [row.to_dict() for row in client.models.list()]
    except openai.OpenAIError as error:
        raise _in_words(error, address) from None
    names = [str(row["id"]) for row in rows]
    if domain in names:
        return domain
    about: dict[str, Any] = {str(row["id"]): row.get("truemark") or {} for row in rows}
    fitting = [name for name in names if about[name].get("domain") == domain]
    if len(fitting) != 1:
        raise ModelNotFound(
            f"the server at {address} has {len(fitting)} {domain} models among: {', '.join(names)}",
            mend=f"truemark ask {domain} … --model NAME",
        )
    return fitting[0]


def _stream(address: str, model: str, messages: list[dict[str, str]]) -> Iterator[str]:
    """Greedy answer, piece by piece. Raises EngineError in words."""
    import openai

    request: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
    finished = None
    try:
        with (
            _client(address) as client,
            client.chat.completions.create(**request, temperature=0, max_tokens=MAX_TOKENS) as chunks,
        ):
            for chunk in chunks:
                for choice in chunk.choices[:1]:
                    finished = choice.finish_reason or finished
                    yield choice.delta.content or ""
    except openai.OpenAIError as error:
        raise _in_words(error, address) from None
    if finished is None:
        raise EngineError("the answer broke off half-way: the server closed the stream", mend="ask again")
    if finished == "length":
        yield "…"
        say(f"\n(cut off after {MAX_TOKENS} tokens)")


def _client(address: str) -> Any:
    import openai

    return openai.OpenAI(
        base_url=address,
        api_key=os.environ.get("TRUEMARK_API_KEY") or "none",
        timeout=TIMEOUT,
        max_retries=2,
        http_client=openai.DefaultHttpxClient(trust_env=False) if _here(address) else None,
    )


def _here(address: str) -> bool:
    """Whether the address is this machine's own, which no proxy of the environment can reach."""
    return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")


def _in_words(error: Exception, address: str) -> EngineError:
    import openai

    if isinstance(error, openai.APIStatusError):
        body = error.body if isinstance(error.body, dict) else {}
        return EngineError(
            f"the server at {address} answered {error.status_code}: {body.get('message') or error.message}"
        )
    if isinstance(error, openai.APIConnectionError):
        return EngineError(f"the connection to {address} failed", mend="truemark serve --adapter NAME=PATH")
    return EngineError(f"the server at {address} broke off: {error}", mend="ask again")


def _harmless(text: str) -> str:
    """Model output for a terminal: no control sequences."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
