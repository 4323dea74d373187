"""Load, isolation and life after a crash, on a real llama-server: what `serve.schedule` and `serve.supervisor` promise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve import catalog, engines, places, pulse, server, supervisor
from serve.engines import gguf_header, llamacpp
from serve.engines.base import EngineLost, Generation
from serve.engines.llamacpp import SLOTS, LlamaCppEngine
from serve.protocol import ApiError
from serve.supervisor import Supervisor
from tests.serve_helpers import tiny_models, wait_until
from truemark.errors import ModelNotFound

T = TypeVar("T")
TEXTS = ("Solve for x: 3x + 7 = 22", "Say it in other words: the sea is calm.", "½ of 80 €?", "Hello")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


def create(home: Path, *names: str) -> tuple[catalog.Catalog, LlamaCppEngine]:
    models = catalog.read([f"{name}={home / name}" for name in names], f"gguf:{home / 'base.gguf'}")
    engine = engines.create("llamacpp", models.base.ref, models.adapters)
    assert isinstance(engine, LlamaCppEngine)
    return models, engine


def ask(url: str, model: str, text: str, n: int = 24) -> str:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": text}]
    answer = client.chat.completions.create(model=model, messages=messages, max_tokens=n, temperature=0)
    return answer.choices[0].message.content or ""


def run(home: Path, work: Any) -> Any:
    """`work(supervisor)` in one loop with a started supervisor, without the gateway."""

    async def whole() -> Any:
        models, engine = create(home, "one", "two")
        keeper = Supervisor(engine, models)
        try:
            await keeper.start()
            return await work(keeper)
        finally:
            await keeper.stop()

    return asyncio.run(whole())


def request(adapter: str | None, n: int = 24, prompt: tuple[int, ...] = (1, 504, 338, 253)) -> Generation:
    return Generation(prompt, adapter, max_tokens=n)


async def text(keeper: Supervisor, asked: Generation) -> str:
    return "".join([piece.text async for piece in keeper.generate(asked)])


# --- isolation ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cold(home: Path) -> dict[tuple[str, str], str]:
    """Each model's answers on a server that has served nothing but that question and holds no other adapter."""
    found = {}
    for name in ("one", "two", "base"):
        models, engine = create(home, *([] if name == "base" else [name]))
        with server.background(models, engine) as (url, _):
            for asked in TEXTS:
                found[name, asked] = ask(url, name, asked)
    assert len(set(found.values())) == len(found)
    return found


def test_mixed_concurrent_requests_get_the_answers_of_a_cold_server(
    home: Path, cold: dict[tuple[str, str], str]
) -> None:
    """To the last character, in whatever order and company, also when the engine is killed in between."""
    models, engine = create(home, "one", "two")
    questions = list(cold) * 3
    with server.background(models, engine) as (url, keeper), ThreadPoolExecutor(len(questions)) as pool:
        assert [ask(url, *question) for question in cold] == list(cold.values())
        assert list(pool.map(lambda question: ask(url, *question), questions)) == list(cold.values()) * 3
        os.kill(engine.pid or 0, signal.SIGKILL)
        assert wait_until(lambda: keeper.restarts == 1 and keeper.state == "ok", 60)
        assert list(pool.map(lambda question: ask(url, *question), questions)) == list(cold.values()) * 3
        assert keeper.places.running == keeper.places.waiting == 0


# --- places ---------------------------------------------------------------------------------------------------------


def test_the_engine_holds_one_adapter_and_no_more_than_its_slots(home: Path) -> None:
    async def work(keeper: Supervisor) -> None:
        inside: dict[int, str | None] = {}
        widest, mixed, whole = 0, 0, keeper.engine.generate

        async def watched(asked: Generation, slot: int | None = None) -> Any:
            nonlocal widest, mixed
            assert slot is not None and slot not in inside
            inside[slot] = asked.adapter
            widest, mixed = max(widest, len(inside)), max(mixed, len(set(inside.values())))
            try:
                async for piece in whole(asked, slot):
                    yield piece
            finally:
                del inside[slot]

        keeper.engine.generate = watched  # type: ignore[method-assign]
        asked = [request(name) for name in ("one", "two", None, "one") for _ in range(10)]
        answers = await asyncio.gather(*(text(keeper, each) for each in asked))
        assert widest == SLOTS and mixed == 1 and not inside
        assert len(set(answers)) == 3 and answers[:10] == answers[30:]
        assert keeper.places.running == keeper.places.waiting == 0

    run(home, work)


