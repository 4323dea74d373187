"""Malformed requests by the thousand, in process, with a real llama-server behind: never a 500, never a crash."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from serve.engines import llamacpp
from tests.serve_api_helpers import (
    HELLO,
    JSON,
    Headers,
    InProcess,
    Reply,
    busy_slots,
    in_process,
    running,
    tiny_catalog,
)

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
WHOLE: dict[str, dict[str, Any]] = {
    CHAT: {
        "model": "one", "messages": HELLO, "max_completion_tokens": 1, "max_tokens": 2, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["x"],
        "stream": False, "n": 2, "logprobs": True, "top_logprobs": 2, "presence_penalty": 0.1, "frequency_penalty": -0.1, "user": "me",
        "metadata": {"a": "b"}, "stream_options": None,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {
            "type": "object", "properties": {"a": {"type": "string", "maxLength": 3}, "b": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/n"}]}},
            "required": ["a"], "additionalProperties": False, "$defs": {"n": {"enum": [None, "x"]}}}}},
    },
    COMPLETIONS: {
        "model": "two", "prompt": ["3x + 7", "y"], "max_tokens": 1, "temperature": 1, "n": 2, "logprobs": 2, "echo": False, "best_of": 2,
        "stop": "z", "stream": True, "stream_options": {"include_usage": True}, "seed": -5, "presence_penalty": 0,
    },
    EMBEDDINGS: {"model": "base", "input": ["a", "b"], "encoding_format": "float", "user": "me"},
}  # fmt: skip
STRANGE: list[Any] = [
    None, True, False, -1, 0, 1, 3, 10**30, -(10**400), 2**63, 2**31, 1e308, -0.0, 0.1, "", "x", "\x00", "\ufffe\uffff", "🙂" * 50, "a" * 5000, "<|im_end|>",
    "\u202e", "'; DROP TABLE models; --", "../../etc/passwd", "{{ 7*7 }}", [], {}, [[]], [[[[[[]]]]]], {"a": {}}, [None], [0], [-1], [2**31 - 1], ["a", 1],
    "NaN", {"$ref": "#"}, {"type": "object"}, {"type": "text"}, [{"type": "text", "text": "x"}], {"role": "user", "content": "x"}, [1] * 300, ["x"] * 40,
]  # fmt: skip
RAW = [
    b"", b"{", b"[]", b"null", b"0", b'"x"', b"NaN", b"{}{}", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\x00", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 50_000,
    b'{"model": ' + b"9" * 5000 + b"}", b'{"model": 1e999999}', b'{"model": "\\ud800", "messages": []}', b'{"model": "\xed\xa0\x80"}', b'{"model": "\xc0\xaf"}',
    b'{"model": "one", "messages": [{"role": "user", "content": "\\u0000"}], "max_tokens": 1}', b"\x1f\x8b\x08\x00", b"--boundary\r\n", b"a=b&c=d",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": '
    + b'{"items":' * 190 + b"{}" + b"}" * 194,
    '{"model": "one"}'.encode("utf-16"), '{"model": "one"}'.encode("utf-32"), b'{"model": "one", "model": "two"}', b"{'model': 'one'}", b'{"model": "one",}',
    b"/*x*/{}", b" " * (1 << 20) + b"{}", b'{"model": "one", "messages": [{"role": "user", "content": "' + b"a" * 1_000_000 + b'"}]}',
]  # fmt: skip
METHODS = [
    "GET",
    "HEAD",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "BREW",
    "",
    "POST\r\nX",
    "post",
    "🙂",
]
PATHS = [
    "/", "", "//", "/v1", "/v1/", "/v1/chat/completions/", "/v1//chat/completions", "/V1/CHAT/COMPLETIONS", "/v1/models/", "/v1/models/a/b", "/v1/models/\x00",
    "/v1/models/🙂", "/v1/models/..", "/v1/models/../../health", "/../etc/passwd", "/lora-adapters", "/slots", "/completion", "/v1/load_lora_adapter", "/invocations",
    "/props", "/metrics/../slots", "/v1/models/" + "a" * 9000, "/openapi.json/", "/health\r\nx: y", "/v1/models/\udcff",
]  # fmt: skip
TYPES = [b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"application/json; charset=utf-16", b"APPLICATION/JSON",
         b"application/jsonp", b"application/json\x00", b"\xff", b"application/json, text/html", b"a" * 9000]  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One request."""

    body: bytes
    path: str = CHAT
    method: str = "POST"
    headers: Headers = JSON


def _places(value: Any, found: list[Any]) -> list[Any]:
    """Every object and list within."""
    if isinstance(value, dict | list):
        found.append(value)
        for each in value.values() if isinstance(value, dict) else value:
            _places(each, found)
    return found


