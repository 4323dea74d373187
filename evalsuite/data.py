"""Reading a test set: what is asked, checked before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from domains.base import Example, asked
from truemark.errors import InvalidData
from truemark.files import read_jsonl, sha256_json

OVERALL = "all"
"""The slice that holds every example."""
_FIELDS = {"id": str, "messages": list, "reference": str, "meta": dict}


def read_examples(path: Path, domain: str) -> list[Example]:
    """All examples of a JSONL file. Raises InvalidData naming the line of a bad row, or ids that occur twice."""
    if not path.is_file():
        raise InvalidData(f"no test set at {path}", mend=f"truemark data build {domain}")
    rows = read_jsonl(path)
    if not rows:
        raise InvalidData(f"{path} is empty: expected one example a line", mend=f"truemark data build {domain}")
    for number, row in enumerate(rows, 1):
        _refuse_bad_row(f"{path}: example {number}", row)
    seen: set[str] = set()
    twice = sorted({row["id"] for row in rows if row["id"] in seen or seen.add(row["id"])})  # type: ignore[func-returns-value]
    if twice:
        raise InvalidData(
            f"{path}: {len(twice)} ids occur more than once, first '{twice[0]}'",
            mend=f"truemark data build {domain}",
        )
    return [cast("Example", row) for row in rows]


def sample(examples: list[Example], limit: int | None) -> list[Example]:
    """`limit` examples in file order, as many of each slice as can be.

    Drawn by content hash: always the same ones, and a larger sample holds a smaller.
    """
    if limit is None or limit >= len(examples):
        return examples
    drawn: Counter[str] = Counter()
    ranked = []
    for example in sorted(examples, key=example_sha256):
        ranked.append((drawn[slice_of(example)], example["id"]))
        drawn[slice_of(example)] += 1
    chosen = {id for _, id in sorted(ranked)[:limit]}
    return [example for example in examples if example["id"] in chosen]


def example_sha256(example: Example) -> str:
    """Hash of one example's whole content."""
    return sha256_json(example)


def examples_sha256(examples: Sequence[Example]) -> str:
    """Hash of a test set: its examples in their order."""
    return sha256_json([example_sha256(example) for example in examples])


def prompt(example: Example, system: str) -> list[dict[str, str]]:
    """The messages that are asked: the example's own without its closing answer, after `system` where there is one."""
    messages = asked(example)
    if system and (not messages or messages[0]["role"] != "system"):
        return [{"role": "system", "content": system}, *messages]
    return messages


def question(example: Example) -> str:
    """The last thing a user says in an example."""
    return next((m["content"] for m in reversed(example["messages"]) if m["role"] == "user"), "")


def slice_of(example: Example) -> str:
    """The slice an example is reported in."""
    return str(example["meta"].get("slice", OVERALL))


def slices(examples: Sequence[Example]) -> list[str]:
    """Slices in the order they appear; `all` comes last when there is more than one."""
    found = list(dict.fromkeys(slice_of(example) for example in examples))
    return found if len(found) == 1 else [*(name for name in found if name != OVERALL), OVERALL]


def family_of(example: Example) -> str:
    """The problem family, for resampling by family; the id where none is given."""
    return str(example["meta"].get("family", example["id"]))


def _refuse_bad_row(where: str, row: dict[str, Any]) -> None:
    for field, kind in _FIELDS.items():
        if not isinstance(row.get(field), kind):
            found = type(row[field]).__name__ if field in row else "nothing"
            raise InvalidData(f"{where}: expected '{field}' to be {kind.__name__}, found {found}")
    for message in row["messages"]:
        if not isinstance(message, dict) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise InvalidData(f"{where}: expected messages of {{'role': str, 'content': str}}")
    if not any(message["role"] == "user" for message in row["messages"]):
        raise InvalidData(f"{where}: no message of the user, so nothing to ask")
    try:
        sha256_json(row)
    except UnicodeEncodeError:
        raise InvalidData(f"{where}: text with a lone surrogate, which is not Unicode") from None