def test_a_full_queue_refuses_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(keeper: Supervisor) -> None:
        keeper.places = places.Places(1, mixes=False, queue=2)
        busy = [asyncio.create_task(text(keeper, request("one", 1900))) for _ in range(3)]
        await asyncio.sleep(0)
        while keeper.places.waiting < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(ApiError, match="2 requests wait already") as caught:
            await text(keeper, request("two"))
        assert caught.value.status == 503 and caught.value.headers()["Retry-After"]
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        assert keeper.places.running == keeper.places.waiting == 0
        assert await text(keeper, request("two"))

    run(home, work)


def test_a_place_in_the_queue_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "WAIT_LIMIT", 0.05)

    async def work() -> None:
        one = places.Places(1, mixes=False)
        async with one.take("a"):
            with pytest.raises(ApiError, match="no place at the engine"):
                async with one.take("b"):
                    pass
            assert one.running == 1 and one.waiting == 0

    asyncio.run(work())


def test_a_reader_who_stops_reading_does_not_hold_a_place(home: Path) -> None:
    async def work(keeper: Supervisor) -> None:
        slow = keeper.generate(request("one"))
        first = await anext(slow)
        while keeper.places.running:  # without reading on
            await asyncio.sleep(0.01)
        assert await text(keeper, request("two"))
        assert first.text + "".join([piece.text async for piece in slow]) == await text(keeper, request("one"))

    run(home, work)


def test_who_leaves_the_queue_or_the_engine_makes_room(home: Path) -> None:
    async def work(keeper: Supervisor) -> None:
        keeper.places = places.Places(1, mixes=False)
        running = keeper.generate(request("one", 1900))
        await anext(running)
        waiting = asyncio.create_task(text(keeper, request("two", 1900)))
        third = asyncio.create_task(text(keeper, request("two")))
        while keeper.places.waiting < 2:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert keeper.places.waiting == 1 and not third.done()
        await running.aclose()
        assert keeper.places.running == 1  # the third, in the same step
        assert await third

    run(home, work)


# --- crash and hang -------------------------------------------------------------------------------------------------


def test_requests_without_a_token_survive_a_crash_and_others_end_with_an_error(home: Path) -> None:
    async def work(keeper: Supervisor) -> None:
        before = await text(keeper, request("two"))
        stream = keeper.generate(request("one", 1900))
        await anext(stream)
        waiting = [asyncio.create_task(text(keeper, request("two"))) for _ in range(5)]
        while keeper.places.waiting < 5:
            await asyncio.sleep(0.01)
        assert isinstance(keeper.engine, LlamaCppEngine)
        os.kill(keeper.engine.pid or 0, signal.SIGKILL)
        with pytest.raises(EngineLost, match="broke off"):
            [piece async for piece in stream]
        assert await asyncio.gather(*waiting) == [before] * 5
        assert keeper.restarts == 1
        assert keeper.places.running == keeper.places.waiting == 0

    run(home, work)


def test_a_request_that_kills_the_engine_is_asked_again_only_once(home: Path) -> None:
    async def work(keeper: Supervisor) -> None:
        whole = keeper.engine.generate

        async def deadly(asked: Generation, slot: int | None = None) -> Any:
            if asked.adapter == "one":
                keeper.engine.kill()
            async for piece in whole(asked, slot):
                yield piece

        keeper.engine.generate = deadly  # type: ignore[method-assign]
        with pytest.raises(EngineLost):
            await text(keeper, request("one"))
        assert await text(keeper, request("two"))
        assert keeper.restarts == 2

    run(home, work)


def test_a_stopped_engine_is_noticed_and_replaced(home: Path) -> None:
    """SIGSTOP: the process is there, its socket takes connections, nothing answers."""

    async def work(keeper: Supervisor) -> None:
        engine = keeper.engine
        assert isinstance(engine, LlamaCppEngine)
        before, pid = await text(keeper, request("one")), engine.pid
        os.kill(pid or 0, signal.SIGSTOP)
        assert await text(keeper, request("one")) == before  # asked while it hung
        assert keeper.restarts == 1 and engine.pid not in (None, pid)

    run(home, work)


def test_the_limits_of_detection_add_up_to_five_seconds() -> None:
    assert supervisor.LOOK_EVERY + pulse.PROBE_EVERY + pulse.QUIET + pulse.SURE <= 5


