"""`truemark keys`: create, list and revoke the keys of a server. Nothing but `create` ever shows one, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Create, list or revoke the API keys of a server.", no_args_is_help=True)
File = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="TRUEMARK_KEYS", help="The keys file [default: keys.json in ~/.config/truemark]."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is; appears in the log.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="inference, metrics or admin; none contains another. Repeatable [default: inference]."),
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.001, max=36500, help="Valid so long [default: for ever].")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="At most so many [default: any].")] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Of prompts and answers together [default: any].")
    ] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="Requests at once [default: any].")] = None,
    file: File = None,
) -> None:
    """Make a key and print it, alone, on standard output. The file keeps its hash: it cannot be shown again."""
    from datetime import UTC, datetime, timedelta

    from serve.access import keys
    from truemark.console import say

    path = file or keys.default_file()
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days else None
    key, text = keys.create(
        path,
        name,
        scopes=scope or ("inference",),
        expires=expires,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent=concurrent,
    )
    print(text, flush=True)
    say(
        f"{key.name} may: {', '.join(key.scopes)}; {path} holds its hash. Serve with it: truemark serve --keys {path} …"
    )


@app.command("list")
def show(file: File = None, as_json: AsJson = False) -> None:
    """Say which keys there are, what they may do and what limits them."""
    import json

    from serve.access import keys

    rows = keys.read(file or keys.default_file())
    if as_json:
        print(json.dumps([key.model_dump(mode="json", exclude={"sha256"}) for key in rows], indent=2))
        return
    for key in rows:
        limits = [
            f"{value} {what}"
            for value, what in (
                (key.requests_per_minute, "requests/min"),
                (key.tokens_per_minute, "tokens/min"),
                (key.concurrent, "at once"),
            )
            if value is not None
        ]
        end = "expired" if key.expired() else f"until {key.expires:%Y-%m-%d %H:%M}" if key.expires else "for ever"
        print(f"{key.name:24} {key.id}  {','.join(key.scopes):24} {end:24} {', '.join(limits) or 'no limits'}")


@app.command()
def revoke(which: Annotated[str, typer.Argument(metavar="NAME|ID")], file: File = None) -> None:
    """Take a key out. A running server refuses it from the next request on; an answer under way ends."""
    from serve.access import keys
    from truemark.console import say

    key = keys.revoke(file or keys.default_file(), which)
    say(f"revoked {key.name} ({key.id})")
