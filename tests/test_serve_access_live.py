"""A gateway with keys on, a real llama-server behind it: what is refused, counted, logged and traced."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve import catalog, engines, gateway, server
from serve.access import keys
from serve.access.door import Door
from serve.access.keys import KeyRing
from serve.observe import logs
from tests.conftest import ROOT
from tests.serve_helpers import tiny_models, wait_until
from truemark.errors import EngineError

HELLO: Any = [{"role": "user", "content": "Solve for x: 3x + 7 = 22"}]
# of llama-server and of vLLM (docs/usage/security.md lists those that its own --api-key leaves open)
NATIVE = [
    "/lora-adapters",
    "/slots",
    "/slots/0",
    "/props",
    "/completion",
    "/completions",
    "/infill",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/models",
    "/embedding",
    "/embeddings",
    "/reranking",
    "/api/show",
    "/api/tags",
    "/models/load",
    "/models/unload",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/invocations",
    "/pooling",
    "/classify",
    "/score",
    "/rerank",
    "/v1/score",
    "/v1/rerank",
    "/v1/messages",
    "/v1/responses",
    "/inference/v1/generate",
    "/pause",
    "/resume",
    "/scale_elastic_ep",
    "/update_weights",
    "/ping",
    "/version",
    "/load",
    "/tokenizer_info",
    "/server_info",
    "/reset_prefix_cache",
    "/sleep",
    "/wake_up",
    "/collective_rpc",
    "/start_profile",
    "/abort_requests",
    "/docs",
    "/redoc",
]


class Guarded:
    """A running gateway with keys, and the file that holds them."""

    def __init__(self, url: str, file: Path, app: Any) -> None:
        self.url = url
        self.root = url.removesuffix("/v1")
        self.file = file
        self.app = app
        self.http = httpx.Client(base_url=self.root, timeout=60)  # one: each makes a TLS context, which takes a while
        self._openai = openai.OpenAI(base_url=url, api_key="none", max_retries=0)

    def key(self, name: str, **limits: Any) -> str:
        return keys.create(self.file, name, **limits)[1]

    def client(self, key: str) -> openai.OpenAI:
        return self._openai.with_options(api_key=key)

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        return self.http.get(path, headers={"authorization": f"Bearer {key}"} if key else {})

    def metrics(self, key: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        page = self.get("/metrics", key)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/plain; version=0.0.4")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page.text)
            for sample in family.samples
        }


@pytest.fixture(scope="module")
def spans() -> Any:
    """OpenTelemetry's own exporter into memory, where its SDK is installed."""
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    except ImportError:
        return None
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, spans: Any) -> Iterator[Guarded]:
    home = tiny_models(tmp_path_factory)
    models = catalog.read([f"{name}={home / name}" for name in ("one", "two")])
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    keys.create(file, "first")
    made: list[Any] = []

    def make_app(*arguments: Any) -> Any:
        made.append(gateway.create_app(*arguments, door=Door(KeyRing(file), origins=("https://demo.example",))))
        return made[0]

    engine = engines.create("llamacpp", models.base.ref, models.adapters)
    with server.background(models, engine, make_app) as (url, _):
        yield Guarded(url, file, made[0])


def _routes(app: Any) -> list[tuple[str, str]]:
    """Method and path of every route of the app under its middlewares."""
    while not hasattr(app, "routes"):
        app = getattr(app, "app", None) or app._app
    return [(method, route.path.replace("{name}", "one")) for route in app.routes for method in route.methods]


def test_every_route_answers_401_without_a_key(guarded: Guarded) -> None:
    routes = _routes(guarded.app)
    assert {path for _, path in routes} >= {"/health", "/metrics", "/v1/models", "/v1/chat/completions"}
    for _, path in routes:  # a new route belongs under a scope
        assert path in {"/health", "/metrics"} or path.startswith(("/v1/", "/admin/", "/openapi")), path
    asked = {*routes, *((method, path) for path in NATIVE for method in ("GET", "POST")), ("GET", "/"), ("PUT", "/v1/models"),
             ("OPTIONS", "/v1/models"), ("HEAD", "/health"), ("GET", "//health"), ("GET", "/health/"), ("GET", "/v1/../health")}  # fmt: skip
    for method, path in sorted(asked):
        for headers in ({}, {"authorization": "Bearer none", "x-api-key": "none", "cookie": "key=none"}):
            answer = guarded.http.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path, headers)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            if method != "HEAD":
                assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_native_routes_of_engines_are_not_there_for_any_key(guarded: Guarded) -> None:
    everything = guarded.key("everything", scopes=keys.SCOPES)
    routes = {path for _, path in _routes(guarded.app)}
    for path in sorted({*NATIVE, "/admin/adapters"} - routes):
        assert guarded.get(path, everything).status_code == 404, path
        answer = guarded.http.post(path, json={}, headers={"authorization": f"Bearer {everything}"})
        assert answer.status_code == 404, path
    assert guarded.get("/health/", everything).status_code == 404  # no redirect made of the client's Host header
    assert guarded.get("/health", everything).json()["status"] == "ok"


