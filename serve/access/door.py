"""The door of the gateway: everything that is asked of a request before the app sees it, as one ASGI middleware.

    app = guard(app, Door(keys=KeyRing(path)))

Host header, then CORS, then the key, its scope, its limits; nothing of the body has been read by then. With keys on there
is no route that answers without one, health included: a 401 is itself the sign of life that a load balancer may look for,
and whether the engine is up is for those who may use it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.access.keys import Key, KeyRing
from serve.access.limits import Limiter
from serve.observe import record
from serve.protocol import ApiError
from truemark.errors import TruemarkError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Host names by which a server without keys may be addressed: a web page that rebinds its own name is refused."""
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})|\[[0-9a-fA-F:.]+\]")


@dataclass(frozen=True)
class Door:
    """Who may come in, and how."""

    keys: KeyRing | None = None
    """None: anyone on this machine, nobody beyond it."""
    hosts: tuple[str, ...] = ()
    """Further values of the Host header. With keys and none named any is accepted: no web page knows a key."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may call the server."""


def guard(app: ASGIApp, door: Door) -> ASGIApp:
    """`app` behind `door`."""
    if door.keys is not None:
        app = _Keys(app, door.keys)
    if door.origins:
        app = CORSMiddleware(
            app,
            allow_origins=door.origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),  # OpenAI's client in a browser sends a dozen of its own; no cookie is ever looked at
            expose_headers=("X-Request-Id", "Retry-After"),
        )
    if door.keys is None or door.hosts:
        app = _Hosts(app, (*LOOPBACK, *(host.lower() for host in door.hosts)))
    return app


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """Host names without a port. Raises TruemarkError."""
    for host in hosts:
        if not _HOST_NAME.fullmatch(host):
            raise TruemarkError(
                f"--allow-host {host}: expected the name in the Host header, without scheme and port",
                mend="--allow-host models.example.org",
            )
    return tuple(hosts)


def check_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """Web origins, `scheme://host[:port]` as a browser sends them. Raises TruemarkError, for `*` too."""
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}" or not parts.netloc:
            raise TruemarkError(
                f"--allow-origin {origin}: expected one origin, scheme://host or scheme://host:port, without a path",
                mend="--allow-origin https://demo.example.org",
            )
    return tuple(origin.lower() for origin in origins)


def scope_of(path: str) -> str | None:
    """The scope that a path asks for; None where any key will do. New routes belong under one of these."""
    if path.startswith("/v1/"):
        return "inference"
    if path == "/metrics":
        return "metrics"
    return "admin" if path.startswith("/admin/") else None


@dataclass(frozen=True)
class _Hosts:
    app: ASGIApp
    hosts: tuple[str, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() in self.hosts:
            await self.app(scope, receive, send)
            return
        error = ApiError(403, f"this server answers on {', '.join(self.hosts)} only", code="foreign_host")
        await JSONResponse(error.body(), error.status)(scope, receive, send)


@dataclass
class _Keys:
    app: ASGIApp
    ring: KeyRing
    limiter: Limiter = field(default_factory=Limiter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = self._key(scope)
            if scope_of(scope["path"]) != "inference":
                await self.app(scope, receive, send)
                return
            with self.limiter.admit(key) as lease:
                try:
                    await self.app(scope, receive, send)
                finally:
                    lease.tokens = record.tokens()
        except ApiError as error:  # of ours: the app answers its own
            challenge = _challenge(error, scope["path"]) if error.status in (401, 403) else {}
            await JSONResponse(error.body(), error.status, error.headers() | challenge)(scope, receive, send)

    def _key(self, scope: Scope) -> Key:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            raise ApiError(401, "this server asks for a key: send 'Authorization: Bearer KEY'", code="missing_api_key")
        kind, _, text = given[0].decode("latin-1").partition(" ")
        key = self.ring.find(text.strip()) if len(given) == 1 and kind.lower() == "bearer" else None
        if key is None:  # never with the key: an error may end in someone's log
            raise ApiError(401, "the key is unknown, expired or revoked", code="invalid_api_key")
        record.note_key(key.name)
        if len(self.limiter) > len(self.ring):
            self.limiter.keep(self.ring.ids())
        wanted = scope_of(scope["path"])
        if wanted is not None and wanted not in key.scopes:
            raise ApiError(
                403,
                f"this key may not do that: expected the scope {wanted}, it has {', '.join(key.scopes)}",
                code="insufficient_scope",
            )
        return key


def _challenge(error: ApiError, path: str) -> dict[str, str]:
    """RFC 6750's header."""
    if error.status == 403:
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope_of(path)}"'}
    return {"WWW-Authenticate": "Bearer" if error.code == "missing_api_key" else 'Bearer error="invalid_token"'}
