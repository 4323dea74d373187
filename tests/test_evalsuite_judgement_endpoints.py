"""Endpoints that misbehave: asked again, within a budget, and never a wrong answer for want of one. A real server on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import domains
from evalsuite.predictions import Prediction
from tests import evalsuite_helpers as toy
from truemark import cli, runtimes
from truemark.errors import EngineError, InvalidData
from truemark.files import read_jsonl
from truemark.models import resolve
from truemark.runtimes import retries
from truemark.runtimes.base import Completion, Sampling
from truemark.runtimes.http import HttpRuntime
from truemark.runtimes.retries import Budget, BudgetSpent, NoAnswer, retry_after, wait_before

Behave = Callable[[str, int], Any]
"""(question, how often it was asked before) → text of an answer, or `Bad`."""


class Bad:
    def __init__(
        self, status: int = 200, body: bytes = b"", *, cut: bool = False, slow: float = 0, **headers: str
    ) -> None:
        self.status, self.body, self.cut, self.slow = status, body, cut, slow
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def completion(text: Any, *, finish: str = "stop", usage: Any = (10, 5)) -> bytes:
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
    }
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": 15}
    return json.dumps(body).encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    behave: Behave

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """A client that hung up."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = asked["messages"][-1]["content"]
        with self.server.lock:
            before = self.server.asked[question]
            self.server.asked[question] += 1
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            self._answer(self.server.behave(question, before), stream=asked.get("stream", False))
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def _answer(self, answer: Any, *, stream: bool) -> None:
        if isinstance(answer, str):
            answer = Bad(body=completion(answer))
        time.sleep(answer.slow)
        if answer.status == 0:
            return  # hangs up without a word
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server()
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{running.server_port}/v1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.002)
    yield running
    running.shutdown()
    running.server_close()


def ask(*questions: str, timeout: float = 20, **options: Any) -> dict[int, Completion | NoAnswer]:
    prompts = [[{"role": "user", "content": question}] for question in questions]
    with HttpRuntime(resolve("openai:m"), timeout=timeout, **options) as runtime:
        return dict(runtime.attempt(prompts, Sampling(max_tokens=32)))


PASSING = {
    "429": Bad(429, b"{}", Retry_After="0"),
    "500": Bad(500, b'{"error": {"message": "out of memory"}}'),
    "502 page": Bad(502, b"<html>Bad Gateway</html>"),
    "half a body": Bad(body=completion("4"), cut=True),
    "no JSON": Bad(body=b'{"choices": [{"index'),
    "a page": Bad(body=b"<html>hello</html>"),
    "other JSON": Bad(body=b'{"ok": true}'),
    "a list": Bad(body=b"[]"),
    "null": Bad(body=b"null"),
    "no choices": Bad(body=b'{"id": "1", "choices": []}'),
    "null content": Bad(body=completion(None)),
    "an empty body": Bad(),
    "nothing": Bad(0),
    "too slow": Bad(body=completion("4"), slow=0.6),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_asked_again(server: Server, name: str) -> None:
    server.behave = lambda question, before: PASSING[name] if before < 2 else "4"
    [answer] = ask("2 + 2", timeout=0.3 if name == "too slow" else 20).values()
    assert isinstance(answer, Completion) and answer.text == "4" and answer.completion_tokens == 5
    assert server.asked == {"2 + 2": 3}


@pytest.mark.parametrize("name", [name for name in PASSING if name != "too slow"])
def test_what_stays_is_one_question_without_an_answer(server: Server, name: str) -> None:
    server.behave = lambda question, before: PASSING[name] if question == "bad" else "4"
    found = ask("good", "bad", "fine")
    assert isinstance(found[1], NoAnswer) and "tries: 5" in found[1].message
    assert [getattr(found[i], "text", "") for i in (0, 2)] == ["4", "4"] and server.asked["bad"] == 5


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Bad(400, b'{"error": {"message": "context length exceeded"}}'), "context length exceeded"),
        (Bad(body=completion("", finish="content_filter")), "content_filter"),
        (Bad(429, b"{}", Retry_After="3600"), "asks to wait 3600 s"),
    ],
)
def test_what_asking_again_cannot_mend_is_not_asked_again(server: Server, bad: Bad, words: str) -> None:
    server.behave = lambda question, before: bad if question == "bad" else "4"
    found = ask("bad", "good")
    assert isinstance(found[0], NoAnswer) and words in found[0].message and server.asked["bad"] == 1
    assert isinstance(found[1], Completion)