def test_openais_client_with_a_key_that_is_then_revoked(guarded: Guarded) -> None:
    client = guarded.client(guarded.key("alice"))
    assert [row.id for row in client.models.list()] == ["one", "two", "base"]
    answer = client.chat.completions.create(model="one", messages=HELLO, max_tokens=4)
    assert answer.usage is not None and answer.usage.completion_tokens == 4
    with pytest.raises(openai.PermissionDeniedError, match="expected the scope metrics"):
        client.with_options(base_url=guarded.root).get("/metrics", cast_to=httpx.Response)
    keys.revoke(guarded.file, "alice")
    with pytest.raises(openai.AuthenticationError, match="unknown, expired or revoked"):
        client.models.list()


def test_requests_at_once_and_per_minute_and_tokens(guarded: Guarded) -> None:
    narrow = guarded.client(guarded.key("narrow", concurrent=1))
    stream = narrow.chat.completions.create(model="one", messages=HELLO, max_tokens=1500, stream=True)
    next(iter(stream))
    with pytest.raises(openai.RateLimitError) as caught:
        narrow.models.list()
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"
    stream.close()
    assert wait_until(lambda: _allowed(narrow))

    few = guarded.client(guarded.key("few", requests_per_minute=2))
    few.models.list()
    few.models.list()
    with pytest.raises(openai.RateLimitError, match="2 requests per minute"):
        few.models.list()

    poor = guarded.client(guarded.key("poor", tokens_per_minute=40))
    poor.chat.completions.create(model="one", messages=HELLO, max_tokens=30)
    with pytest.raises(openai.RateLimitError, match="40 tokens per minute"):
        poor.chat.completions.create(model="one", messages=HELLO, max_tokens=30)


def _allowed(client: openai.OpenAI) -> bool:
    try:
        return bool(client.models.list())
    except openai.RateLimitError:
        return False


def test_metrics_count_by_model_and_never_by_a_made_up_name(guarded: Guarded) -> None:
    watcher, user = guarded.key("watcher", scopes=("metrics",)), guarded.client(guarded.key("user"))
    ok = ("truemark_requests_total", (("model", "two"), ("route", "/v1/chat/completions"), ("status", "200")))
    tokens = ("truemark_completion_tokens_total", (("model", "two"),))
    first = ("truemark_time_to_first_token_seconds_count", (("model", "two"),))
    before = guarded.metrics(watcher)
    for _ in range(3):
        user.chat.completions.create(model="two", messages=HELLO, max_tokens=5, temperature=0)
    after = guarded.metrics(watcher)
    assert [after[name] - before.get(name, 0) for name in (ok, tokens, first)] == [3, 15, 3]
    assert after["truemark_queue_seconds_count", (("model", "two"),)] == after[first]
    assert after["truemark_tokens_per_second_count", (("model", "two"),)] >= 3
    assert (after["truemark_engine_up", ()], after["truemark_engine_restarts_total", ()]) == (1, 0)
    assert after["truemark_requests_in_flight", ()] == 1  # this one

    for number in range(60):
        with pytest.raises(openai.NotFoundError):
            user.chat.completions.create(model=f"made-up-{number}", messages=HELLO)
        guarded.get(f"/made/up/{number}", watcher)
        guarded.http.request(f"X{number}", "/health")
        with pytest.raises(openai.NotFoundError):
            user.models.retrieve(f"made-up-{number}")
    final = guarded.metrics(watcher)
    assert not any("made" in str(name) for name in final)
    assert len(final) < len(after) + 60


def test_a_broken_off_answer_is_counted_as_such(guarded: Guarded) -> None:
    watcher, user = guarded.key("watcher2", scopes=("metrics",)), guarded.client(guarded.key("user2"))
    name = ("truemark_unfinished_answers_total", (("model", "one"),))
    before = guarded.metrics(watcher).get(name, 0)
    stream = user.chat.completions.create(model="one", messages=HELLO, max_tokens=1500, stream=True)
    next(iter(stream))
    stream.close()
    assert wait_until(lambda: guarded.metrics(watcher).get(name, 0) == before + 1)
    assert wait_until(lambda: guarded.metrics(watcher)["truemark_requests_in_flight", ()] == 1)


