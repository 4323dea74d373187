"""Reading a split: every row is an example before anything is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from domains.base import Example
from truemark.errors import InvalidData
from truemark.files import read_jsonl, sha256_json

_FIELDS = {"id": str, "messages": list, "reference": str, "meta": dict}


def read_examples(path: Path, domain: str) -> list[Example]:
    """All examples of a JSONL file. Raises InvalidData naming the line of a bad row, or ids that occur twice."""
    if not path.is_file():
        raise InvalidData(f"no data at {path}", mend=f"truemark data build {domain}")
    rows = read_jsonl(path)
    if not rows:
        raise InvalidData(f"{path} is empty: expected one example a line", mend=f"truemark data build {domain}")
    for number, row in enumerate(rows, 1):
        refuse_bad_row(f"{path}: example {number}", row)
    seen: set[str] = set()
    twice = sorted({row["id"] for row in rows if row["id"] in seen or seen.add(row["id"])})  # type: ignore[func-returns-value]
    if twice:
        raise InvalidData(
            f"{path}: {len(twice)} ids occur more than once, first '{twice[0]}'",
            mend=f"truemark data build {domain}",
        )
    return [cast("Example", row) for row in rows]


def refuse_bad_row(where: str, row: dict[str, Any]) -> None:
    """Raise InvalidData, beginning with `where`, for a row that is no example."""
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
