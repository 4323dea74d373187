"""What no engine gives by itself: isolation of adapters, proof that they are applied, life after a crash."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
import pytest

from serve import canary, catalog, engines, server, supervisor
from serve.engines.base import Generation
from serve.engines.llamacpp import LlamaCppEngine
from tests.serve_helpers import runs, tiny_export, tiny_models, wait_until
from truemark.errors import EngineError, InvalidArtifact, ModelNotFound, TruemarkError, UnknownName

T = TypeVar("T")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory)


def words(home: Path, *names: str) -> list[str]:
    return [f"{name}={home / name}" for name in names]


def create(models: catalog.Catalog) -> LlamaCppEngine:
    engine = engines.create("llamacpp", models.base.ref, models.adapters)
    assert isinstance(engine, LlamaCppEngine)
    return engine


async def started(engine: LlamaCppEngine, work: Coroutine[Any, Any, T]) -> T:
    try:
        await engine.start()
        return await work
    finally:
        await engine.stop()


def ask(url: str, model: str, text: str = "Solve for x: 3x + 7 = 22") -> str:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], max_tokens=32, temperature=0
    )
    return answer.choices[0].message.content or ""


def test_adapters_do_not_leak_into_each_other(home: Path) -> None:
    """A, B, A, base on one server give what a cold server gives each, also when they come at once."""
    cold = {}
    for name in ("one", "two"):
        models = catalog.read(words(home, name))
        with server.background(models, create(models)) as (url, _):
            cold[name] = ask(url, name)
    models = catalog.read([], f"gguf:{home / 'base.gguf'}")
    with server.background(models, create(models)) as (url, _):
        cold["base"] = ask(url, "base")
    assert len(set(cold.values())) == 3
    models = catalog.read(words(home, "one", "two"))
    with server.background(models, create(models)) as (url, _):
        for name in ("one", "two", "one", "base", "two", "base", "one"):
            assert ask(url, name) == cold[name], name
        order = ["one", "two", "base", "one", "base", "two"] * 2
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(lambda name: ask(url, name), order)) == [cold[name] for name in order]


def test_an_adapter_that_changes_nothing_is_refused(home: Path, tmp_path: Path) -> None:
    dead = tiny_export(tmp_path / "dead", home / "base.gguf", seed=3, scale=0.0)
    models = catalog.read([*words(home, "one"), f"dead={dead}"])
    engine = create(models)
    with pytest.raises(InvalidArtifact, match="adapter 'dead' changes nothing"), server.background(models, engine):
        pass
    assert engine.pid is None


def test_an_engine_that_forgets_the_adapter_is_caught(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure the canary is for: the adapter is loaded, and no request applies it."""
    whole = LlamaCppEngine._body

    def forgetful(self: LlamaCppEngine, request: Generation) -> dict[str, Any]:
        return whole(self, request) | {"lora": []}

    monkeypatch.setattr(LlamaCppEngine, "_body", forgetful)
    models = catalog.read(words(home, "one"))
    with pytest.raises(InvalidArtifact, match="changes nothing"), server.background(models, create(models)):
        pass


def test_distance_of_two_top_lists() -> None:
    assert canary.distance({1: -0.5, 2: -1.0}, {1: -0.5, 2: -1.0}) == 0
    assert canary.distance({1: -0.5, 2: -1.0}, {1: -0.25, 2: -1.0}) == 0.25
    assert canary.distance({1: -0.5, 2: -3.0}, {1: -0.5, 7: -2.0}) == pytest.approx(1.0)


def test_a_killed_engine_is_a_503_and_comes_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = catalog.read(words(home, "one"))
    engine = create(models)
    with server.background(models, engine) as (url, keeper):
        health = url.replace("/v1", "/health")
        before, first, start = ask(url, "one"), engine.pid, engine.start
        may_return = threading.Event()

        async def held() -> None:
            while not may_return.is_set():
                await asyncio.sleep(0.01)
            await start()

        monkeypatch.setattr(engine, "start", held)
        os.kill(first or 0, signal.SIGKILL)
        with pytest.raises(openai.InternalServerError) as caught:
            ask(url, "one")
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"] == "2"
        assert wait_until(lambda: keeper.state == "restarting", 5)
        assert httpx.get(health).status_code == 503
        may_return.set()
        assert wait_until(lambda: httpx.get(health).status_code == 200, 60)
        assert ask(url, "one") == before
        assert keeper.restarts == 1 and keeper.proofs["one"].shift > canary.MIN_SHIFT
        second = engine.pid
        assert second not in (None, first)
    assert not runs(second or 0)


def test_starts_that_fail_are_tried_again_after_growing_pauses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PAUSES", (0.0, 0.1, 0.2))
    models = catalog.read(words(home, "one"))
    engine = create(models)
    with server.background(models, engine) as (url, keeper):
        before, start, tries = ask(url, "one"), engine.start, []

        async def failing() -> None:
            tries.append(time.monotonic())
            if len(tries) < 5:
                raise EngineError("no luck")
            await start()

        monkeypatch.setattr(engine, "start", failing)
        os.kill(engine.pid or 0, signal.SIGKILL)
        assert wait_until(lambda: keeper.error == "no luck", 10)
        with pytest.raises(openai.InternalServerError, match="the engine is restarting"):
            ask(url, "one")
        assert wait_until(lambda: keeper.state == "ok", 60)
        assert ask(url, "one") == before and keeper.restarts == 5
        assert all(
            later - earlier >= pause for earlier, later, pause in zip(tries, tries[1:], (0.1, 0.2, 0.2), strict=False)
        )