@pytest.mark.parametrize(
    "bad", [Bad(401, b"{}"), Bad(404, b"{}"), Bad(429, b'{"error": {"code": "insufficient_quota", "message": "pay"}}')]
)
def test_what_no_question_survives_ends_the_run_at_once(server: Server, bad: Bad) -> None:
    server.behave = lambda question, before: bad
    with pytest.raises(EngineError) as caught:
        ask(*map(str, range(200)), workers=2)
    assert not isinstance(caught.value, NoAnswer) and sum(server.asked.values()) <= 6


def test_an_endpoint_that_is_down_is_given_up(server: Server) -> None:
    server.behave = lambda question, before: Bad(503, b"{}")
    with pytest.raises(EngineError, match=r"16 questions in a row had no answer; the last: .*503"):
        ask(*map(str, range(200)))
    assert len(server.asked) < 40


def test_an_empty_answer_said_twice_is_an_answer(server: Server) -> None:
    server.behave = lambda question, before: "" if question == "silent" or before == 0 else "4"
    found = ask("silent", "once")
    assert [answer.text for _, answer in sorted(found.items()) if isinstance(answer, Completion)] == ["", "4"]
    assert server.asked == {"silent": 2, "once": 2}


def test_no_more_questions_at_a_time_than_asked_for(server: Server) -> None:
    server.behave = lambda question, before: Bad(body=completion("4"), slow=0.02)
    assert len(ask(*map(str, range(30)), workers=3)) == 30
    assert 2 <= server.most_at_once <= 3


def test_half_a_stream_is_no_answer(server: Server) -> None:
    piece = b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"fo"},"finish_reason":%s}]}\n\n'
    whole = piece % b"null" + piece % b'"stop"' + b"data: [DONE]\n\n"
    bodies = {"whole": Bad(body=whole), "half": Bad(body=whole, cut=True), "no end": Bad(body=piece % b"null")}
    server.behave = lambda question, before: bodies[question]
    with HttpRuntime(resolve("openai:m")) as runtime:
        said = {name: runtime.stream([{"role": "user", "content": name}], Sampling()) for name in bodies}
        assert list(said["whole"]) == ["fo", "fo"]
        for name in ("half", "no end"):
            with pytest.raises(EngineError, match="broke off in the middle"):
                list(said[name])


