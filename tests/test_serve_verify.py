"""Verified answers, by the official client, of an engine that says what a test tells it to; the checks are the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from serve import catalog, server, verify
from serve.engines.base import BaseInfo, Generation, Piece
from serve.verification import MOST, Report
from tests.serve_helpers import wait_until
from truemark import artifacts, sandbox
from truemark.errors import EngineError
from truemark.models import resolve

SHELF = Path(__file__).parent.parent / "adapters"
QUESTION = "Solve for x: 3x + 7 = 22"
RIGHT = "3x = 15\nx = 5\nAnswer: x = 5"
CROOKED = "3x = 14\nx = 5\nAnswer: x = 5"
WRONG = "3x = 18\nx = 6\nAnswer: x = 6"
HANG, BREAK = "(hangs)", "(breaks)"
COINS = "Facts: coin(I,W). Choose exactly one coin, pick(I).\nExample facts: coin(1,2). coin(2,3)."


class Scripted:
    """An engine of which each request takes the next text of the script; a character is a token."""

    name = "scripted"
    slots = 4
    mixes = True

    def __init__(self) -> None:
        template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        self.info = BaseInfo(template, "", "", context=6000, version="1")
        self.script: list[str] = []
        self.asked: list[Generation] = []
        self.running = 0

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def alive(self) -> bool:
        return True

    def kill(self) -> None: ...
    async def probe(self) -> None: ...

    def cpu_seconds(self) -> float | None:
        return None

    async def tokenize(self, text: str) -> list[int]:
        return list(map(ord, text))

    async def logprobs(self, prompt_ids: Sequence[int], adapter: str | None) -> dict[int, float]:
        return {1: -0.1, 2: -3.0} if adapter else {1: -3.0, 2: -0.1}

    async def generate(self, request: Generation, slot: int | None = None) -> AsyncGenerator[Piece, None]:
        self.asked.append(request)
        text = self.script.pop(0)
        self.running += 1
        try:
            for start in range(0, len(text), 7):
                yield Piece(text[start : start + 7], min(start + 7, len(text)))
                await asyncio.sleep(0)
            if text == HANG:
                await asyncio.sleep(600)
            if text == BREAK:
                raise EngineError("the engine ended")
            yield Piece("", len(text) + 1, "stop")
        finally:
            self.running -= 1

    def prompt(self, number: int) -> str:
        return "".join(map(chr, self.asked[number].prompt_ids))


class Served:
    """A gateway with `math`, `asp`, `plain` (an adapter of another house) and the base."""

    def __init__(self, url: str, engine: Scripted) -> None:
        self.url, self.engine = url, engine
        self.client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60)

    def create(self, *script: str, model: str = "math", question: str = QUESTION, options: Any = None, **more: Any) -> Any:  # fmt: skip
        self.engine.script, self.engine.asked = list(script), []
        messages: Any = [{"role": "user", "content": question}]
        body = {"truemark": options} if options is not None else None
        return self.client.chat.completions.create(model=model, messages=messages, extra_body=body, **more)

    def ask(self, *script: str, attempts: int = 3, **more: Any) -> tuple[str, Report, Any]:
        """The text, the report and the usage."""
        options = {"verify": True, "attempts": attempts, **more.pop("options", {})}
        answer = self.create(*script, options=options, **more)
        return answer.choices[0].message.content, Report.model_validate(answer.truemark), answer.usage


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("scripted")
    math = artifacts.open_artifact(SHELF / "math-smollm2")
    for name, domain in (("asp", "asp"), ("plain", "poetry")):
        base = math.manifest.base
        with artifacts.create(home / name, kind="adapter", name=name, domain=domain, format="peft", base=base) as draft:
            for file in ("adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"):
                (draft.path / file).write_bytes((math.path / file).read_bytes())
    assert resolve(str(home / "asp")).artifact
    models = catalog.read([f"math={math.path}", f"asp={home / 'asp'}", f"plain={home / 'plain'}"])
    engine = Scripted()
    with server.background(models, engine) as (url, _):
        yield Served(url, engine)


@pytest.fixture(autouse=True)
def _nothing_is_left_running(served: Served) -> Iterator[None]:
    yield
    assert wait_until(lambda: served.engine.running == 0)


# --- which answer is returned ---------------------------------------------------------------------------------------


def test_the_first_answer_is_returned_where_it_passes(served: Served) -> None:
    text, report, usage = served.ask(RIGHT, WRONG, temperature=0)
    assert text == RIGHT
    assert (report.outcome, report.answered_by, report.attempts) == ("verified", "model", 1)
    assert report.reason.startswith("SymPy passes it")
    assert report.verdict is not None and report.verdict.passed and report.verdict.reason == "ok"
    assert served.engine.asked[0].temperature == 0
    assert usage.completion_tokens == len(RIGHT) + 1


def test_a_wrong_answer_is_asked_for_again_and_all_tokens_are_counted(served: Served) -> None:
    text, report, usage = served.ask(WRONG, RIGHT, temperature=0)
    assert text == RIGHT
    assert (report.outcome, report.attempts) == ("verified", 2)
    assert [row.verdict.reason for row in report.tried if row.verdict] == ["wrong_value", "ok"]
    assert usage.completion_tokens == len(WRONG) + len(RIGHT) + 2
    assert usage.prompt_tokens == sum(len(asked.prompt_ids) for asked in served.engine.asked)
    first, second = served.engine.asked
    assert second.prompt_ids == first.prompt_ids
    assert second.temperature == verify.WARMER, "greedily it would be the same answer"
    assert second.seed is not None, "a greedy request stays repeatable"


def test_a_seed_counts_on_and_no_seed_stays_none(served: Served) -> None:
    served.ask(WRONG, WRONG, RIGHT, temperature=1.5, seed=5)
    assert [(asked.seed, asked.temperature) for asked in served.engine.asked] == [(5, 1.5), (6, 1.5), (7, 1.5)]
    served.ask(WRONG, RIGHT)
    assert [asked.seed for asked in served.engine.asked] == [None, None]


def test_math_falls_back_to_sympy_and_says_so(served: Served) -> None:
    text, report, usage = served.ask(WRONG, "no idea", attempts=2)
    assert text.endswith("Answer: x = 5")
    assert (report.outcome, report.answered_by, report.verdict) == ("solver", "solver", None)
    assert "none of 2 attempts passed" in report.reason
    assert "SymPy's own solution, not the model's" in report.reason
    assert usage.completion_tokens == len(WRONG) + len("no idea") + 2


def test_a_right_answer_by_a_wrong_step_is_not_the_first_choice(served: Served) -> None:
    text, report, _ = served.ask(CROOKED, RIGHT)
    assert (text, report.attempts) == (RIGHT, 2)
    assert report.tried[0].verdict is not None and report.tried[0].verdict.first_wrong_step == 1
    text, report, _ = served.ask(WRONG, CROOKED, attempts=2)
    assert (text, report.outcome) == (CROOKED, "verified")
    assert report.verdict is not None and report.verdict.reason == "wrong_step"


def test_what_the_solver_cannot_read_is_judged_by_its_steps(served: Served) -> None:
    question = "How old is my cat, who is 3 + 4 in dog years?"
    text, report, _ = served.ask("3 + 4 = 8\nAnswer: 8", "3 + 4 = 7\nAnswer: 7", question=question)
    assert (text, report.outcome, report.attempts) == ("3 + 4 = 7\nAnswer: 7", "unrefuted", 2)
    assert "no proof" in report.reason
    text, report, _ = served.ask("3 + 4 = 8", "3 + 4 = 9", question=question, attempts=2)
    assert (text, report.outcome, report.answered_by) == ("3 + 4 = 8", "wrong", "model")


def test_what_nothing_can_check_is_answered_once(served: Served) -> None:
    text, report, _ = served.ask("Because of Rayleigh.", "Again.", question="Why is the sky blue?")
    assert (text, report.outcome, report.verdict, report.attempts) == ("Because of Rayleigh.", "unchecked", None, 1)
    assert "nothing could be checked" in report.reason


def test_a_hint_is_fed_back_and_does_not_hold_the_answer(served: Served) -> None:
    _, report, _ = served.ask(WRONG, RIGHT, options={"feedback": True})
    assert report.outcome == "verified"
    prompt = served.engine.prompt(1)
    assert WRONG in prompt
    assert "the final answer is another value" in prompt
    assert "x = 5" not in prompt


def test_a_hint_that_makes_the_prompt_too_long_is_left_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.engine, "info", replace(served.engine.info, context=3000))
    long = WRONG + "\n" + "x = 6\n" * 450
    _, report, _ = served.ask(long, RIGHT, options={"feedback": True})
    assert report.outcome == "verified"
    assert served.engine.asked[1].prompt_ids == served.engine.asked[0].prompt_ids


def test_clingo_s_message_is_fed_back_to_an_asp_model(served: Served) -> None:
    good = "{pick(I):coin(I,W)} = 1."
    text, report, _ = served.ask("pick(X) :- coin(I,W).", good, model="asp", question=COINS)
    assert (text, report.outcome, report.checker) == (good, "unrefuted", "clingo")
    assert "'X' is unsafe" in served.engine.prompt(1)


# --- how it is asked for --------------------------------------------------------------------------------------------


def test_the_model_name_asks_for_it_too(served: Served) -> None:
    answer = served.create(WRONG, RIGHT, model="math:verified")
    assert answer.model == "math:verified"
    assert answer.truemark["outcome"] == "verified"
    answer = served.create(WRONG, RIGHT, model="math:verified", options={"attempts": 1})
    assert answer.truemark["outcome"] == "solver"
    rows = {row.id: row.to_dict()["truemark"] for row in served.client.models.list()}
    assert rows["math"]["verified"] == "math:verified"  # type: ignore[index]
    assert rows["plain"]["verified"] is None  # type: ignore[index]


def test_a_plain_answer_says_nothing_of_it(served: Served) -> None:
    for options in (None, {}, {"verify": False}):
        answer = served.create(WRONG, options=options)
        assert answer.choices[0].message.content == WRONG
        assert not hasattr(answer, "truemark")


@pytest.mark.parametrize(
    ("model", "options", "more", "status", "said"),
    [
        ("plain", {"verify": True}, {}, 400, "the domain 'poetry' is not known here"),
        ("smollm2-135m", {"verify": True}, {}, 400, "it belongs to no domain"),
        ("smollm2-135m:verified", None, {}, 400, "cannot be verified"),
        ("nobody:verified", None, {}, 404, "no model 'nobody'"),
        ("math:checked", None, {}, 404, "no model 'math:checked'"),
        ("math:verified", {"verify": False}, {}, 400, "verify is false"),
        ("math", {"attempts": 2}, {}, 400, "go with"),
        ("math", {"verify": True, "attempts": 0}, {}, 400, "truemark.attempts"),
        ("math", {"verify": True, "attempts": MOST + 1}, {}, 400, "truemark.attempts"),
        ("math", {"verify": True, "attempts": "3"}, {}, 400, "truemark.attempts"),
        ("math", {"verify": "yes"}, {}, 400, "truemark.verify"),
        ("math", {"check": True}, {}, 400, "truemark.check"),
        ("math", [], {}, 400, "truemark"),
        ("math", {"verify": True}, {"n": 2}, 400, "n"),
        ("math", {"verify": True}, {"logprobs": True}, 400, "logprobs"),
    ],
)
def test_what_is_refused(served: Served, model: str, options: Any, more: Any, status: int, said: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        served.create(model=model, options=options, **more)
    assert caught.value.status_code == status
    assert said in caught.value.message
    assert not served.engine.asked


# --- streams --------------------------------------------------------------------------------------------------------


def test_a_stream_holds_the_accepted_answer_alone_and_the_verdict_at_its_end(served: Served) -> None:
    stream = served.create(WRONG, RIGHT, options={"verify": True}, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == RIGHT
    assert chunks[0].choices[0].delta.role == "assistant"
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert Report.model_validate(last.truemark).attempts == 2
    assert [hasattr(chunk, "truemark") for chunk in chunks].count(True) == 1
    assert usage.choices == [] and usage.usage.completion_tokens == len(WRONG) + len(RIGHT) + 2
    assert len({chunk.id for chunk in chunks}) == 1


def lines(served: Served, *script: str) -> list[str]:
    """The raw lines of a stream."""
    served.engine.script = list(script)
    body = {"model": "math:verified", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    return [line for line in httpx.post(f"{served.url}/chat/completions", json=body, timeout=60).text.split("\n") if line]  # fmt: skip


def test_a_stream_that_waits_sends_comments(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "KEEP_ALIVE", 0.02)
    monkeypatch.setattr(verify, "SECONDS", 0.5)
    got = lines(served, WRONG, HANG)
    assert ": attempt 2" in got
    assert got[-1] == "data: [DONE]"
    assert all(line.startswith((":", "data: ")) for line in got)
    ended = json.loads(got[-2].removeprefix("data: "))
    assert ended["choices"][0]["finish_reason"] == "stop"
    assert ended["truemark"]["outcome"] == "solver"


def test_without_an_answer_a_stream_ends_in_an_error(served: Served) -> None:
    got = lines(served, BREAK)
    assert "engine_unavailable" in got[-1]
    assert "[DONE]" not in "".join(got)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_tokens_of_all_attempts_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "TOKENS", len(WRONG) + 11)
    _, report, _ = served.ask(WRONG, WRONG, RIGHT, attempts=8, max_tokens=500)
    assert [asked.max_tokens for asked in served.engine.asked] == [500, 10]
    assert report.attempts == 2
    assert "tokens for all attempts were used" in report.reason


def test_seconds_of_all_attempts_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SECONDS", 0.5)
    text, report, usage = served.ask(WRONG, HANG, RIGHT)
    assert (report.outcome, report.attempts) == ("solver", 2)
    assert text.endswith("Answer: x = 5")
    assert "s for all attempts were over" in report.reason
    assert (report.tried[1].verdict, report.tried[1].finish_reason) == (None, None)
    assert usage.completion_tokens == len(WRONG) + 1 + len(HANG)


def test_an_engine_that_breaks_off(served: Served) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        served.ask(BREAK)
    assert caught.value.status_code == 503
    _, report, _ = served.ask(WRONG, BREAK, RIGHT)
    assert (report.outcome, report.attempts) == ("solver", 2)
    assert "the engine ended" in report.reason


def test_a_check_over_its_limits_is_a_verdict(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "TARGET", "tests.sandbox_targets:spin_on")
    monkeypatch.setattr(verify, "LIMITS", sandbox.Limits(cpu_seconds=0.3, wall_seconds=90))
    _, report, _ = served.ask(RIGHT, RIGHT, attempts=2)
    assert (report.outcome, report.attempts) == ("wrong", 2)
    assert report.verdict is not None and report.verdict.reason == "timeout"


def test_a_check_that_fails_is_no_verdict(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "TARGET", "tests.sandbox_targets:no_such_function")
    text, report, _ = served.ask(RIGHT)
    assert (text, report.outcome) == (RIGHT, "unchecked")


# --- a client that leaves, and others meanwhile ---------------------------------------------------------------------


@contextlib.contextmanager
def leaving(served: Served, stream: bool, *script: str) -> Iterator[None]:
    """A request whose client hangs up at the end of the block."""
    served.engine.script, served.engine.asked = list(script), []
    body = {"model": "math:verified", "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    address, data = urlsplit(served.url), json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((str(address.hostname), address.port or 80)) as made:
        made.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        yield


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_attempt(served: Served, stream: bool) -> None:
    with leaving(served, stream, WRONG, HANG, RIGHT):
        assert wait_until(lambda: len(served.engine.asked) == 2, 60)
    assert wait_until(lambda: served.engine.running == 0)
    assert served.engine.script == [RIGHT], "no other attempt is made"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_check(served: Served, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    monkeypatch.setattr(verify, "TARGET", "tests.sandbox_targets:linger")
    pool = sandbox._pool
    with leaving(served, stream, WRONG, RIGHT):
        assert wait_until(lambda: len(pool.alive) > len(pool.idle), 60)
    assert wait_until(lambda: len(pool.alive) == len(pool.idle))
    assert served.engine.script == [RIGHT]


def test_checks_do_not_hold_up_others(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """More checks hang than there are workers, and every other request is answered."""
    monkeypatch.setattr(verify, "TARGET", "tests.sandbox_targets:linger")
    count = 2 * sandbox._pool.size
    served.engine.script = [WRONG] * (count + 3)
    body = {"model": "math:verified", "messages": [{"role": "user", "content": QUESTION}], "truemark": {"attempts": 1}}
    done: list[int] = []

    def post() -> None:
        done.append(httpx.post(f"{served.url}/chat/completions", json=body, timeout=120).status_code)

    threads = [threading.Thread(target=post) for _ in range(count)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(served.engine.script) == 3)
    for _ in range(3):
        assert httpx.get(f"{served.url.removesuffix('/v1')}/health", timeout=60).status_code == 200
        plain = {key: value for key, value in body.items() if key != "truemark"} | {"model": "math"}
        assert httpx.post(f"{served.url}/chat/completions", json=plain, timeout=60).status_code == 200
    assert not done, "the checks hang still"
    while any(thread.is_alive() for thread in threads):
        for worker in list(sandbox._pool.alive):
            worker.process.kill()  # a check that dies is a verdict as well
        threads[0].join(0.05)
    assert done == [200] * count
