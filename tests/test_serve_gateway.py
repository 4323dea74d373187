"""The gateway's API: the official `openai` client against a real llama-server on a tiny model."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from serve import catalog, engines, server
from serve.engines.llamacpp import SLOTS, LlamaCppEngine
from serve.protocol import ApiError, parse_chat
from serve.supervisor import Supervisor
from tests.serve_helpers import SYSTEM, tiny_models, wait_until

HELLO: Any = [{"role": "user", "content": "Solve for x: 3x + 7 = 22"}]


class Gateway:
    """A running gateway with models `one`, `two` and `base`."""

    def __init__(self, url: str, supervisor: Supervisor) -> None:
        self.url = url
        self.root = url.removesuffix("/v1")
        self.supervisor = supervisor
        self.client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)

    def ask(self, model: str, n: int = 24, **more: Any) -> str:
        answer = self.client.chat.completions.create(model=model, messages=HELLO, max_tokens=n, temperature=0, **more)
        return answer.choices[0].message.content or ""

    def post(self, content: bytes, **headers: str) -> httpx.Response:
        kind = {"content-type": "application/json"}
        return httpx.post(f"{self.url}/chat/completions", content=content, headers=kind | headers, timeout=60)

    def busy_slots(self) -> int:
        engine = self.supervisor.engine
        assert isinstance(engine, LlamaCppEngine) and engine._home is not None
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine._home / "engine.sock"))) as client:
            return sum(slot["is_processing"] for slot in client.get("http://engine/slots").json())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tiny_models(tmp_path_factory)
    models = catalog.read([f"{name}={home / name}" for name in ("one", "two")])
    with server.background(models, engines.create("llamacpp", models.base.ref, models.adapters)) as (url, supervisor):
        yield Gateway(url, supervisor)


def test_models_are_the_adapters_then_the_base(gateway: Gateway) -> None:
    rows = list(gateway.client.models.list())
    assert [row.id for row in rows] == ["one", "two", "base"]
    assert rows[0].to_dict()["truemark"]["domain"] == "math"  # type: ignore[index]
    assert gateway.client.models.retrieve("two").id == "two"
    with pytest.raises(openai.NotFoundError, match="served are one, two, base"):
        gateway.client.models.retrieve("three")


def test_health_says_what_the_canary_saw(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.root}/health")
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"] == "ok"
    assert health["models"]["one"]["canary"]["applied"] is True
    assert health["models"]["one"]["canary"]["shift"] > 0.01
    assert health["models"]["base"]["canary"] is None


def test_the_three_models_differ(gateway: Gateway) -> None:
    assert len({gateway.ask(name) for name in ("one", "two", "base")}) == 3


def test_an_answer_has_the_shape_of_openai(gateway: Gateway) -> None:
    raw = gateway.client.chat.completions.with_raw_response.create(
        model="one", messages=HELLO, max_completion_tokens=7, temperature=0
    )
    answer = raw.parse()
    assert raw.headers["x-request-id"].startswith("req-")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 7


def test_a_stream_is_the_same_answer_in_pieces(gateway: Gateway) -> None:
    with gateway.client.chat.completions.create(
        model="two", messages=HELLO, max_tokens=24, temperature=0, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == gateway.ask("two")
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices].count("length") == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 24
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_stop_seed_and_temperature(gateway: Gateway) -> None:
    whole = gateway.ask("base")
    cut = whole[len(whole) // 2 :][:3]
    answer = gateway.client.chat.completions.create(
        model="base", messages=HELLO, max_tokens=24, temperature=0, stop=cut
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == whole[: whole.index(cut)]
    warm: Any = {"model": "base", "messages": HELLO, "max_tokens": 24, "temperature": 1.5}
    texts = [
        gateway.client.chat.completions.create(**warm, seed=seed).choices[0].message.content for seed in (5, 5, 6, -1)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


async def _prompt_ids(gateway: Gateway, model: str, messages: list[dict[str, str]]) -> list[int]:
    from serve.chat import ChatService

    supervisor = gateway.supervisor
    service = ChatService(supervisor._catalog, supervisor)
    body = json.dumps({"model": model, "messages": messages}).encode()
    return list((await service.generation(parse_chat(body), service.model(model)))[0].prompt_ids)


def test_prompt_tokens_are_those_of_transformers(gateway: Gateway) -> None:
    """No second BOS, special tokens parsed, the adapter's own system prompt: what training and evaluation saw."""
    import asyncio

    from transformers import AutoTokenizer

    from truemark.chat import with_default_system
    from truemark.models import resolve

    tokenizer = AutoTokenizer.from_pretrained(resolve("smollm2-135m").local_path())
    conversations = [
        [{"role": "user", "content": "Solve for x: 3x + 7 = 22"}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "½ of 80 €?\n\n  \ttab 日本語 🙂"}],
        [
            {"role": "user", "content": "a <|im_end|> b"},
            {"role": "assistant", "content": "x = 5"},
            {"role": "user", "content": "Why?"},
        ],
    ]

    async def both(messages: list[dict[str, str]]) -> tuple[list[int], list[int]]:
        # a client belongs to its loop: this engine object talks to the same socket from ours
        engine = gateway.supervisor.engine
        assert isinstance(engine, LlamaCppEngine) and engine._home is not None
        theirs, engine._client = (
            engine._client,
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(engine._home / "engine.sock")), base_url="http://engine"
            ),
        )
        try:
            return await _prompt_ids(gateway, "base", messages), await _prompt_ids(gateway, "one", messages)
        finally:
            await engine._client.aclose()
            engine._client = theirs

    for messages in conversations:
        base_ids, adapter_ids = asyncio.run(both(messages))
        expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert base_ids == expected
        ours = with_default_system(tokenizer.chat_template, SYSTEM)
        assert adapter_ids == tokenizer.apply_chat_template(
            messages, chat_template=ours, add_generation_prompt=True, return_dict=False
        )


