"""`truemark data …`: build the datasets of the domains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module, resources
from importlib.resources.abc import Traversable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from domains import DOMAINS, contamination, get
from domains.base import Example
from domains.examples import read_examples
from domains.loaders import LOADERS
from domains.statistics import statistics
from truemark.console import say
from truemark.errors import CheckFailed, InvalidData, StorageError, UnknownName
from truemark.files import (
    publish_directory,
    read_jsonl,
    sha256_file,
    sha256_json,
    storage_errors,
    write_json,
    write_jsonl,
)

app = typer.Typer(help="Build the datasets of the domains.", no_args_is_help=True)
FILES = {f"{split}.jsonl": split for split in ("train", "dev", "test")}
RECORD = "dataset.json"
"""What was built: seed, n, the builder's hash, counts and hashes of the files."""


@app.callback()
def data() -> None:
    """Build the datasets of the domains."""


@app.command()
def build(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}, or `all`.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    n: Annotated[int, typer.Option(min=1, max=1_000_000, help="Training examples.")] = 2600,
    level: Annotated[
        list[str], typer.Option(help="Only examples of this level; may be given several times. Default: all.")
    ] = [],  # noqa: B006
    out: Annotated[Path, typer.Option(help="Directory that gets DOMAIN/{train,dev,test}.jsonl.")] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and hashes as JSON.")] = False,
) -> None:
    """Write data/DOMAIN/{train,dev,test}.jsonl, all three or none. The same dataset is not built twice."""
    report: dict[str, dict[str, Any]] = {}
    for name in _named(domain):
        for file, counts in _dataset(name, seed, n, level, out / name).items():
            report[str(out / name / file)] = counts
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for path, counts in report.items():
        parts = ", ".join(f"{count} {name}" for name, count in counts["slices"].items())
        say(f"{path}: {counts['examples']} examples ({parts}) of {counts['families']} families")


def _dataset(name: str, seed: int, n: int, levels: list[str], directory: Path) -> dict[str, dict[str, Any]]:
    """Make `directory` hold the dataset, unless it does; counts and hash by file."""
    wanted = {"domain": name, "seed": seed, "n": n, "levels": levels, "builder": _builder(name)}
    try:
        record: dict[str, Any] = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = record.pop("files")
        if record == wanted and all(sha256_file(directory / file) == files[file]["sha256"] for file in FILES):
            return files
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # no whole record of a whole dataset: build it
    _refuse_other_files(directory)
    splits = get(name).build(seed, n, levels)
    with publish_directory(directory) as tmp:
        files = {}
        for file, split in FILES.items():
            write_jsonl(tmp / file, [dict(example) for example in splits[split]])
            files[file] = _counts(tmp / file, splits[split])
        write_json(tmp / RECORD, {**wanted, "files": files})
    return files


def _builder(name: str) -> str:
    """Hash of the domain's sources: other sources may build another dataset."""
    return sha256_json([file.read_text(encoding="utf-8") for file in _sources(resources.files(DOMAINS[name]))])


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.is_dir():
            yield from _sources(file)
        elif file.name.endswith((".py", ".yaml", ".json", ".jsonl")):
            yield file


def _refuse_other_files(directory: Path) -> None:
    """The directory is replaced whole, so that no reader meets a train set and a test set of two builds."""
    with storage_errors(directory):
        others = sorted({file.name for file in directory.iterdir()} - {*FILES, RECORD}) if directory.is_dir() else []
    if others:
        raise StorageError(
            f"{directory} holds other files than a dataset's ({', '.join(others[:3])}) and would be replaced whole",
            mend="move them away, or choose another --out",
        )


def _counts(path: Path, examples: list[Example]) -> dict[str, Any]:
    return {
        "examples": len(examples),
        "families": len({example["meta"]["family"] for example in examples}),
        "slices": dict(Counter(example["meta"]["slice"] for example in examples)),
        "sha256": sha256_file(path),
    }