def test_json_lines_say_who_and_how_much_and_not_what(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    secret, key = "swordfish-4711", guarded.key("logged")
    with caplog.at_level("INFO"):
        raw = guarded.client(key).chat.completions.with_raw_response.create(
            model="one", messages=[{"role": "user", "content": secret}], max_tokens=3
        )
        guarded.get("/%0A%1b[31m")
        ident = raw.headers["x-request-id"]
        assert wait_until(lambda: any(ident in record.getMessage() for record in caplog.records))
    lines = [logs.JsonLines().format(record) for record in caplog.records if record.name == "truemark.serve"]
    assert all("\n" not in line and line.isascii() for line in lines)
    (row,) = [row for row in map(json.loads, lines) if row.get("request_id") == ident]
    assert (row["key"], row["model"], row["status"], row["completion_tokens"]) == ("logged", "one", 200, 3)
    assert row["prompt_tokens"] > 3 and 0 < row["first_token_seconds"] <= row["seconds"]
    everything = "\n".join(lines)
    assert secret not in everything and key not in everything and "body" not in row


def test_text_is_logged_where_it_was_asked_for(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    home = tiny_models(tmp_path_factory)
    models = catalog.read([f"one={home / 'one'}"])
    make_app = functools.partial(gateway.create_app, log_text=True)
    engine = engines.create("llamacpp", models.base.ref, models.adapters)
    with caplog.at_level("INFO"), server.background(models, engine, make_app) as (url, _):
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        said = client.chat.completions.create(model="one", messages=HELLO, max_tokens=6, temperature=0)
    rows = [json.loads(logs.JsonLines().format(record)) for record in caplog.records if hasattr(record, logs.FIELDS)]
    (row,) = [row for row in rows if row["path"] == "/v1/chat/completions"]
    assert json.loads(row["body"])["messages"] == HELLO
    assert row["answers"] == [said.choices[0].message.content]


def test_a_tracebacks_message_is_kept_only_where_it_is_ours() -> None:
    secret = "-".join(("swordfish", "4711"))

    def fail(error: Exception) -> str:
        try:
            try:
                raise error
            except Exception as inner:
                raise RuntimeError(f"outer {secret}") from inner
        except RuntimeError:
            record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed", (), sys.exc_info())
        return logs.JsonLines().format(record) + logs.PlainLines().format(record)

    said = fail(ValueError(f"inner {secret}"))
    assert secret not in said and said.count("ValueError") == 2 and said.count("RuntimeError") == 4  # with its frame
    assert "test_serve_access_live.py" in said
    assert "the engine is down" in fail(EngineError("the engine is down"))


def test_spans_continue_the_clients_trace(guarded: Guarded, spans: Any) -> None:
    if spans is None:
        pytest.skip("opentelemetry-sdk is not installed")
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    client = guarded.client(guarded.key("traced"))
    spans.clear()
    client.chat.completions.create(
        model="two", messages=HELLO, max_tokens=5, extra_headers={"traceparent": f"00-{trace_id}-{parent}-01"}
    )
    assert wait_until(lambda: len(spans.get_finished_spans()) >= 2)
    inner, outer = sorted(spans.get_finished_spans(), key=lambda span: span.name == "POST /v1/chat/completions")
    assert outer.name == "POST /v1/chat/completions" and outer.kind.name == "SERVER"
    assert format(outer.context.trace_id, "032x") == trace_id and format(outer.parent.span_id, "016x") == parent
    assert outer.attributes["http.response.status_code"] == 200 and outer.attributes["enduser.id"] == "traced"
    assert inner.name == "generate_content two" and inner.parent.span_id == outer.context.span_id
    assert inner.attributes["gen_ai.usage.output_tokens"] == 5
    assert inner.attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert outer.start_time <= inner.start_time <= inner.events[0].timestamp <= inner.end_time <= outer.end_time
    assert "3x" not in str([span.to_json() for span in (inner, outer)])


def test_the_health_check_of_the_container(guarded: Guarded) -> None:
    line = next(
        line for line in (ROOT / "serve/deploy/Dockerfile").read_text().splitlines() if line.startswith("HEALTHCHECK")
    )
    program, *arguments = json.loads(line.partition("CMD ")[2])
    port = guarded.root.rpartition(":")[2]
    command = [sys.executable, *(word.replace("8017", port) for word in arguments)]
    assert program == "python"
    for key, code in ((None, 0), (guarded.key("probe", scopes=("metrics",)), 0), ("none", 1)):
        environment = {**os.environ, **({"TRUEMARK_API_KEY": key} if key else {})}
        assert subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == code, key
    dead = [sys.executable, *(word.replace("8017", "1") for word in arguments)]
    assert subprocess.run(dead, stderr=subprocess.DEVNULL, check=False).returncode == 1


def test_serve_and_ask_as_a_user_types_them(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    home = tiny_models(tmp_path_factory)
    file = tmp_path / "keys.json"
    _, key = keys.create(file, "me")
    command = [sys.executable, "-m", "truemark", "serve", "--adapter", f"math={home / 'one'}", "--host", "0.0.0.0",
               "--port", "0", "--keys", str(file), "--log-json", "--json"]  # fmt: skip
    with subprocess.Popen(
        command,
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            url = json.loads(line)["url"].replace("0.0.0.0", "127.0.0.1")
            assert httpx.get(f"{url}/models").status_code == 401
            assert httpx.get(f"{url}/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
            asked = subprocess.run(
                [sys.executable, "-m", "truemark", "ask", "math", "2x = 4", "--url", url, "--json"],
                env={**os.environ, "PYTHONPATH": str(ROOT), "TRUEMARK_API_KEY": key},
                capture_output=True,
                text=True,
                check=False,
            )
            assert json.loads(asked.stdout)["model"] == "math", asked.stderr
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=30)
    rows = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert [row["key"] for row in rows if row.get("path") == "/v1/chat/completions"] == ["me"]
    assert {row["status"] for row in rows if row.get("path") == "/v1/models"} == {200, 401}
    assert re.search(r"plain HTTP", errors)