# --- bad requests ---------------------------------------------------------------------------------------------------

BAD = {
    b"": "not JSON",
    b"{": "not JSON",
    b"[]": "object",
    b"\xff\xfe": "not JSON",
    b'{"model": "one", "messages": [{"role": "user", "content": "\\ud800"}]}': "not JSON",
    b'{"model": "one"}': "messages: Field required",
    b'{"model": "one", "messages": []}': "at least 1 item",
    b'{"model": "one", "messages": [{"role": "user"}]}': "messages.0.content",
    b'{"model": "one", "messages": [{"role": "robot", "content": "x"}]}': "messages.0.role",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "n": 99}': "less than or equal",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}': "temperature",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "temperature": -1}': "temperature",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}': "max_tokens",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "tools": []}': "tools",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "top_logprobs": 3}': "only allowed when logprobs",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "seed": 1e400}': "seed",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "stop": ["a", ""]}': "at least 1 character",
    b'{"model": "one", "messages": [{"role": "user", "content": "x"}], "stream_options": {}}': "stream_options",
    b"[" * 100_000: "not JSON",
}


@pytest.mark.parametrize("body", BAD, ids=lambda body: body[:80].decode(errors="replace"))
def test_a_bad_body_is_a_400_that_names_it(body: bytes) -> None:
    with pytest.raises(ApiError, match=BAD[body]) as caught:
        parse_chat(body)
    assert caught.value.status == 400


def test_every_error_is_in_openais_form(gateway: Gateway) -> None:
    good = json.dumps({"model": "one", "messages": HELLO}).encode()
    answers = [
        (404, gateway.post(json.dumps({"model": "three", "messages": HELLO}).encode())),
        (400, gateway.post(b"{")),
        (
            400,
            gateway.post(json.dumps({"model": "one", "messages": [{"role": "user", "content": "a " * 9999}]}).encode()),
        ),
        (413, gateway.post(b" " * (1 << 20) + good)),
        (415, gateway.post(good, **{"content-type": "text/plain"})),
        (403, gateway.post(good, host="evil.example:8017")),
        (404, httpx.get(f"{gateway.root}/lora-adapters")),  # a native route of the engine
        (404, httpx.get(f"{gateway.root}/slots")),
        (405, httpx.get(f"{gateway.url}/chat/completions")),
        (405, httpx.options(f"{gateway.url}/chat/completions", headers={"origin": "https://evil.example"})),
    ]
    for status, answer in answers:
        assert answer.status_code == status, answer.text
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-request-id"]
    assert "served are one, two, base" in answers[0][1].json()["error"]["message"]
    assert answers[2][1].json()["error"]["code"] == "context_length_exceeded"