@app.command()
def sample(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}.")],
    model: Annotated[str, typer.Option(help="Model reference of who answers.")],
    n: Annotated[int, typer.Option(min=1, max=1024, help="Answers to each question.")] = 8,
    temperature: Annotated[float, typer.Option(min=0.0, max=5.0)] = 0.8,
    max_tokens: Annotated[int, typer.Option(min=1)] = 256,
    split: Annotated[str, typer.Option(help="train or dev.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="The first questions alone.")] = None,
    runtime: Annotated[str | None, typer.Option(help="Another engine than the reference's own.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 7,
    data: Annotated[Path, typer.Option(help="Directory with DOMAIN/{train,dev}.jsonl.")] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Default: data/DOMAIN.SPLIT.samples.jsonl.")] = None,
) -> None:
    """Draw several answers to each question, for `data pairs`. What was drawn is not drawn again."""
    from domains import samples

    room = get(domain)
    if split not in ("train", "dev"):
        raise UnknownName("split", split, ("train", "dev"))
    path = out or data / f"{domain}.{split}.samples.jsonl"
    examples = read_examples(data / domain / f"{split}.jsonl", domain)[:limit]
    settings = samples.Settings(n=n, temperature=temperature, max_tokens=max_tokens, seed=seed)
    rows = samples.of_model(room, model, examples, path, settings, runtime)
    say(f"{path}: {len(rows)} answers to {len(examples)} questions")


@app.command("pairs")
def make_pairs(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}.")],
    source: Annotated[
        list[Path],
        typer.Option("--from", help="Answers (`data sample`, predictions of `eval`), a directory of them, or `votes`."),
    ] = [],  # noqa: B006
    votes: Annotated[
        list[str], typer.Option(metavar="URL", help="Human votes: a store, or a file of {id, prompt, a, b, vote}.")
    ] = [],  # noqa: B006
    k: Annotated[int, typer.Option(min=1, help="Pairs of an example at most.")] = 4,
    gold: Annotated[bool, typer.Option("--gold", help="Where no answer passed, prefer the example's own.")] = False,
    data: Annotated[Path, typer.Option(help="Directory with DOMAIN/{train,dev}.jsonl.")] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Default: data/DOMAIN/pairs.jsonl.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Make preference pairs: of two answers to a question the one that passed the check, or that a person preferred."""
    from domains import pairs

    room = get(domain)
    if not source and not votes:
        raise InvalidData("no answers and no votes to make pairs of", mend=f"truemark data pairs {domain} --from FILE")
    path = out or data / domain / pairs.FILE
    source, votes = (
        [one for one in source if str(one) != "votes"],
        [*votes, *("votes" for one in source if str(one) == "votes")],
    )
    test = _rows_of(data / domain / "test.jsonl")
    stores = [one for one in votes if pairs.is_store(one)]
    if stores and not test:
        raise InvalidData(
            f"no test set at {data / domain / 'test.jsonl'}: which votes are on it, and must not be trained on, cannot be told",
            mend=f"truemark data build {domain}",
        )
    held_out = [row.get("id", "") for row in test]
    rows: list[dict[str, Any]] = []
    counts = pairs.Counts()
    if source:
        examples = read_examples(data / domain / "train.jsonl", domain)
        if (data / domain / "dev.jsonl").is_file():
            examples += read_examples(data / domain / "dev.jsonl", domain)
        answers = pairs.read_answers(pairs.files(source), [example["id"] for example in examples], held_out)
        rows, counts = pairs.from_answers(room, examples, answers, k=k, gold=gold)
    rows += pairs.from_votes([Path(one) for one in votes if one not in stores], room, held_out, counts)
    for one in stores:
        rows += pairs.from_store(one, room, test, counts)
    if as_json:
        print(json.dumps({"path": str(path), **asdict(counts)}, indent=2))
    say(
        f"examples: {counts.both} with passed and failed answers, {counts.passed} only passed, {counts.failed} only failed"
    )
    for why, count in counts.left_out.items():
        say(f"left out: {count} {why}")
    if not rows and not source:
        raise InvalidData("no pair: no vote chooses between two answers that may be trained on", mend="truemark demo")
    if not rows:
        raise InvalidData(
            "no pair: no example has an answer that passed and one that failed",
            mend=f"truemark data sample {domain} --model REF --n 16, or --gold",
        )
    write_jsonl(path, rows)
    say(
        f"{path}: {len(rows)} pairs ({counts.votes} of votes, {counts.gold} examples with their own answer as the chosen one)"
    )


def _rows_of(path: Path) -> list[dict[str, Any]]:
    return read_jsonl(path) if path.is_file() else []


@app.command()
def load(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(LOADERS)}.")],
    source: Annotated[str, typer.Option("--from", help="hf:OWNER/NAME[@REVISION][:CONFIG], a file or a directory.")],
    split: Annotated[str, typer.Option(help="The set's own name of the split.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="The first rows alone.")] = None,
    out: Annotated[Path, typer.Option(help="Directory that gets DOMAIN-SET/SPLIT.jsonl.")] = Path("data"),
) -> None:
    """Turn a public set into examples of a domain: for `train --data` and `eval --data`."""
    if name not in LOADERS:
        raise UnknownName("public set", name, LOADERS)
    module, _, attribute = LOADERS[name].partition(":")
    examples = list(islice(getattr(import_module(module), attribute)(source, split), limit))
    path = out / name.replace("/", "-") / f"{split}.jsonl"
    write_jsonl(path, [dict(example) for example in examples])
    say(f"{path}: {len(examples)} examples")


@app.command()
def stats(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}, or `all`.")] = "all",
    data: Annotated[Path, typer.Option(help="Directory with DOMAIN/{train,dev,test}.jsonl.")] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Counts, lengths, families, slices and levels of what was built."""
    report = {name: {split: statistics(rows) for split, rows in _read(name, data).items()} for name in _named(domain)}
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for name, splits in report.items():
        for split, found in splits.items():
            say(f"{name}/{split}: {found['examples']} examples of {found['families']} families")
            for label in ("slices", "levels"):
                if found[label]:
                    say(f"    {label}: " + ", ".join(f"{count} {key}" for key, count in found[label].items()))
            for label in ("question", "answer"):
                words = found[f"{label}_words"]
                say(f"    words of a {label}: {words['least']} to {words['most']}, median {words['median']}")


@app.command()
def check(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}, or `all`.")] = "all",
    data: Annotated[Path, typer.Option(help="Directory with DOMAIN/{train,dev,test}.jsonl.")] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print every finding as JSON.")] = False,
) -> None:
    """Find duplicates and what a test set shares with its training set. Exit code 1 for any."""
    found = {name: list(contamination.findings(_read(name, data))) for name in _named(domain)}
    if as_json:
        print(json.dumps({name: [asdict(finding) for finding in rows] for name, rows in found.items()}, indent=2))
    for name, rows in found.items():
        counts = Counter(finding.kind for finding in rows)
        if not as_json:
            said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            say(f"{name}: {said or 'no duplicates, nothing of the training set in dev or test'}")
            for finding in rows[:5]:
                say(f"    {finding.kind}: {finding.left} repeats {finding.right}: {finding.shared[:100]}")
    total = sum(map(len, found.values()))
    if total:
        raise CheckFailed(f"{total} examples repeat another", mend="truemark data build DOMAIN, or leave them out")


def _named(domain: str) -> list[str]:
    if domain not in (*DOMAINS, "all"):
        raise UnknownName("domain", domain, [*DOMAINS, "all"])
    return list(DOMAINS) if domain == "all" else [domain]


def _read(domain: str, data: Path) -> dict[str, list[Example]]:
    """The three splits. Raises InvalidData when one is missing or holds a row that is no example."""
    splits: dict[str, list[Example]] = {}
    for file, split in FILES.items():
        splits[split] = read_examples(data / domain / file, domain)
    return splits


FORMATS = {"openai": "domains.openai:rows", "alpaca": "domains.alpaca:rows"}
"""Format → `module:function(examples, system_prompt)` that gives the rows of a file."""


@app.command()
def export(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}.")],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")] = "openai",
    split: Annotated[str, typer.Option(help="train or dev.")] = "train",
    data: Annotated[Path, typer.Option(help="Directory with DOMAIN/{train,dev}.jsonl.")] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Default: data/DOMAIN.SPLIT.FORMAT.jsonl.")] = None,
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
    path = out or data / f"{domain}.{split}.{format}.jsonl"
    write_jsonl(path, rows)
    say(f"{path}: {len(rows)} rows")