def _mutated(pick: random.Random, path: str) -> bytes:
    body = copy.deepcopy(WHOLE[path])
    for name in pick.sample(list(body), pick.randrange(len(body) // 2 + 1)):  # few fields need each other
        if name not in ("model", "messages", "prompt", "input", "max_completion_tokens"):
            del body[name]
    for _ in range(pick.choice([1, 1, 1, 2, 4])):
        place = pick.choice(_places(body, []))
        strange = copy.deepcopy(pick.choice(STRANGE))
        if isinstance(place, list):
            place.insert(pick.randrange(len(place) + 1), strange)
        elif place and pick.random() < 0.6:
            place[pick.choice(list(place))] = strange
        elif place and pick.random() < 0.5:
            del place[pick.choice(list(place))]
        else:
            place[
                pick.choice(
                    [
                        "tools",
                        "logit_bias",
                        "x",
                        "",
                        "__class__",
                        "lora",
                        "id_slot",
                        "grammar",
                        "pattern",
                        "n_predict",
                        "$ref",
                    ]
                )
            ] = strange
    data = bytearray(json.dumps(body, ensure_ascii=pick.random() < 0.5).encode("utf-8", "surrogatepass"))
    for _ in range(pick.choice([0, 0, 0, 0, 1, 5])):
        data[pick.randrange(len(data))] = pick.randrange(256)
    if pick.random() < 0.05:
        at = pick.randrange(len(data))
        data[at:at] = pick.choice([b"\\ud800", b"\x00", b'"', b"\xed\xa0\x80", b"{", b"]", b"," * 9])
    return bytes(data[: pick.randrange(len(data))] if pick.random() < 0.1 else data)


def attempts(seed: int, n: int) -> Iterator[Attempt]:
    """`n` requests, most of them wrong in one way or more."""
    pick = random.Random(seed)
    paths = [CHAT, CHAT, COMPLETIONS, COMPLETIONS, EMBEDDINGS]
    for number in range(n):
        path = pick.choice(paths)
        match pick.randrange(20):
            case 0:
                yield Attempt(RAW[number % len(RAW)], path)
            case 1:
                yield Attempt(_mutated(pick, path), path, method=pick.choice(METHODS))
            case 2:
                yield Attempt(b"{}", pick.choice(PATHS), method=pick.choice(["GET", "POST"]))
            case 3:
                kind = (
                    (b"host", b"localhost"),
                    (b"content-type", pick.choice(TYPES)),
                    (b"x-request-id", pick.randbytes(9)),
                )
                yield Attempt(_mutated(pick, path), path, headers=kind)
            case 4:
                host = pick.choice(
                    [
                        b"evil.example",
                        b"",
                        b"127.0.0.1@evil.example",
                        b"\xff",
                        b"localhost.evil.example:80",
                        b"[::1",
                        b"a" * 9000,
                    ]
                )
                yield Attempt(b"{}", path, headers=((b"content-type", b"application/json"), (b"host", host)))
            case _:
                yield Attempt(_mutated(pick, path), path)


def check(attempt: Attempt, reply: Reply) -> None:
    """No 5xx, an OpenAI error body for every failure, a request id always."""
    assert reply.status in (200, 400, 403, 404, 405, 413, 415), (attempt, reply)
    assert reply.headers["x-request-id"].isascii() and reply.headers["x-request-id"].isprintable()
    if reply.status == 200:
        streamed = reply.headers["content-type"].startswith("text/event-stream")
        assert reply.body.endswith(b"data: [DONE]\n\n") if streamed else json.loads(reply.body), (attempt, reply)
    elif attempt.method != "HEAD":
        assert reply.error["message"].replace("\n", " ").isprintable()


async def _fuzz(inside: InProcess, seed: int, n: int) -> dict[int, int]:
    good = {"model": "one", "messages": HELLO, "max_tokens": 20, "temperature": 0}

    def text(reply: Reply) -> str:
        said: str = json.loads(reply.body)["choices"][0]["message"]["content"]
        return said

    before = text(await inside.post(good))
    pid = inside.supervisor.engine.pid  # type: ignore[attr-defined]
    seen: dict[int, int] = {}
    for attempt in attempts(seed, n):
        reply = await inside.send(attempt.body, attempt.path, attempt.method, attempt.headers)
        check(attempt, reply)
        seen[reply.status] = seen.get(reply.status, 0) + 1
    assert text(await inside.post(good)) == before
    assert inside.supervisor.engine.alive() and inside.supervisor.engine.pid == pid  # type: ignore[attr-defined]
    assert busy_slots(inside.supervisor.engine) == 0
    return seen


def _run(factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, seed: int, n: int) -> None:
    monkeypatch.setattr(llamacpp, "CONTEXT", 256)  # a mutation may well take `max_tokens` away

    async def work() -> dict[int, int]:
        async with in_process(tiny_catalog(factory)) as inside:
            return await _fuzz(inside, seed, n)

    seen = asyncio.run(work())
    print(f"{n} requests: {seen}")
    assert {200, 400, 403, 404, 405, 413, 415} <= seen.keys()


def test_malformed_requests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tmp_path_factory, monkeypatch, seed=1, n=700)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_malformed_requests(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(tmp_path_factory, monkeypatch, seed=2, n=10_000)


HTTP = [
    b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"A" * 70_000 + b"\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n", b"GET /v1/models HTTP/1.1\r\n\r\n", b"GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\x00b\r\n\r\n", b"GET /%00%ff%2e%2e HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
]  # fmt: skip


def test_bytes_that_are_hardly_http(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tiny_catalog(tmp_path_factory)) as gateway:
        address = urlsplit(gateway.url)
        for data in HTTP:
            with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as made:
                made.sendall(data)
                made.shutdown(socket.SHUT_WR)
                reply = b""
                try:
                    while part := made.recv(65536):
                        reply += part
                except ConnectionResetError:
                    pass
            status = reply[9:12]
            assert reply == b"" or status in (b"200", b"400", b"403", b"404", b"405", b"415", b"431"), (
                data[:90],
                reply[:300],
            )
        assert gateway.client.models.list().data
