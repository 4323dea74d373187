"""The API beyond a plain chat, by the official `openai` client against a real llama-server on a tiny model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import openai
import pydantic
import pytest

from serve.answering import _side_by_side
from serve.completions import CompletionRequest
from serve.engines.base import BaseInfo, Generation
from serve.protocol import ApiError, parse, request_id
from tests.serve_api_helpers import HELLO, Gateway, busy_slots, running, tiny_catalog
from tests.serve_helpers import wait_until
from truemark.errors import EngineError


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tiny_catalog(tmp_path_factory)) as made:
        yield made


def chat(gateway: Gateway, **more: Any) -> Any:
    asked = {"model": "one", "messages": HELLO, "max_tokens": 12, "temperature": 0} | more
    return gateway.client.chat.completions.create(**asked)


def complete(gateway: Gateway, **more: Any) -> Any:
    asked = {"model": "one", "prompt": "3x + 7 = 22", "max_tokens": 12, "temperature": 0} | more
    return gateway.client.completions.create(**asked)


# --- several choices ------------------------------------------------------------------------------------------------


def test_choices_have_seeds_of_their_own(gateway: Gateway) -> None:
    warm: Any = {"temperature": 1.5, "max_tokens": 8}
    answer = chat(gateway, n=6, seed=40, **warm)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert texts == [chat(gateway, seed=40 + i, **warm).choices[0].message.content for i in range(6)]
    assert len(set(texts)) == 6
    one = chat(gateway, seed=40, **warm)
    assert answer.usage.prompt_tokens == one.usage.prompt_tokens
    assert answer.usage.completion_tokens == 48


def test_choices_of_a_stream_are_those_of_the_answer(gateway: Gateway) -> None:
    asked: Any = {"n": 5, "seed": 3, "temperature": 1.2, "max_tokens": 9}
    texts = [""] * 5
    finished = []
    usage = None
    for chunk in chat(gateway, stream=True, stream_options={"include_usage": True}, **asked):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                finished.append(choice.index)
        usage = chunk.usage or usage
    whole = chat(gateway, **asked)
    assert texts == [choice.message.content for choice in whole.choices]
    assert sorted(finished) == list(range(5))
    assert usage is not None and usage == whole.usage


def test_a_client_that_leaves_many_choices_frees_every_slot(gateway: Gateway) -> None:
    with chat(gateway, n=12, max_tokens=1900, stream=True) as stream:
        next(iter(stream))
        assert wait_until(lambda: busy_slots(gateway.supervisor.engine) == 4, 10)
    assert wait_until(lambda: busy_slots(gateway.supervisor.engine) == 0, 5)
    assert chat(gateway).choices[0].message.content


async def _collect(generate: Any, n: int) -> list[Any]:
    return [told async for told in _side_by_side(generate, [Generation([1], None, 1)] * n)]


def test_a_choice_that_fails_ends_the_answer(gateway: Gateway) -> None:
    import asyncio

    async def generate(generation: Generation) -> Any:
        raise EngineError("gone")
        yield

    async def bug(generation: Generation) -> Any:
        raise ZeroDivisionError
        yield

    async def silent(generation: Generation) -> Any:
        for never in ():
            yield never

    for failing, error in ((generate, EngineError), (bug, ZeroDivisionError), (silent, EngineError)):
        for n in (1, 6):
            with pytest.raises(error):
                asyncio.run(_collect(failing, n))


# --- log-probabilities ----------------------------------------------------------------------------------------------


def test_log_probabilities_of_a_chat(gateway: Gateway) -> None:
    answer = chat(gateway, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == answer.choices[0].message.content
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.token == token.top_logprobs[0].token  # greedy
        assert token.logprob == token.top_logprobs[0].logprob <= 0
        assert sum(math.exp(each.logprob) for each in token.top_logprobs) <= 1.0001
    without = chat(gateway, logprobs=True)
    told = without.choices[0].logprobs.content
    assert [token.logprob for token in told] == pytest.approx([token.logprob for token in content], abs=1e-5)
    assert without.choices[0].logprobs.content[0].top_logprobs == []
    assert chat(gateway).choices[0].logprobs is None


def test_log_probabilities_of_a_stream_are_those_of_the_answer(gateway: Gateway) -> None:
    asked: Any = {"logprobs": True, "top_logprobs": 2, "max_tokens": 20, "temperature": 1.0, "seed": 5}
    streamed = [
        token
        for chunk in chat(gateway, stream=True, **asked)
        for choice in chunk.choices
        for token in (choice.logprobs.content if choice.logprobs else [])
    ]
    assert streamed == chat(gateway, **asked).choices[0].logprobs.content
    assert any(token.logprob < token.top_logprobs[0].logprob for token in streamed)  # sampled: not always the likeliest


def test_log_probabilities_leave_out_a_stop(gateway: Gateway) -> None:
    whole = chat(gateway, max_tokens=24).choices[0].message.content
    cut = whole[len(whole) // 2 :][:5]
    answer = chat(gateway, max_tokens=24, stop=cut, logprobs=True).choices[0]
    tokens = [bytes(token.bytes) for token in answer.logprobs.content]
    said = answer.message.content.encode()
    assert said.decode() == whole[: whole.index(cut)]
    assert b"".join(tokens).startswith(said) and not b"".join(tokens[:-1]).startswith(
        said
    )  # the last may reach into it


def test_log_probabilities_of_a_completion(gateway: Gateway) -> None:
    answer = complete(gateway, logprobs=2, max_tokens=16).choices[0]
    found = answer.logprobs
    assert "".join(found.tokens) == answer.text
    assert found.token_logprobs == [max(top.values()) for top in found.top_logprobs]
    assert all(len(top) <= 2 for top in found.top_logprobs)
    assert found.text_offset[0] == 0 and found.text_offset == sorted(found.text_offset)
    chunks = [c.choices[0] for c in complete(gateway, logprobs=2, max_tokens=16, stream=True) if c.choices]
    assert [t for c in chunks for t in c.logprobs.tokens] == found.tokens
    assert [o for c in chunks for o in c.logprobs.text_offset] == found.text_offset


# --- completions ----------------------------------------------------------------------------------------------------


def test_a_completion_of_text_and_of_its_ids(gateway: Gateway) -> None:
    import asyncio

    text = complete(gateway)
    ids = asyncio.run(_ids(gateway, "3x + 7 = 22"))
    assert complete(gateway, prompt=ids).choices[0].text == text.choices[0].text
    assert text.object == "text_completion" and text.id.startswith("cmpl-")
    assert text.usage.prompt_tokens == len(ids) and text.usage.completion_tokens == 12
    assert text.choices[0].finish_reason == "length"
    # raw: not what a chat with the same words is asked
    assert (
        text.choices[0].text
        != chat(gateway, messages=[{"role": "user", "content": "3x + 7 = 22"}]).choices[0].message.content
    )
    assert complete(gateway, max_tokens=None).usage.completion_tokens == 16


async def _ids(gateway: Gateway, text: str) -> list[int]:
    engine: Any = gateway.supervisor.engine
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(engine._home / "engine.sock")), base_url="http://engine"
    ) as client:
        answer = await client.post("/tokenize", json={"content": text, "add_special": True})
    ids: list[int] = answer.json()["tokens"]
    return ids


def test_several_prompts_and_choices(gateway: Gateway) -> None:
    prompts = ["a", "b c", "d"]
    answer = complete(gateway, prompt=prompts, n=2, seed=1, temperature=1.0, max_tokens=5)
    singles = [complete(gateway, prompt=p, n=2, seed=1, temperature=1.0, max_tokens=5) for p in prompts]
    assert [c.text for c in answer.choices] == [c.text for single in singles for c in single.choices]
    assert [c.index for c in answer.choices] == list(range(6))
    assert answer.usage.prompt_tokens == sum(single.usage.prompt_tokens for single in singles)


def test_a_streamed_completion(gateway: Gateway) -> None:
    chunks = list(complete(gateway, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == complete(gateway).choices[0].text
    assert chunks[-1].usage.completion_tokens == 12 and chunks[-1].choices == []
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"prompt": []}, "at least 1 item"),
        ({"prompt": ""}, "at least 1 character"),
        ({"prompt": [[]]}, "at least 1 item"),
        ({"prompt": ["a", [1]]}, "prompt"),
        ({"prompt": [-1]}, "greater than or equal"),
        ({"prompt": [2**31]}, "less than"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": ["a"] * 33}, "at most 32 choices"),
        ({"prompt": ["a"] * 257}, "at most 256"),
        ({"prompt": ["a"] * 5, "n": 8}, "at most 32 choices"),
        ({"echo": True}, "echo is not supported"),
        ({"echo": 0}, "echo: Input should be a valid boolean"),
        ({"best_of": 3}, "best_of"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 6}, "less than or equal to 5"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"n": 17}, "less than or equal to 16"),
        ({"messages": []}, "messages"),
    ],
)
def test_a_bad_completion_is_a_400_that_names_it(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        parse(json.dumps({"model": "one", "prompt": "x"} | more).encode(), CompletionRequest)
    assert caught.value.status == 400


def test_ids_that_the_vocabulary_lacks(gateway: Gateway) -> None:
    with pytest.raises(openai.BadRequestError):
        complete(gateway, prompt=[2**31 - 1])
    with pytest.raises(openai.BadRequestError, match="tokens long"):
        complete(gateway, prompt=[1] * 2048)
    assert complete(gateway, prompt=[1] * 2047, max_tokens=50).usage.completion_tokens == 1


# --- penalties ------------------------------------------------------------------------------------------------------


def test_penalties_change_what_repeats(gateway: Gateway) -> None:
    asked: Any = {"logprobs": True, "max_tokens": 60}
    plain = chat(gateway, **asked).choices[0].logprobs.content
    for name in ("presence_penalty", "frequency_penalty"):
        assert chat(gateway, **asked, **{name: 0.0}).choices[0].logprobs.content == plain
        low = chat(gateway, **asked, **{name: -2.0}).choices[0].logprobs.content
        assert [t.bytes for t in low] != [t.bytes for t in plain]
        assert len({tuple(t.bytes) for t in low}) < len({tuple(t.bytes) for t in plain}), name


# --- answers of a schema --------------------------------------------------------------------------------------------


class Step(pydantic.BaseModel):
    kind: Literal["add", "divide"]
    amount: int = pydantic.Field(ge=0, le=99)


class Solution(pydantic.BaseModel):
    steps: list[Step] = pydantic.Field(max_length=3)
    solved: bool
    note: str | None = pydantic.Field(max_length=10)


def test_a_pydantic_model_comes_back(gateway: Gateway) -> None:
    for seed in range(5):
        answer = gateway.client.chat.completions.parse(
            model="one", messages=HELLO, response_format=Solution, max_tokens=400, seed=seed, temperature=1.5
        )
        assert answer.choices[0].finish_reason == "stop"
        assert isinstance(answer.choices[0].message.parsed, Solution)


def test_a_json_object(gateway: Gateway) -> None:
    for seed in range(20):
        answer = chat(
            gateway, response_format={"type": "json_object"}, max_tokens=800, seed=seed, temperature=1.0
        ).choices[0]
        if answer.finish_reason == "stop":
            assert isinstance(json.loads(answer.message.content, strict=False), dict)
            return
    raise AssertionError("no object of 20 ended")


def test_text_is_text(gateway: Gateway) -> None:
    plain = chat(gateway).choices[0].message.content
    assert chat(gateway, response_format={"type": "text"}).choices[0].message.content == plain


# --- what the engine lacks ------------------------------------------------------------------------------------------


def test_what_the_engine_lacks_is_refused(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = gateway.supervisor.engine
    info = engine.info
    monkeypatch.setattr(engine, "info", BaseInfo(info.chat_template, info.bos_token, info.eos_token, 2048, "0"))
    for more in (
        {"logprobs": True},
        {"presence_penalty": 0.5},
        {"frequency_penalty": -0.5},
        {"response_format": {"type": "json_object"}},
    ):
        with pytest.raises(openai.BadRequestError, match=f"{next(iter(more))}: the engine 'llamacpp' does not have it"):
            chat(gateway, **more)
    assert chat(gateway, presence_penalty=0)


def test_an_engine_that_does_not_embed(gateway: Gateway) -> None:
    with pytest.raises(openai.BadRequestError, match="does not embed"):
        gateway.client.embeddings.create(model="one", input="hello")
    with pytest.raises(openai.NotFoundError, match="served are"):
        gateway.client.embeddings.create(model="three", input="hello")


# --- request ids ----------------------------------------------------------------------------------------------------


def test_a_sane_request_id_is_echoed(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.url}/models", headers={"x-request-id": "trace-1:a.b_c"})
    assert answer.headers["x-request-id"] == "trace-1:a.b_c"
    for insane in ("", "a b", "a" * 129, "-x", "ü", "a\tb", "<x>"):
        answer = httpx.get(f"{gateway.url}/models", headers={"x-request-id": insane.encode()})
        assert answer.headers["x-request-id"].startswith("req-"), insane
    assert request_id([(b"x-request-id", b"a"), (b"x-request-id", b"b")]).startswith("req-")
    assert request_id([(b"x-request-id", b"a\n")]).startswith("req-")


def test_a_key_named_twice_is_refused() -> None:
    for body in (
        b'{"model": "one", "model": "two", "prompt": "x"}',
        b'{"model": "one", "prompt": "x", "stream_options": {"include_usage": true, "include_usage": true}, "stream": true}',
        b'{"model": "one", "prompt": "x", "pro\\u006dpt": "y"}',
    ):
        with pytest.raises(ApiError, match="twice"):
            parse(body, CompletionRequest)
