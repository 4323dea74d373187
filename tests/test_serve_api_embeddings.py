"""Embeddings, by the official client, from a real llama-server."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import openai
import pytest

from tests.serve_api_helpers import HELLO, Gateway, running, tiny_catalog

TEXTS = ["3x + 7 = 22", "the sea", "x" * 900]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tiny_catalog(tmp_path_factory), "llamacpp-embed") as made:
        yield made


def embed(gateway: Gateway, *texts: str) -> np.ndarray:
    rows = gateway.client.embeddings.create(model="base", input=list(texts)).data
    assert [row.index for row in rows] == list(range(len(texts)))
    return np.array([row.embedding for row in rows])


def test_vectors_are_of_length_one_and_of_their_text(gateway: Gateway) -> None:
    vectors = embed(gateway, *TEXTS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01
    assert embed(gateway, TEXTS[0])[0] == pytest.approx(vectors[0], abs=1e-5)


def test_vectors_beside_others(gateway: Gateway) -> None:
    """What is computed at the same time changes neither a vector nor an answer, with an adapter or without."""
    cold = embed(gateway, *TEXTS)

    def chat(number: int) -> str:
        model = ("one", "two", "base")[number % 3]
        answer = gateway.client.chat.completions.create(model=model, messages=HELLO, max_tokens=9, temperature=0)
        return f"{model}: {answer.choices[0].message.content}"

    with ThreadPoolExecutor(6) as pool:
        alone = {chat(number) for number in range(3)}
        chats = [pool.submit(chat, number) for number in range(12)]
        vectors = [pool.submit(embed, gateway, *texts) for texts in (TEXTS, TEXTS[::-1], ["a b c"] * 3) * 6]
        for number, each in enumerate(vectors):
            if number % 3 < 2:
                assert each.result()[:: -1 if number % 3 else 1] == pytest.approx(cold, abs=1e-5)
        assert {each.result() for each in chats} == alone


def test_floats_ids_and_the_packed_form(gateway: Gateway) -> None:
    url = f"{gateway.url}/embeddings"
    plain = httpx.post(url, json={"model": "base", "input": TEXTS[0]}).json()
    packed = httpx.post(url, json={"model": "base", "input": TEXTS[0], "encoding_format": "base64"}).json()
    vector = plain["data"][0]["embedding"]
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert struct.unpack(f"<{len(vector)}f", raw) == pytest.approx(vector, abs=1e-6)
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] > 0
    one, several = (
        httpx.post(url, json={"model": "base", "input": ids}).json()["data"] for ids in ([5, 6], [[5, 6], [7]])
    )
    assert len(one) == 1 and len(several) == 2
    assert one[0]["embedding"] == pytest.approx(several[0]["embedding"], abs=1e-5)


def test_what_is_refused(gateway: Gateway) -> None:
    with pytest.raises(openai.BadRequestError, match="with the bare base alone, not with 'one'"):
        gateway.client.embeddings.create(model="one", input="x")
    with pytest.raises(openai.BadRequestError, match="tokens long"):
        gateway.client.embeddings.create(model="base", input="a b " * 3000)
    with pytest.raises(openai.BadRequestError, match="at least 1 character"):
        gateway.client.embeddings.create(model="base", input=["a", ""])
    with pytest.raises(openai.BadRequestError, match="llama-server answered 400"):
        gateway.client.embeddings.create(model="base", input=[2**31 - 1])
