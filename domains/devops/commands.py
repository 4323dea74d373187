"""What `truemark data new-blueprint`, `lint` and `expand` do. The commands themselves stand in `domains/cli.py`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from domains.devops.lint import LEAST, lint
from domains.devops.scaffold import create, scaffold
from truemark.console import say
from truemark.errors import CheckFailed, InvalidData
from truemark.files import sha256_file, write_jsonl


def new_blueprint(name: str, directory: Path, topic: str | None = None, model: str | None = None) -> Path:
    """Write NAME.yaml in `directory`: the scaffold, or with a topic what a model writes. Never over a file that is there."""
    path = directory / f"{name}.yaml"
    text = scaffold(name)
    if topic is None:
        create(path, text)
        say(f"{path}: a framework to change; `truemark data lint {path}` checks it")
        return path
    from domains.devops.writer import write
    from domains.endpoint import Endpoint
    from truemark.settings import cache_dir

    if path.exists():
        create(path, text)  # says that it exists, before a model is asked
    with closing(Endpoint(model or "default", cache=cache_dir() / "blueprints")) as endpoint:
        create(path, write(topic, name, endpoint))
    say(f"{path}: written by {model or 'the endpoint'}, lints clean")
    return path


def lint_files(paths: Sequence[Path], least: int = LEAST, as_json: bool = False) -> None:
    """Print the findings of all files. Raises CheckFailed (exit code 1) where there is one, InvalidData for a file that is not there."""
    for path in paths:
        if not path.is_file():
            raise InvalidData(f"no framework file {path}", mend="truemark data new-blueprint NAME")
    found = {str(path): lint(path, least) for path in paths}
    count = sum(map(len, found.values()))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        for name, findings in found.items():
            for finding in findings or [f"{name}: ok"]:
                say(finding)
    if count:
        raise CheckFailed(f"{count} findings in {sum(map(bool, found.values()))} of {len(found)} files")


def expand_files(
    paths: Sequence[Path], out: Path, seed: int, n: int, levels: Sequence[str] = (), as_json: bool = False
) -> None:
    """Write train, dev and test of a user's own frameworks to `out`."""
    from domains.devops.build import expand

    report: dict[str, Any] = {}
    for split, examples in expand(paths, seed, n, levels).items():
        path = out / f"{split}.jsonl"
        write_jsonl(path, [dict(example) for example in examples])
        counts = Counter(example["meta"]["level"] for example in examples)
        families = len({example["meta"]["family"] for example in examples})
        report[str(path)] = {
            "examples": len(examples),
            "families": families,
            "levels": dict(counts),
            "sha256": sha256_file(path),
        }
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        for file, row in report.items():
            parts = ", ".join(f"{count} {level}" for level, count in row["levels"].items())
            say(f"{file}: {row['examples']} examples ({parts}) of {row['families']} families")