@app.command()
def task(
    domain: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}.")],
    data: Annotated[Path, typer.Option(help="Directory with DOMAIN/test.jsonl.")] = Path("data"),
    out: Annotated[Path, typer.Option(help="Directory that gets truemark_DOMAIN/.")] = Path("tasks"),
) -> None:
    """Write the test set and the check as a task of lm-evaluation-harness, for others to run."""
    from domains.lm_eval import write_task

    room = get(domain)
    source = data / domain / "test.jsonl"
    if not source.is_file():
        raise InvalidData(f"no data at {source}", mend=f"truemark data build {domain}")
    path = write_task(room, source, out)
    say(f"{path}: lm_eval run --include_path {out} --tasks {path.name} --apply_chat_template --model …")


@app.command("new-blueprint")
def new_blueprint(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and _.")],
    directory: Annotated[Path, typer.Option(help="Gets NAME.yaml; a file that is there stays as it is.")] = Path(),
    topic: Annotated[str | None, typer.Option(help="Let a model write it about this.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the OpenAI-compatible endpoint that writes.")] = None,
) -> None:
    """Start a domain of your own: a YAML framework of reasoning blueprints."""
    from domains.devops import commands

    commands.new_blueprint(name, directory, topic, model)


@app.command()
def lint(
    files: Annotated[list[Path], typer.Argument(help="Frameworks, as `new-blueprint` makes them.")],
    least: Annotated[int, typer.Option(min=1, help="Distinct expansions a file must give.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check framework files: schema, names, constraints, claims, leaks. Exit code 1 where something is found."""
    from domains.devops import commands

    commands.lint_files(files, least, as_json)


@app.command()
def expand(
    files: Annotated[list[Path], typer.Argument(help="Frameworks that lint clean.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    n: Annotated[int, typer.Option(min=1, max=1_000_000, help="Training examples.")] = 400,
    level: Annotated[list[str] | None, typer.Option(help="Only this level; may be given several times.")] = None,
    out: Annotated[Path, typer.Option(help="Directory that gets {train,dev,test}.jsonl.")] = Path("data/blueprints"),
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and hashes as JSON.")] = False,
) -> None:
    """Write train, dev and test of your own frameworks."""
    from domains.devops import commands

    commands.expand_files(files, out, seed, n, level or (), as_json)