def test_an_adapter_that_is_gone_at_a_restart_is_not_tried_for_ever(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = catalog.read(words(home, "one"))
    engine = create(models)
    with server.background(models, engine) as (url, keeper):
        monkeypatch.setattr(canary, "MIN_SHIFT", 1e9)
        os.kill(engine.pid or 0, signal.SIGKILL)
        assert wait_until(lambda: keeper.state == "down", 60)
        with pytest.raises(openai.InternalServerError, match="changes nothing"):
            ask(url, "one")
        assert engine.pid is None


def test_an_engine_killed_in_the_middle_of_a_stream_ends_it_with_an_error(home: Path) -> None:
    models = catalog.read(words(home, "one"))
    engine = create(models)
    with server.background(models, engine) as (url, _):
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        message: Any = [{"role": "user", "content": "hello"}]
        stream = client.chat.completions.create(model="one", messages=message, max_tokens=1900, stream=True)
        next(stream)
        os.kill(engine.pid or 0, signal.SIGKILL)
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)


def test_nothing_is_left_after_a_failed_start(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((home / "base.gguf").read_bytes()[:4096])
    models = catalog.read([], f"gguf:{broken}")
    engine = create(models)
    with pytest.raises(EngineError, match="ended while loading"), server.background(models, engine):
        pass
    assert engine.pid is None and engine._home is None


def test_a_stop_before_the_engine_is_ready_leaves_nothing(home: Path) -> None:
    models = catalog.read(words(home, "one"))
    engine = create(models)

    async def impatient() -> int:
        stop = asyncio.Event()
        task = asyncio.create_task(
            server.run(models, engine, server.listen("127.0.0.1", 0), ready=lambda _: None, stop=stop)
        )
        while engine.pid is None:
            await asyncio.sleep(0.001)
        pid = engine.pid
        stop.set()
        await task
        return pid

    assert not runs(asyncio.run(impatient()))


def test_a_users_llama_variables_do_not_reach_the_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "64")
    monkeypatch.setenv("LLAMA_ARG_N_PARALLEL", "1")
    monkeypatch.setenv("LLAMA_API_KEY", "secret")
    engine = create(catalog.read(words(home, "one")))
    asyncio.run(started(engine, engine.tokenize("hello")))
    assert engine.info.context == 2048


def test_the_supervisor_looks_often_enough() -> None:
    assert supervisor.LOOK_EVERY <= 5  # a crash is noticed within five seconds


# --- what may be served ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", "math", "=x", "math=", "a b=x", "math:verified=x", "../x=y", "a" * 65 + "=x"])
def test_an_adapter_word_that_is_not_name_and_path(word: str) -> None:
    with pytest.raises(TruemarkError, match="expected NAME=PATH"):
        catalog.read([word])


def test_names_are_unique(home: Path) -> None:
    with pytest.raises(TruemarkError, match="two adapters are named 'one'"):
        catalog.read([f"one={home / 'one'}", f"one={home / 'two'}"])
    with pytest.raises(TruemarkError, match="the base's own name"):
        catalog.read([f"base={home / 'one'}"])


def test_what_is_not_an_adapter_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="is not an adapter"):
        catalog.read([f"x={home / 'base.gguf'}"])
    with pytest.raises(ModelNotFound, match="no model"):
        catalog.read([f"x={tmp_path / 'nowhere'}"])
    (tmp_path / "half").mkdir()
    with pytest.raises(TruemarkError, match="is not a model"):
        catalog.read([f"x={tmp_path / 'half'}"])


def test_a_changed_adapter_is_refused(home: Path, tmp_path: Path) -> None:
    export = tiny_export(tmp_path / "x", home / "base.gguf", seed=5)
    (export / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(InvalidArtifact, match="was changed after the artifact was made"):
        catalog.read([f"x={export}"])


def test_an_adapter_of_another_base_is_refused(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes((home / "base.gguf").read_bytes() + b"\0")
    stranger = tiny_export(tmp_path / "stranger", other, seed=6)
    with pytest.raises(ModelNotFound, match="one server holds one base"):
        catalog.read([*words(home, "one"), f"stranger={stranger}"])
    with pytest.raises(ModelNotFound, match="was trained on"):
        catalog.read([f"stranger={stranger}"], f"gguf:{home / 'base.gguf'}")
    other.write_bytes(b"GGUF changed")
    with pytest.raises(ModelNotFound, match="another revision"):
        catalog.read([f"stranger={stranger}"])


def test_an_unknown_engine_is_named_with_the_list(home: Path) -> None:
    models = catalog.read(words(home, "one"))
    with pytest.raises(UnknownName, match="did you mean 'llamacpp'"):
        engines.create("llama-cpp", models.base.ref, models.adapters)