def test_waits_double_with_jitter_and_obey_the_endpoint() -> None:
    for number in range(1, 12):
        full = min(retries.LONGEST_WAIT, retries.FIRST_WAIT * 2 ** (number - 1))
        waits = {wait_before(number, None) for _ in range(20)}
        assert len(waits) > 10 and all(w is not None and full / 2 <= w <= full for w in waits)
    assert 7 <= (wait_before(1, 7) or 0) <= 7 + retries.FIRST_WAIT and wait_before(1, 61) is None
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after({"retry-after": soon}) or 0) <= 30
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=30))
    for headers, expected in (
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": past}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ):
        assert retry_after(headers) == expected


def test_a_wait_that_is_asked_for_is_waited(server: Server) -> None:
    server.behave = lambda question, before: Bad(429, b"{}", Retry_After_Ms="150") if before == 0 else "4"
    began = time.monotonic()
    ask("q")
    assert time.monotonic() - began >= 0.15


def test_a_budget_is_not_exceeded(server: Server) -> None:
    server.behave = lambda question, before: Bad(body=completion("4", usage=(1 + 16, 32)))  # the most that is set aside
    budget = Budget(tokens=500)
    with pytest.raises(BudgetSpent, match=r"budget of 500 tokens has no room .* took 170 tokens and wrote 320"):
        ask(*[str(n % 10) for n in range(60)], budget=budget)
    assert sum(server.asked.values()) == 10
    money = Budget(usd=0.001, price_in=1, price_out=10)
    with pytest.raises(BudgetSpent, match=r"0\.001 USD"):
        ask(*[str(n % 10) for n in range(60)], budget=money)
    assert 0.0006 < money.spent_usd <= 0.001


def test_what_a_try_costs(server: Server) -> None:
    bodies = {
        "5": Bad(500, b"{}"),
        "f": Bad(body=completion("4"), cut=True),
        "n": Bad(body=completion("4", usage=None)),
        "w": Bad(body=completion("4", usage=("many", -1))),
        "l": Bad(body=completion("4").replace(b'{"prompt_tokens": 10', b'["x", {"prompt_tokens": 10').replace(b"15}", b"15}]")),
    }  # fmt: skip
    for name, (tokens_in, tokens_out, guessed) in {
        "5": (10, 5, 0),
        "f": (27, 37, 1),
        "n": (17, 32, 1),
        "w": (17, 32, 1),
        "l": (17, 32, 1),
    }.items():
        server.asked.clear()
        server.behave = lambda question, before: bodies[question] if before == 0 else "4"
        budget = Budget()
        ask(name, budget=budget)
        assert (budget.spent_in, budget.spent_out, budget.guessed) == (tokens_in, tokens_out, guessed), name


def test_budgets_that_are_none() -> None:
    with pytest.raises(InvalidData, match="needs prices"):
        Budget(usd=1)
    with pytest.raises(InvalidData, match="tokens of 0 or more"):
        Budget(tokens=-1)
    with pytest.raises(InvalidData, match="price in of 0 or more, found nan"):
        Budget(price_in=float("nan"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
    monkeypatch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{toy.__name__}:ToyRuntime")
    toy.write_data(Path("data/toy/test.jsonl"))
    return tmp_path


def right(question: str) -> str:
    return str(2 * int(question.split(maxsplit=1)[0]))


def stored() -> list[Prediction]:
    return [Prediction(**row) for file in Path("results").rglob("predictions/*.jsonl") for row in read_jsonl(file)]


def test_a_question_without_an_answer_is_in_no_number_and_asked_again(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"3 + 3", "4 + 4", "5 + 5"}
    server.behave = lambda question, before: Bad(500, b"{}") if question in broken else right(question) if int(question.split()[0]) % 4 else "no"  # fmt: skip
    words = ["eval", "toy", "--model", "openai:m", "--model", "rule:copy", "--json", "--concurrency", "4"]
    assert cli.run(words) == 0
    out, err = capsys.readouterr()
    rows = {(row["ref"], row["slice"]): row for row in json.loads(out)["rows"]}
    row = rows["openai:m", "all"]
    assert row["n"] == 37 and row["accuracy"]["value"] == pytest.approx(
        28 / 37
    )  # of 40, 10 are wrong: one of these failed
    assert set(row["unanswered"]) == {"toy-3", "toy-4", "toy-5"} and "500" in row["unanswered"]["toy-3"]
    difference = rows["rule:copy", "all"]["difference"]
    assert difference["wins"] + difference["losses"] <= 37
    assert (
        "3 of 40 questions have no answer and are in no number" in err
        and "70.0 % (all wrong) to 77.5 % (all right)" in err
    )
    assert "toy-4: http" in err
    assert cli.run(["leaderboard"]) == 0
    assert "3 of 40 questions have no answer" in Path("leaderboard/LEADERBOARD.md").read_text()
    server.asked.clear()
    broken.clear()
    assert cli.run(words) == 0
    assert server.asked == {"3 + 3": 1, "4 + 4": 1, "5 + 5": 1}
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert not row["unanswered"] and len(stored()) == 80
    assert {prediction.tokens for prediction in stored() if prediction.engine == "http"} == {5}


def test_an_endpoint_that_answers_nothing_has_no_row(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.behave = lambda question, before: Bad(500, b"{}")
    assert cli.run(["eval", "toy", "--model", "openai:m", "--model", "rule:copy", "--limit", "4"]) == 2
    out, err = capsys.readouterr()
    assert "no question was answered" in err and "openai:m" not in out and "rule:copy" in out
    assert not list(Path("results").rglob("scores/*/openai*"))


def test_a_budget_keeps_what_was_answered(here: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.behave = lambda question, before: right(question)
    words = ["eval", "toy", "--model", "openai:m", "--max-tokens", "5", "--concurrency", "1"]
    assert cli.run([*words, "--budget-tokens", "300"]) == 2
    err = capsys.readouterr().err
    assert "budget of 300 tokens has no room" in err and "answers are kept" in err
    some = len(stored())
    assert 10 <= some <= 20 and not list(Path("results").rglob("scores/*/openai*"))
    with pytest.raises(InvalidData, match="needs prices"):
        cli.run([*words, "--budget-usd", "1"])
    assert cli.run([*words, "--budget-usd", "1", "--price-in", "0.5", "--price-out", "1.5"]) == 0
    assert "wrote 1" in capsys.readouterr().err and len(stored()) == 40 and sum(server.asked.values()) == 40
