"""`truemark data …`: build the datasets of the domains."""

from __future__ import annotations

import json
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from domains import DOMAINS, get
from truemark.console import say
from truemark.errors import InvalidData, UnknownName
from truemark.files import read_jsonl, sha256_file, write_jsonl

app = typer.Typer(help="Build the datasets of the domains.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Build the datasets of the domains."""


@app.command()
def build(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}, or `all`.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    n: Annotated[int, typer.Option(min=1, max=1_000_000, help="Training examples.")] = 2600,
    out: Annotated[Path, typer.Option(help="Directory that gets DOMAIN/{train,dev,test}.jsonl.")] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and hashes as JSON.")] = False,
) -> None:
    """Write data/DOMAIN/{train,dev,test}.jsonl."""
    report: dict[str, dict[str, Any]] = {}
    for name in list(DOMAINS) if domain == "all" else [domain]:
        splits = get(name).build(seed, n)
        for split, examples in splits.items():
            path = out / name / f"{split}.jsonl"
            write_jsonl(path, [dict(example) for example in examples])
            slices = Counter(example["meta"]["slice"] for example in examples)
            families = len({example["meta"]["family"] for example in examples})
            report[str(path)] = {
                "examples": len(examples),
                "families": families,
                "slices": dict(slices),
                "sha256": sha256_file(path),
            }
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        for file, counts in report.items():
            parts = ", ".join(f"{count} {name}" for name, count in counts["slices"].items())
            say(f"{file}: {counts['examples']} examples ({parts}) of {counts['families']} families")


FORMATS = {"openai": "domains.openai:rows"}
"""Format → `module:function(examples, system_prompt)` that gives the rows of a file."""


@app.command()
def export(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}.")],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")] = "openai",
    split: Annotated[str, typer.Option(help="train or dev.")] = "train",
    data: Annotated[Path, typer.Option(help="Directory with DOMAIN/{train,dev}.jsonl.")] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Default: data/DOMAIN/SPLIT.FORMAT.jsonl.")] = None,
) -> None:
    """Write training data in the form that another trainer takes. The test split stays here."""
    room = get(domain)
    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    if split not in ("train", "dev"):
        raise UnknownName("split", split, ("train", "dev"))
    source = data / domain / f"{split}.jsonl"
    if not source.is_file():
        raise InvalidData(f"no data at {source}", mend=f"truemark data build {domain}")
    module, _, attribute = FORMATS[format].partition(":")
    rows = getattr(import_module(module), attribute)(read_jsonl(source), room.SYSTEM_PROMPT)
    path = out or source.with_name(f"{split}.{format}.jsonl")
    write_jsonl(path, rows)
    say(f"{path}: {len(rows)} conversations")
