"""`truemark serve` and `truemark ask`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from truemark.settings import SERVE_PORT

QUESTION = "Solve for x: 3x + 7 = 22"


def serve(
    *,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="A PEFT adapter or lora-gguf export, and its model name. Repeatable."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model [default: the one in the adapters' manifests, else smollm2-135m].")
    ] = None,
    engine: Annotated[str, typer.Option(help="llamacpp, or llamacpp-embed.")] = "llamacpp",
    host: Annotated[
        str, typer.Option(help="Address to listen on; one beyond this machine needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = SERVE_PORT,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="TRUEMARK_KEYS", help="Ask for a key of this file: truemark keys create."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also answer under this name, as behind a proxy. Repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Web pages of this origin may call it. Repeatable.")
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="One JSON object a log line.")] = False,
    log_text: Annotated[
        bool, typer.Option("--log-text", help="Log what is asked and answered too; implies --log-json.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="When ready, print one JSON line.")] = False,
) -> None:
    """Serve adapters and their base behind one OpenAI-compatible address, each adapter proved to be applied.

    Until SIGTERM (exit code 0) or Ctrl-C (130); running answers end first.
    """
    import asyncio
    import functools
    import signal
    import sys
    import time

    from serve import catalog, engines, gateway, server
    from serve.access.door import Door, check_hosts, check_origins, is_loopback
    from serve.access.keys import KeyRing
    from serve.observe import logs
    from serve.supervisor import Supervisor
    from truemark.console import duration, say

    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the event loop takes over
    logs.to_stderr(as_json=log_json or log_text)
    door = Door(KeyRing(keys) if keys else None, check_hosts(allow_host or []), check_origins(allow_origin or []))
    models = catalog.read(adapter or [], base)
    listening = server.listen(host, port, keys=door.keys is not None)
    try:
        prepared = engines.create(engine, models.base.ref, models.adapters)
        say(f"starting {engine} with {len(models.models)} model(s)")

        def ready(supervisor: Supervisor) -> None:
            say(f"ready after {duration(time.monotonic() - began)}")
            if not is_loopback(host):
                say("this is plain HTTP: keys and prompts can be read on the way; put a proxy that speaks TLS in front")
            _introduce(models, supervisor, server.url_of(listening), as_json=as_json, with_keys=door.keys is not None)

        make_app = functools.partial(gateway.create_app, door=door, log_text=log_text)
        ended_by = asyncio.run(server.run_until_signal(models, prepared, listening, ready=ready, make_app=make_app))
    finally:
        listening.close()
    say("server ended")
    raise typer.Exit(0 if ended_by == signal.SIGTERM else 128 + ended_by)


def ask(
    *,
    domain: Annotated[str, typer.Argument(help="Whose checks judge the answer, e.g. math.")],
    question: Annotated[str, typer.Argument(help="In plain words.")],
    model: Annotated[
        str | None, typer.Option(help="Model name at the server [default: the one of this domain].")
    ] = None,
    url: Annotated[str | None, typer.Option(help="A server that runs, with its /v1 suffix.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Answer with this adapter in a server of our own, ended afterwards.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """One streamed answer, checked by the domain's solver, whose own solution is shown when the model is wrong.

    Asks the server at TRUEMARK_URL (default http://127.0.0.1:8017/v1). Where none runs, it starts one for this
    question with the adapter of the domain trained last under ./runs, else the one that ships.
    """
    from serve import ask as asking

    asking.ask(domain, question, model=model, url=url, adapter=adapter, as_json=as_json)


def _introduce(models: object, supervisor: object, url: str, *, as_json: bool, with_keys: bool) -> None:
    """What a user needs to go on, on standard output."""
    import json

    from serve.catalog import Catalog
    from serve.supervisor import Supervisor

    assert isinstance(models, Catalog) and isinstance(supervisor, Supervisor)
    if as_json:
        rows = [{"id": row.name, "artifact": row.ref.label} for row in models.models.values()]
        print(json.dumps({"url": url, "models": rows}), flush=True)
        return
    lines = [f"{url}   ({supervisor.version})"]
    for row in models.models.values():
        proof = supervisor.proofs.get(row.name)
        what = f"applied: moves the next token by {proof.shift:.2f} nats" if proof else "the base"
        lines.append(f"  {row.name:24} {row.ref.label:36} {what}")
    name = next(iter(models.models))
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": QUESTION}]})
    bearer = ' -H "Authorization: Bearer $TRUEMARK_API_KEY"' if with_keys else ""
    key = 'os.environ["TRUEMARK_API_KEY"]' if with_keys else '"none"'
    lines.append(f"""
curl {url}/chat/completions{bearer} -H 'Content-Type: application/json' -d '{body}'

{"import os" + chr(10) if with_keys else ""}from openai import OpenAI
client = OpenAI(base_url="{url}", api_key={key})
answer = client.chat.completions.create(
    model="{name}", messages=[{{"role": "user", "content": "{QUESTION}"}}], temperature=0
)
print(answer.choices[0].message.content)

Ctrl-C ends it.""")
    print("\n".join(lines), flush=True)