class FakeEngine:
    """An engine's pulse alone: how fast it answers, and how much processor time it uses per second."""

    def __init__(self, answers_after: float, load: float | None) -> None:
        self._answers_after = answers_after
        self._load = load
        self._began = time.monotonic()

    async def probe(self) -> None:
        await asyncio.sleep(self._answers_after)

    def cpu_seconds(self) -> float | None:
        return None if self._load is None else self._load * (time.monotonic() - self._began)


@pytest.mark.parametrize(
    ("answers_after", "load", "said"),
    [
        (0.0, 0.0, ""),  # idle
        (0.5, 1.0, ""),  # in a long step
        (0.2, 0.0, ""),  # an answer that comes within the second look
        (9.0, 0.0, "no processor time"),
        (9.0, 1.0, "one step took more"),  # for ever in a loop
        (9.0, None, "one step took more"),  # the same where processor time is unknown
    ],
)
def test_busy_is_not_hung(answers_after: float, load: float | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "QUIET", 0.1)
    monkeypatch.setattr(pulse, "SURE", 0.3)
    monkeypatch.setattr(pulse, "SPIN_LIMIT", 1.0)
    why = asyncio.run(pulse.Pulse(FakeEngine(answers_after, load)).hung())  # type: ignore[arg-type]
    assert said in why and bool(said) == bool(why)


# --- the real base --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Iterator[tuple[str, catalog.Catalog]]:
    root = Path(__file__).parent.parent / "adapters"
    models = catalog.read([f"{name}={root / f'{name}-smollm2'}" for name in ("math", "rewording")])
    with server.background(models, engines.create("llamacpp", models.base.ref, models.adapters)) as (url, _):
        yield url, models


def likeliest(url: str, model: str, text: str) -> dict[str, float]:
    """Log-probabilities of the likeliest first tokens of an answer; of one without text that it has none."""
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": text}]
    answer = client.chat.completions.create(
        model=model, messages=messages, max_tokens=1, temperature=0, logprobs=True, top_logprobs=20
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    rows = logprobs.content[0].top_logprobs if logprobs.content else []
    return {row.token: row.logprob for row in rows} or {"": 0.0}


@pytest.mark.slow
def test_shipped_adapters_answer_alike_alone_and_in_a_crowd(shipped: tuple[str, catalog.Catalog]) -> None:
    """One after another bit for bit; in a crowd up to the sums' last bits, which go with the width of a batch (serve/README.md)."""
    url, models = shipped
    questions = [(name, asked) for name in models.models for asked in TEXTS]
    alone = [ask(url, *question, 32) for question in questions]
    assert [ask(url, *question, 32) for question in reversed(questions)] == alone[::-1]
    quiet = [likeliest(url, *question) for question in questions]
    with ThreadPoolExecutor(2 * len(questions)) as pool:
        crowd = [pool.submit(ask, url, *question, 32) for question in questions]
        found = list(pool.map(lambda question: likeliest(url, *question), questions))
        assert all(answer.result() for answer in crowd)
    for before, after, question in zip(quiet, found, questions, strict=True):
        assert gap(before, after) < 0.02, question
    for asked in range(len(TEXTS)):  # and that is less than what tells the models apart
        own = [quiet[asked + len(TEXTS) * model] for model in range(len(models.models))]
        assert min(gap(own[0], own[1]), gap(own[0], own[2]), gap(own[1], own[2])) > 0.1


def gap(left: dict[str, float], right: dict[str, float]) -> float:
    """Largest difference over the tokens that both have."""
    return max((abs(left[token] - right[token]) for token in left.keys() & right.keys()), default=float("inf"))


# --- memory ---------------------------------------------------------------------------------------------------------


def test_slots_fit_the_memory_set_aside_for_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = llamacpp.CONTEXT * gguf_header.kv_bytes_per_token(home / "base.gguf")
    assert (
        slot == 2048 * 2 * (1 * 32 + 1 * 32) * 2
    )  # tokens, layers, one head of 32 each for keys and values, two bytes
    assert create(home)[1].slots == SLOTS
    monkeypatch.setattr(llamacpp, "KV_MEMORY", 5 * slot + 1)
    assert create(home)[1].slots == 5
    monkeypatch.setattr(llamacpp, "KV_MEMORY", 1)
    assert create(home)[1].slots == 1


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_header_is_believed(tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bool) -> None:
    file = tmp_path_factory.getbasetemp() / "header.gguf"
    file.write_bytes((b"GGUF\x03\0\0\0" if magic else b"") + data)
    with contextlib.suppress(ModelNotFound):
        assert gguf_header.kv_bytes_per_token(file) >= 0