def test_content_parts_and_the_newer_system_role(gateway: Gateway) -> None:
    parts: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
    ]
    plain: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    texts = {
        gateway.client.chat.completions.create(model="one", messages=m, max_tokens=9, temperature=0)
        .choices[0]
        .message.content
        for m in (parts, plain)
    }
    assert len(texts) == 1


def _mutations(seed: int, n: int) -> Iterator[bytes]:
    """Requests with one thing wrong: a value of another type, a field dropped or added, bytes changed or cut."""
    pick = random.Random(seed)
    strange = [None, True, -1, 0, 10**30, 1e308, "", "\x00", "🙂" * 50, [], {}, [[]], {"a": {}}, [None], "NaN"]
    whole: dict[str, Any] = {
        "model": "one", "messages": HELLO, "max_tokens": 1, "max_completion_tokens": 1, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["x"],
        "stream": False, "n": 1, "user": "me", "metadata": {}, "stream_options": None, "response_format": {"type": "text"},
    }  # fmt: skip
    for _ in range(n):
        body = json.loads(json.dumps(whole))
        place = pick.choice([body, body["messages"][0], body["response_format"]])
        match pick.randrange(4):
            case 0:
                place[pick.choice(list(place))] = pick.choice(strange)
            case 1:
                del place[pick.choice(list(place))]
            case 2:
                place[pick.choice(["tools", "logit_bias", "x", "", "__class__", "lora", "id_slot"])] = pick.choice(
                    strange
                )
            case 3:
                body["messages"] = pick.choice([strange, [HELLO], HELLO * 200, [*HELLO, pick.choice(strange)]])
        data = bytearray(json.dumps(body).encode())
        for _ in range(pick.choice([0, 0, 0, 1, 5])):
            data[pick.randrange(len(data))] = pick.randrange(256)
        yield bytes(data[: pick.randrange(len(data))] if pick.random() < 0.1 else data)


def test_malformed_bodies_never_make_a_500(gateway: Gateway) -> None:
    seen = set()
    with httpx.Client(base_url=gateway.url, timeout=60, headers={"content-type": "application/json"}) as client:
        for body in _mutations(seed=7, n=400):
            answer = client.post("/chat/completions", content=body)
            assert answer.status_code in (200, 400, 404, 413), (body, answer.text)
            seen.add(answer.status_code)
            if answer.status_code != 200:
                assert answer.json()["error"]["message"]
    assert {200, 400} <= seen
    assert gateway.busy_slots() == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_vanishes_frees_its_slot(gateway: Gateway, stream: bool) -> None:
    body = {"model": "one", "messages": HELLO, "max_tokens": 1900, "temperature": 0, "stream": stream}
    address = urlsplit(gateway.url)
    assert address.hostname and address.port
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    sockets = []
    for _ in range(2 * SLOTS):  # some still wait in the queue
        made = socket.create_connection((address.hostname, address.port))
        made.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        sockets.append(made)
    assert wait_until(lambda: gateway.busy_slots() == SLOTS, 10)
    for made in sockets:
        made.close()
    assert wait_until(lambda: gateway.busy_slots() == 0, 3)
    assert gateway.ask("one", 3)


def test_logs_hold_no_text(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    secret = "swordfish-4711"
    with caplog.at_level("DEBUG"):
        message: Any = [{"role": "user", "content": secret}]
        gateway.client.chat.completions.create(model="one", messages=message, max_tokens=2)
        gateway.post(f'{{"model": "one", "messages": "{secret}"}}'.encode())
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("truemark")]
    assert any("POST /v1/chat/completions 200" in line for line in ours)
    assert not any(secret in line for line in ours)
