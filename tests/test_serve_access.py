"""Keys at rest, their limits, and what the door asks before the app sees a request."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serve.access import keys, limits
from serve.access.door import Door, check_hosts, check_origins, guard, is_loopback
from serve.access.keys import Key, KeyRing
from serve.access.limits import Bucket, Limiter, TooMany
from serve.observe import record
from serve.server import listen
from tests.conftest import ROOT, truemark
from truemark.cli import run
from truemark.errors import InvalidConfig, StorageError, TruemarkError, UnknownName


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conf" / "keys.json"


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_key_is_found_again_and_is_nowhere_in_the_file(file: Path) -> None:
    key, text = keys.create(file, "alice", scopes=("inference", "metrics"), concurrent=3)
    assert re.fullmatch(r"tm-[0-9a-f]{12}-[\w-]{43}", text)
    assert text not in file.read_text() and text.rpartition("-")[2] not in file.read_text()
    assert KeyRing(file).find(text) == key == keys.read(file)[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_file_is_private_whatever_the_umask(file: Path) -> None:
    old = os.umask(0)
    try:
        keys.create(file, "alice")
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_wrong_key_is_nobody(file: Path) -> None:
    _, one = keys.create(file, "one")
    _, two = keys.create(file, "two")
    ring = KeyRing(file)
    mixed = one[:16] + two[16:]
    wrong = [
        "",
        "tm-",
        one[:-1],
        one + "x",
        one.upper(),
        one.swapcase(),
        f" {one}",
        mixed,
        "none",
        "é" * 59,
        one + "\n",
    ]
    assert [ring.find(text) for text in wrong] == [None] * len(wrong)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_no_text_is_a_key_by_chance(text: str) -> None:
    ring = KeyRing.__new__(KeyRing)
    ring.path, ring._seen, ring._rows = Path("nowhere"), None, {}
    assert ring.find(text) is None


def test_a_running_ring_sees_what_the_command_did(file: Path) -> None:
    _, one = keys.create(file, "one")
    ring = KeyRing(file)
    _, two = keys.create(file, "two")
    found = ring.find(two)
    assert found is not None and found.name == "two"
    keys.revoke(file, "one")
    assert ring.find(one) is None
    assert ring.find(two) is not None
    keys.revoke(file, found.id)
    assert ring.find(two) is None and len(ring) == 0


def test_a_file_that_goes_lets_nobody_in_and_a_broken_one_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, text = keys.create(file, "one")
    ring = KeyRing(file)
    good = file.read_text()
    file.write_text(good[:-20])
    assert ring.find(text) is not None
    assert "the keys stay as they were" in caplog.text
    file.unlink()
    assert ring.find(text) is None
    keys.write_text(file, good, mode=0o600)
    assert ring.find(text) is not None
    file.chmod(0o666)
    assert ring.find(text) is not None and "can be written by others" in caplog.text
    assert text not in caplog.text


def test_an_expired_key_is_refused(file: Path) -> None:
    _, old = keys.create(file, "old", expires=datetime.now(UTC) - timedelta(seconds=1))
    _, new = keys.create(file, "new", expires=datetime.now(UTC) + timedelta(hours=1))
    ring = KeyRing(file)
    assert ring.find(old) is None and ring.find(new) is not None


def _row(**changed: Any) -> dict[str, Any]:
    row = {"id": "0" * 12, "name": "a", "sha256": "0" * 64, "scopes": ["inference"], "created": "2026-01-01T00:00:00Z"}
    return {**row, **changed}


BAD_FILES: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "Invalid JSON"),
    "not an object": ([], "object"),
    "a later version": ({"version": 2, "keys": []}, "version"),
    "an unknown field": ({"keys": [_row(admin=True)]}, "admin"),
    "an unknown scope": ({"keys": [_row(scopes=["root"])]}, "scopes"),
    "no scope": ({"keys": [_row(scopes=[])]}, "scopes"),
    "a scope twice": ({"keys": [_row(scopes=["admin", "admin"])]}, "twice"),
    "two with one name": ({"keys": [_row(), _row(id="1" * 12)]}, "same name"),
    "two with one id": ({"keys": [_row(), _row(name="b")]}, "same id"),
    "a short hash": ({"keys": [_row(sha256="0" * 63)]}, "sha256"),
    "a hash with a newline": ({"keys": [_row(sha256="0" * 64 + "\n")]}, "sha256"),
    "a limit of nothing": ({"keys": [_row(concurrent=0)]}, "concurrent"),
    "a limit in words": ({"keys": [_row(requests_per_minute="9")]}, "requests_per_minute"),
    "a time without a zone": ({"keys": [_row(created="2026-01-01T00:00:00")]}, "created"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_refused_by_what_is_wrong(tmp_path: Path, what: str) -> None:
    content, said = BAD_FILES[what]
    path = tmp_path / "keys.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InvalidConfig, match=said):
        keys.read(path)


def test_files_that_are_no_files_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="No such file"):
        keys.read(tmp_path / "none.json")
    with pytest.raises(InvalidConfig, match=r"not a regular file|Is a directory"):
        keys.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidConfig, match="not a regular file"):
        keys.read(tmp_path / "pipe")
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * (keys.MAX_FILE + 1))
    with pytest.raises(InvalidConfig, match="larger than"):
        keys.read(huge)
    writable = tmp_path / "open.json"
    writable.write_text('{"keys": []}')
    writable.chmod(0o620)
    with pytest.raises(InvalidConfig, match="can be written by others"):
        keys.read(writable)


def test_a_mounted_link_is_read_and_not_written(file: Path, tmp_path: Path) -> None:
    _, text = keys.create(file, "one")
    link = tmp_path / "link.json"
    link.symlink_to(file)
    assert KeyRing(link).find(text) is not None
    with pytest.raises(StorageError, match="symbolic link"):
        keys.create(link, "two")


def test_names_and_scopes_that_are_refused(file: Path) -> None:
    keys.create(file, "alice")
    with pytest.raises(TruemarkError, match="'alice' exists"):
        keys.create(file, "alice")
    for name in ("", "a b", "-a", "é", "a" * 65, "a\n"):
        with pytest.raises(TruemarkError, match="a name has letters"):
            keys.create(file, name)
    with pytest.raises(UnknownName, match="did you mean 'inference'"):
        keys.create(file, "bob", scopes=("inferense",))
    with pytest.raises(UnknownName, match="did you mean 'alice'"):
        keys.revoke(file, "alise")
    assert [key.name for key in keys.read(file)] == ["alice"]


def test_two_commands_at_once_lose_no_key(file: Path) -> None:
    code = "import sys; from pathlib import Path; from serve.access import keys\nfor i in range(5): keys.create(Path(sys.argv[1]), f'{sys.argv[2]}{i}')"
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(file), name], env={**os.environ, "PYTHONPATH": str(ROOT)})
        for name in "abc"
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(keys.read(file)) == 15
    assert {path.name for path in file.parent.iterdir()} == {"keys.json", ".keys.json.lock"}


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_key_alone_and_never_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--scope", "inference", "--scope", "metrics", "--days", "30", "--requests-per-minute", "60"]
    assert run(["keys", "create", "alice", *limits, "--file", str(file)]) == 0
    made = capsys.readouterr()
    text = made.out.removesuffix("\n")
    found = KeyRing(file).find(text)
    assert found is not None and found.expires is not None
    assert found.requests_per_minute == 60 and found.scopes == ("inference", "metrics")
    assert run(["keys", "list", "--file", str(file)]) == run(["keys", "list", "--json", "--file", str(file)]) == 0
    listed, _, row = capsys.readouterr().out.partition("\n")
    assert "alice" in listed and "60 requests/min" in listed
    assert json.loads(row)[0]["id"] == found.id and "sha256" not in row
    assert text not in made.err + listed + row
    assert run(["keys", "revoke", "alice", "--file", str(file)]) == 0
    assert keys.read(file) == ()


def test_the_file_is_named_by_option_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    run(["keys", "create", "a"])
    monkeypatch.setenv("TRUEMARK_KEYS", str(tmp_path / "b.json"))
    run(["keys", "create", "b"])
    assert [key.name for key in keys.read(tmp_path / "truemark" / "keys.json")] == ["a"]
    assert [key.name for key in keys.read(tmp_path / "b.json")] == ["b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--file", "none.json"], "No such file"),
        (["create", "a b", "--file", "k.json"], "a name has letters"),
        (["create", "a", "--scope", "root", "--file", "k.json"], "unknown scope 'root'"),
        (["create", "a", "--file", "/proc/nowhere/k.json"], "cannot write"),
        (["create", "a", "--concurrent", "0", "--file", "k.json"], "concurrent"),
        (["create", "a", "--days", "nan", "--file", "k.json"], "days"),
        (["create", "a", "--days", "-1", "--file", "k.json"], "days"),
    ],
)
def test_bad_usage_of_keys_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TruemarkError, match=said):
        run(["keys", *arguments])
    assert not (tmp_path / "k.json").exists()


def test_serve_without_its_keys_file_is_one_line(tmp_path: Path) -> None:
    said = truemark("serve", "--port", "0", "--keys", "none.json", cwd=tmp_path)
    assert said.returncode == 2 and "truemark keys create" in said.stderr and "Traceback" not in said.stderr


def test_beyond_loopback_only_with_keys() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "example.org", "127.0.0.1.example.org", ""):
        assert not is_loopback(host)
        with pytest.raises(TruemarkError, match="without keys this server answers on this machine only"):
            listen(host, 0)
    with listen("0.0.0.0", 0, keys=True) as made:
        assert made.getsockname()[0] == "0.0.0.0"
    with listen("127.0.0.1", 0) as made:
        assert made.getsockname()[1] > 0


@pytest.mark.parametrize(
    "origin", ["*", "null", "example.org", "https://", "https://a.b/", "https://a.b/c", "ftp://a.b", ""]
)
def test_origins_are_named_one_by_one(origin: str) -> None:
    with pytest.raises(TruemarkError, match="expected one origin"):
        check_origins([origin])
    assert check_origins(["https://A.b:8"]) == ("https://a.b:8",)
    assert check_hosts(["a.example", "[::2]"]) == ("a.example", "[::2]")


# --- limits -----------------------------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _key(**limit: int) -> Key:
    return Key.model_validate_json(json.dumps(_row(**limit)))


def test_requests_per_minute_and_when_to_come_back() -> None:
    limiter = Limiter(clock := Clock())
    key = _key(requests_per_minute=30)
    for _ in range(30):
        with limiter.admit(key):
            pass
    with pytest.raises(TooMany) as caught, limiter.admit(key):
        pass
    assert (caught.value.status, caught.value.headers()) == (429, {"Retry-After": "2"})
    assert caught.value.body()["error"]["code"] == "rate_limit_exceeded"
    clock.now += caught.value.seconds
    with limiter.admit(key):
        pass
    with pytest.raises(TooMany), limiter.admit(key):
        pass


def test_requests_at_once() -> None:
    limiter, key = Limiter(Clock()), _key(concurrent=2)
    with limiter.admit(key), limiter.admit(key), pytest.raises(TooMany, match="2 request"), limiter.admit(key):
        pass
    with pytest.raises(RuntimeError), limiter.admit(key):
        raise RuntimeError
    with limiter.admit(key), limiter.admit(key):
        pass


def test_tokens_are_paid_afterwards_and_debt_is_waited_for() -> None:
    limiter = Limiter(clock := Clock())
    key = _key(tokens_per_minute=600)
    with limiter.admit(key) as lease:
        lease.tokens = 700
    with pytest.raises(TooMany, match="600 tokens per minute") as caught, limiter.admit(key):
        pass
    assert caught.value.seconds == 11  # 100 of debt and one token, at ten a second
    clock.now += 11
    with limiter.admit(key):
        pass


def test_a_refused_request_costs_nothing() -> None:
    limiter = Limiter(clock := Clock())
    key = _key(requests_per_minute=60, concurrent=1)
    with limiter.admit(key):
        for _ in range(100):
            with pytest.raises(TooMany, match="at once"), limiter.admit(key):
                pass
    for _ in range(59):
        with limiter.admit(key):
            pass
    for _ in range(10):
        with pytest.raises(TooMany, match="per minute"), limiter.admit(key):
            pass
    clock.now += 1
    with limiter.admit(key):
        pass


def test_changed_limits_hold_at_once_and_gone_keys_are_forgotten() -> None:
    limiter = Limiter(Clock())
    for _ in range(5):
        with limiter.admit(_key(requests_per_minute=10)):
            pass
    with pytest.raises(TooMany), limiter.admit(_key(requests_per_minute=5)):
        pass
    with limiter.admit(_key(requests_per_minute=6)):
        limiter.keep([])
        assert len(limiter) == 1  # it has a request under way
    limiter.keep([])
    assert len(limiter) == 0


@settings(max_examples=60, deadline=None)
@given(
    per_minute=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), max_size=60),
)
def test_no_window_gets_more_than_its_rate_and_one_burst(per_minute: int, steps: list[tuple[float, int]]) -> None:
    bucket, now, granted = Bucket(per_minute, 0.0), 0.0, [0.0] * 0
    for pause, tries in steps:
        now += pause
        for _ in range(tries):
            if bucket.wait(1, now) == 0:
                bucket.take(1, now)
                granted.append(now)
            else:
                assert bucket.wait(1, now + bucket.wait(1, now) + 1e-6) == 0
    for first, begin in enumerate(granted):
        for last in range(first, len(granted)):
            assert last - first + 1 <= per_minute + (granted[last] - begin) * per_minute / 60 + 1 + 1e-6


# --- the door ---------------------------------------------------------------------------------------------------------


async def _echo(request: Request) -> JSONResponse:
    body = await request.body()
    return JSONResponse({"path": request.url.path, "bytes": len(body)})


PATHS = ("/v1/models", "/metrics", "/admin/adapters", "/health")


def _app(door: Door) -> Any:
    methods = ["GET", "POST"]
    return guard(Starlette(routes=[Route(path, _echo, methods=methods) for path in PATHS]), door)


def _ask(app: Any, *requests: httpx.Request) -> list[httpx.Response]:
    async def go() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return [await client.send(request) for request in requests]

    return asyncio.run(go())


def _get(path: str, key: str | None = None, host: str = "127.0.0.1:8017", **headers: str) -> httpx.Request:
    given = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.Request("GET", f"http://{host}{path}", headers={**given, **headers})


def test_each_scope_opens_its_own_paths_and_no_others(file: Path) -> None:
    made = {scope: keys.create(file, scope, scopes=(scope,))[1] for scope in keys.SCOPES}
    app = _app(Door(KeyRing(file)))
    opened = {
        scope: [answer.status_code for answer in _ask(app, *(_get(path, text) for path in PATHS))]
        for scope, text in made.items()
    }
    assert opened == {
        "inference": [200, 403, 403, 200],
        "metrics": [403, 200, 403, 200],
        "admin": [403, 403, 200, 200],
    }
    (refused,) = _ask(app, _get("/metrics", made["admin"]))
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="metrics"'
    assert refused.json()["error"]["code"] == "insufficient_scope"


def test_what_is_no_key_is_401_before_the_body_is_read(file: Path) -> None:
    _, text = keys.create(file, "one")
    app = _app(Door(KeyRing(file)))
    for header in (
        f"Basic {text}",
        text,
        "Bearer",
        "Bearer ",
        f"Bearer {text}x",
        "Bearer \xff",
        f"Bearer {text} {text}",
    ):
        (answer,) = _ask(
            app, httpx.Request("GET", "http://x/v1/models", headers=[(b"authorization", header.encode("latin-1"))])
        )
        assert answer.status_code == 401, header
        assert answer.json()["error"]["code"] == "invalid_api_key" and text not in answer.text
    (twice,) = _ask(app, httpx.Request("GET", "http://x/v1/models", headers=[("authorization", f"Bearer {text}")] * 2))
    (none, good, loose) = _ask(
        app, _get("/v1/models"), _get("/v1/models", text), _get("/v1/models", authorization=f"bearer  {text} ")
    )
    assert (twice.status_code, none.status_code, good.status_code, loose.status_code) == (401, 401, 200, 200)
    assert none.headers["www-authenticate"] == "Bearer"

    async def unread() -> None:
        async def receive() -> Any:
            raise AssertionError("the body was read")

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "http", "method": "POST", "path": "/v1/models", "headers": []}, receive, send)
        assert sent[0]["status"] == 401

    asyncio.run(unread())


def test_hosts_without_keys_with_keys_and_named(file: Path) -> None:
    _, key = keys.create(file, "one")
    for door, allowed in (
        (Door(), {"localhost", "127.0.0.1", "[::1]"}),
        (Door(hosts=("Models.example",)), {"localhost", "127.0.0.1", "[::1]", "models.example", "MODELS.example"}),
        (Door(KeyRing(file), hosts=("models.example",)), {"localhost", "127.0.0.1", "[::1]", "models.example", "MODELS.example"}),
        (Door(KeyRing(file)), {"localhost", "127.0.0.1", "[::1]", "models.example", "MODELS.example", "evil.example", "localhost.evil.example"}),
    ):  # fmt: skip
        hosts = [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "models.example",
            "MODELS.example",
            "evil.example",
            "localhost.evil.example",
        ]
        app = _app(door)
        for host in hosts:
            for port in ("", ":8017"):
                request = _get("/v1/models", key)
                request.headers["host"] = host + port
                answers = _ask(app, request)
                assert answers[0].status_code == (200 if host in allowed else 403), (host, door)
                if host not in allowed:
                    assert answers[0].json()["error"]["code"] == "foreign_host"


def test_web_pages_are_let_in_by_origin(file: Path) -> None:
    _, key = keys.create(file, "one")
    closed, opened = _app(Door(KeyRing(file))), _app(Door(KeyRing(file), origins=("https://demo.example",)))
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-stainless-os"}

    def preflight(origin: str) -> httpx.Request:
        return httpx.Request("OPTIONS", "http://x/v1/models", headers={"origin": origin, **ask})

    (refused,) = _ask(closed, preflight("https://demo.example"))
    assert refused.status_code == 401 and "access-control-allow-origin" not in refused.headers
    yes, no, unkeyed, other = _ask(
        opened,
        preflight("https://demo.example"),
        preflight("https://evil.example"),
        _get("/v1/models", origin="https://demo.example"),
        _get("/v1/models", key, origin="https://evil.example"),
    )
    assert yes.headers["access-control-allow-origin"] == "https://demo.example"
    assert "x-stainless-os" in yes.headers["access-control-allow-headers"]
    assert no.status_code == 400 and "access-control-allow-origin" not in no.headers
    assert unkeyed.status_code == 401 and unkeyed.headers["access-control-allow-origin"] == "https://demo.example"
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-credentials" not in yes.headers


def test_limits_answer_429_and_count_the_tokens_of_the_record(file: Path) -> None:
    _, text = keys.create(file, "one", tokens_per_minute=60)
    _, other = keys.create(file, "other", requests_per_minute=1)

    async def costly(request: Request) -> JSONResponse:
        known = record._record.get()
        assert known is not None and known.key == "one"
        known.prompt_tokens, known.completion_tokens = 50, 40
        return JSONResponse({})

    app = guard(Starlette(routes=[Route("/v1/x", costly), Route("/health", _echo)]), Door(KeyRing(file)))

    async def recorded(scope: Any, receive: Any, send: Any) -> None:
        record.start(record.Record("req-1"))
        await app(scope, receive, send)

    first, second, health = _ask(recorded, _get("/v1/x", text), _get("/v1/x", text), _get("/health", text))
    assert (first.status_code, second.status_code, health.status_code) == (200, 429, 200)
    assert 29 <= int(second.headers["retry-after"]) <= 31
    assert second.json()["error"]["type"] == "tokens"
    assert [answer.status_code for answer in _ask(recorded, _get("/v1/y", other), _get("/v1/y", other))] == [404, 429]


def test_limits_module_says_what_a_retry_after_is() -> None:
    assert limits.TooMany("x", 0.001, type="requests").headers() == {"Retry-After": "1"}
