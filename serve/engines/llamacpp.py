"""llama.cpp's own `llama-server`: one GGUF base in memory, LoRA adapters beside it, chosen per request.

It listens on a Unix socket in a directory that only this user can open, so nothing but the gateway reaches its
native routes. Adapters are loaded unapplied; every request names the scale of every adapter, and reuses no prompt
cache (llama.cpp #26207: cached keys and values of one adapter may be used for another).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from serve.engines.base import (
    Alternative,
    BaseInfo,
    EngineLost,
    FinishReason,
    Generation,
    Piece,
    Refused,
    TokenLogprob,
)
from serve.engines.gguf_header import kv_bytes_per_token
from serve.engines.process import Child
from truemark import toolchain
from truemark.errors import EngineError, ModelNotFound
from truemark.gguf_convert import lora_gguf
from truemark.models import ModelRef
from truemark.settings import threads

SLOTS = 16
"""Requests computed at once, where their memory allows it."""
KV_MEMORY = 1 << 30
"""Bytes for the keys and values of all slots, taken at the start: 754 MB for 16 slots of the embedded base."""
CONTEXT = 2048
"""Tokens per slot."""
BATCH = 512
"""Prompt tokens of one step. It bounds how long others wait for their next token, and how long a probe may take."""
START_LIMIT = 120.0
"""Seconds for the engine to load."""
SILENCE_LIMIT = 120.0
"""Seconds without a byte after which a request is given up."""
_NO_REUSE = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""A connection per request: llama-server closes one after about a hundred, and a request on its way then would fail."""
_CANARY_TOKENS = 20
_LINE = 1 << 20
"""Bytes of one event of the engine."""
_HOME = "truemark-engine-"


