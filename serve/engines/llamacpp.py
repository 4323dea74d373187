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

import httpx

from serve.engines.base import Alternative, BaseInfo, FinishReason, Generation, Piece, Refused, TokenLogprob
from serve.engines.process import Child
from serve.engines.sse import lines
from truemark import toolchain
from truemark.errors import EngineError, ModelNotFound
from truemark.gguf_convert import lora_gguf
from truemark.models import ModelRef
from truemark.settings import threads

SLOTS = 4
"""Requests computed at once; more wait in the engine's queue."""
CONTEXT = 2048
"""Tokens per slot."""
START_LIMIT = 120.0
"""Seconds for the engine to load."""
SILENCE_LIMIT = 120.0
"""Seconds without a byte after which a request is given up."""
_CANARY_TOKENS = 20
_HOME = "truemark-engine-"


class LlamaCppEngine:
    """See `serve.engines.base.Engine`."""

    name = "llamacpp"
    info: BaseInfo

    def __init__(self, base: ModelRef, adapters: Mapping[str, ModelRef]) -> None:
        self._binary = toolchain.binary("llama-server")
        self._base = _base_gguf(base)
        self._adapters = {name: _adapter_gguf(model, base) for name, model in adapters.items()}
        self._child: Child | None = None
        self._home: Path | None = None
        self._client: httpx.AsyncClient | None = None

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
        self._child = Child([str(self._binary), *self._arguments(socket)], environment, self._home / "log")
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), limits=httpx.Limits(max_connections=None)),
            base_url="http://engine",
            timeout=httpx.Timeout(SILENCE_LIMIT, connect=10),
            trust_env=False,
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

    def _arguments(self, socket: Path) -> list[str]:
        arguments = ["--model", str(self._base), "--host", str(socket), "--threads", str(threads())]
        arguments += ["--parallel", str(SLOTS), "--ctx-size", str(SLOTS * CONTEXT), "--no-kv-unified"]
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
        client, child, home = self._client, self._child, self._home
        self._client = self._child = self._home = None
        try:
            if client is not None:
                await client.aclose()
        finally:
            if child is not None:
                await child.stop()
            if home is not None:
                shutil.rmtree(home, ignore_errors=True)

    def alive(self) -> bool:
        """See the protocol."""
        return self._child is not None and self._child.alive()

    async def tokenize(self, text: str) -> list[int]:
        """See the protocol."""
        answer = await self._call("POST", "/tokenize", {"content": text, "add_special": False, "parse_special": True})
        ids: list[int] = answer["tokens"]
        return ids

    async def logprobs(self, prompt_ids: Sequence[int], adapter: str | None) -> dict[int, float]:
        """See the protocol."""
        body = self._body(Generation(prompt_ids, adapter, max_tokens=1)) | {"n_probs": _CANARY_TOKENS}
        answer = await self._call("POST", "/completion", body)
        return {row["id"]: row["logprob"] for row in answer["completion_probabilities"][0]["top_logprobs"]}

    async def generate(self, request: Generation) -> AsyncGenerator[Piece, None]:
        """See the protocol."""
        body = self._body(request) | {"stream": True}
        try:
            async with self._connected().stream("POST", "/completion", json=body) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refusal(answer)
                async for line in lines(answer):
                    if line.startswith(b"data: "):
                        yield _piece(json.loads(line[6:]))
                    elif line.startswith(b"error: "):
                        raise EngineError(f"llama-server: {line[7:300].decode(errors='replace')}")
        except httpx.TransportError as error:
            raise self._broken(error) from None

    def _body(self, request: Generation) -> dict[str, Any]:
        body: dict[str, Any] = {
            "prompt": list(request.prompt_ids),
            "n_predict": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "samplers": ["temperature", "top_p"],  # and none of llama.cpp's own defaults (top-k 40, min-p 0.05)
            "seed": -1 if request.seed is None else request.seed % (2**32 - 1),  # 2**32 - 1 means random
            "stop": list(request.stop),
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
            raise _refusal(answer)
        return answer.json()

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            raise EngineError("the engine is not running")
        return self._client

    def _broken(self, error: httpx.TransportError) -> EngineError:
        if isinstance(error, httpx.TimeoutException):
            return EngineError(f"the engine was silent for {SILENCE_LIMIT:.0f} s")
        return EngineError("the engine broke off while answering")


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


def _refusal(answer: httpx.Response) -> EngineError:
    try:
        words = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        words = answer.text
    kind = Refused if answer.status_code == 400 else EngineError
    return kind(f"llama-server answered {answer.status_code}: {str(words)[:300]}")


def _sweep() -> None:
    """Remove the directories of gateways that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_HOME}*"):
        pid = left.name.removeprefix(_HOME).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


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