class LlamaCppEngine:
    """See `serve.engines.base.Engine`."""

    name = "llamacpp"
    info: BaseInfo
    mixes = False

    def __init__(self, base: ModelRef, adapters: Mapping[str, ModelRef]) -> None:
        self._binary = toolchain.binary("llama-server")
        self._base = _base_gguf(base)
        self.slots = _slots(self._base)
        self._adapters = {name: _adapter_gguf(model, base) for name, model in adapters.items()}
        self._child: Child | None = None
        self._home: Path | None = None
        self._client: httpx.AsyncClient | None = None
        self._streams: aiohttp.ClientSession | None = None
        """For answers: a token through it costs a third of the processor time that it costs through httpx."""

    @property
    def pid(self) -> int | None:
        """Process id of the running llama-server."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """See the protocol."""
        await self.stop()
        _sweep()
        self._home = Path(tempfile.mkdtemp(prefix=f"{_HOME}{os.getpid()}-"))  # mode 0700
        socket = self._home / "engine.sock"
        environment = {
            name: value
            for name, value in toolchain.environment().items()
            if not name.startswith("LLAMA_")  # a user's LLAMA_ARG_* would change what is served
        }
        self._child = Child(
            [str(self._binary), *self.arguments("--host", str(socket))], environment, self._home / "log"
        )
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), limits=_NO_REUSE),
            base_url="http://engine",
            timeout=httpx.Timeout(SILENCE_LIMIT, connect=10),
            trust_env=False,
        )
        self._streams = aiohttp.ClientSession(
            "http://engine",
            connector=aiohttp.UnixConnector(path=str(socket), limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_LIMIT),
            read_bufsize=_LINE,
        )
        await self._wait_healthy()
        props = await self._call("GET", "/props")
        self.info = BaseInfo(
            chat_template=props["chat_template"],
            bos_token=props["bos_token"],
            eos_token=props["eos_token"],
            context=props["default_generation_settings"]["n_ctx"],
            version=f"llama-server {props['build_info']}",
            abilities=frozenset({"logprobs", "penalties", "json_schema"}),
            prefix=tuple((await self._call("POST", "/tokenize", {"content": "", "add_special": True}))["tokens"]),
        )

    def arguments(self, *listen: str) -> list[str]:
        """Of llama-server."""
        arguments = ["--model", str(self._base), *listen, "--threads", str(threads())]
        # a cache per slot: in a shared one a request's keys lie in an order that depends on the others', and sums with it
        arguments += ["--parallel", str(self.slots), "--ctx-size", str(self.slots * CONTEXT), "--no-kv-unified"]
        arguments += ["--batch-size", str(BATCH)]
        if self._adapters:
            arguments += [
                "--lora",
                ",".join(str(path) for path in self._adapters.values()),
                "--lora-init-without-apply",
            ]
        # nothing of one request may serve another: no prompt cache in slots, in memory or as checkpoints
        arguments += [
            "--no-cache-prompt",
            "--cache-ram",
            "0",
            "--ctx-checkpoints",
            "0",
            "--slot-prompt-similarity",
            "0",
        ]
        return [*arguments, "--offline", "--no-ui", "--fit", "off", "--log-verbosity", "2"]

    async def _wait_healthy(self) -> None:
        assert self._child is not None and self._client is not None
        try:
            async with asyncio.timeout(START_LIMIT):
                while self._child.alive():
                    with contextlib.suppress(httpx.TransportError):
                        if (await self._client.get("/health")).status_code == 200:
                            return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise EngineError(f"llama-server was not ready after {START_LIMIT:.0f} s", mend="truemark doctor") from None
        raise EngineError(f"llama-server ended while loading: {self._child.last_words()}", mend="truemark doctor")

    async def stop(self) -> None:
        """See the protocol."""
        client, streams, child, home = self._client, self._streams, self._child, self._home
        self._client = self._streams = self._child = self._home = None
        try:
            if client is not None:
                await client.aclose()
            if streams is not None:
                await streams.close()
        finally:
            if child is not None:
                await child.stop()
            if home is not None:
                shutil.rmtree(home, ignore_errors=True)

    def alive(self) -> bool:
        """See the protocol."""
        return self._child is not None and self._child.alive()

    def kill(self) -> None:
        """See the protocol."""
        if self._child is not None:
            self._child.kill()

    async def probe(self) -> None:
        """See the protocol. `/health` would be answered by a thread that knows nothing of the computing one."""
        await self._call("GET", "/slots")

    def cpu_seconds(self) -> float | None:
        """See the protocol."""
        return self._child.cpu_seconds() if self._child else None

    async def tokenize(self, text: str) -> list[int]:
        """See the protocol."""
        answer = await self._call("POST", "/tokenize", {"content": text, "add_special": False, "parse_special": True})
        ids: list[int] = answer["tokens"]
        return ids

    async def logprobs(self, prompt_ids: Sequence[int], adapter: str | None) -> dict[int, float]:
        """See the protocol."""
        body = self._body(Generation(prompt_ids, adapter, max_tokens=1)) | {"n_probs": _CANARY_TOKENS}
        del body["response_fields"]
        answer = await self._call("POST", "/completion", body)
        return {row["id"]: row["logprob"] for row in answer["completion_probabilities"][0]["top_logprobs"]}

    async def generate(self, request: Generation, slot: int | None = None) -> AsyncGenerator[Piece, None]:
        """See the protocol. llama-server splits a batch at each gap between slot numbers, so the caller packs them."""
        body = self._body(request) | {"stream": True, "id_slot": -1 if slot is None else slot}
        if self._streams is None:
            raise EngineLost("the engine is not running")
        try:
            async with self._streams.post("/completion", json=body) as answer:
                if answer.status != 200:
                    raise _refusal(answer.status, await answer.text())
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        yield _piece(json.loads(line[6:]))
                    elif line.startswith(b"error: "):
                        raise EngineError(f"llama-server: {line[7:300].decode(errors='replace')}")
        except TimeoutError:
            raise EngineError(f"the engine was silent for {SILENCE_LIMIT:.0f} s") from None
        except (aiohttp.ClientError, OSError):
            raise EngineLost("the engine broke off while answering") from None

    def _body(self, request: Generation) -> dict[str, Any]:
        body: dict[str, Any] = {
            "prompt": list(request.prompt_ids),
            "n_predict": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "samplers": ["temperature", "top_p"],  # and none of llama.cpp's own defaults (top-k 40, min-p 0.05)
            "seed": -1 if request.seed is None else request.seed % (2**32 - 1),  # 2**32 - 1 means random
            "stop": list(request.stop),
            "response_fields": [
                "content",
                "stop",
                "stop_type",
                "tokens_predicted",
            ],  # of the last event: not the prompt
            "cache_prompt": False,
            "lora": [{"id": i, "scale": float(name == request.adapter)} for i, name in enumerate(self._adapters)],
        }
        if request.presence_penalty or request.frequency_penalty:
            body["samplers"] = ["penalties", *body["samplers"]]
            body["presence_penalty"] = request.presence_penalty
            body["frequency_penalty"] = request.frequency_penalty
            body["repeat_last_n"] = len(request.prompt_ids) + request.max_tokens
        if request.top_logprobs is not None:
            body["n_probs"] = max(request.top_logprobs, 1)  # 0 would turn the token's own off as well
        if request.json_schema is not None:
            body["json_schema"] = dict(request.json_schema)
        return body

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = await self._connected().request(method, path, json=body)
        except httpx.TransportError as error:
            raise self._broken(error) from None
        if answer.status_code != 200:
            raise _refusal(answer.status_code, answer.text)
        return answer.json()

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            raise EngineLost("the engine is not running")
        return self._client

    def _broken(self, error: httpx.TransportError) -> EngineError:
        if isinstance(error, httpx.TimeoutException):
            return EngineError(f"the engine was silent for {SILENCE_LIMIT:.0f} s")
        return EngineLost("the engine broke off while answering")


def _piece(data: Mapping[str, Any]) -> Piece:
    if "error" in data:
        kind = Refused if data["error"].get("code") == 400 else EngineError
        raise kind(f"llama-server: {str(data['error'].get('message', data['error']))[:300]}")
    finish: FinishReason | None = None
    if data["stop"]:
        finish = "length" if data["stop_type"] == "limit" else "stop"
    rows = data.get("completion_probabilities", ())
    return Piece(data["content"], data["tokens_predicted"], finish, tuple(_token(row) for row in rows))


def _token(row: Mapping[str, Any]) -> TokenLogprob:
    """One row of `completion_probabilities`. Its own text is that of the piece, which may hold back or bring along text
    of other tokens; among the likeliest, the token is itself."""
    own = next((each for each in row["top_logprobs"] if each["id"] == row["id"]), row)
    top = tuple(Alternative(each["token"], tuple(each["bytes"]), each["logprob"]) for each in row["top_logprobs"])
    return TokenLogprob(own["token"], tuple(own["bytes"]), row["logprob"], top)


def _refusal(status: int, text: str) -> EngineError:
    try:
        words = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        words = text
    kind = Refused if status == 400 else EngineError
    return kind(f"llama-server answered {status}: {str(words)[:300]}")


def _sweep() -> None:
    """Remove the directories of gateways that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_HOME}*"):
        pid = left.name.removeprefix(_HOME).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _slots(base: Path) -> int:
    """SLOTS, or as many as KV_MEMORY holds; at least one."""
    slot = CONTEXT * kv_bytes_per_token(base)
    return max(1, min(SLOTS, KV_MEMORY // slot)) if slot else SLOTS


def _base_gguf(base: ModelRef) -> Path:
    if base.embedded is not None:
        return base.embedded.gguf()
    if base.kind == "gguf" and base.path is not None:
        return base.path
    raise ModelNotFound(
        f"llama.cpp serves a base as GGUF: expected smollm2-135m or gguf:FILE, found '{base.text}' ({base.kind})"
    )


def _adapter_gguf(model: ModelRef, base: ModelRef) -> Path:
    path = model.local_path() if model.kind == "lora-gguf" else lora_gguf(model, base)
    if "," in str(path):  # llama-server's list separator, which cannot be escaped
        raise ModelNotFound(f"llama-server cannot open a path with a comma: {path}")
    return path
