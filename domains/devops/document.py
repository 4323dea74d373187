"""A YAML file as plain data with line numbers, read as the untrusted text it may be (a model may have written it).

    >>> read("a: 0.10\\nb: [0640, no]\\n").data
    {'a': Decimal('0.10'), 'b': ['0640', 'no']}

What is refused, each with its line: anchors, aliases and `<<` (an alias bomb is small on disk and endless in memory), tags (`!!python/object`), duplicate keys, a second
document, and anything beyond the bounds below. Plain scalars are whole numbers, decimals (kept exact), `true`, `false`, `null`, else text: YAML 1.1's surprises
(`no` → False, `0640` → 416, `10:30` → 630) do not happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from truemark.errors import InvalidConfig

MAX_BYTES = 400_000
MAX_DEPTH = 12
MAX_NODES = 40_000
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,29})\Z")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,29})\.[0-9]{1,30}\Z")
_CONSTANTS = {"true": True, "false": False, "null": None, "": None, "~": None}
PathKey = tuple[str | int, ...]


@dataclass
class Document:
    """The data of a file, and where each part of it stands."""

    name: str
    data: Any
    lines: dict[PathKey, int] = field(default_factory=dict)
    """Path of keys → line, counted from 1."""

    def line(self, path: tuple[Any, ...]) -> int:
        """The line of the nearest part of `path` that the file has."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1

    def where(self, path: tuple[Any, ...]) -> str:
        """`physics.yaml:12: blueprints.cart.slots`."""
        return f"{self.name}:{self.line(path)}: {'.'.join(str(part) for part in path) or 'the file'}"


def load(path: Path) -> Document:
    """Read a file. Raises InvalidConfig."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidConfig(f"{path}: {size} bytes, at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(
            f"cannot read {path} as UTF-8 text: {error}", mend="truemark data new-blueprint NAME"
        ) from None
    return read(text, str(path))


def read(text: str, name: str = "blueprint.yaml") -> Document:
    """Read a text. Raises InvalidConfig."""
    import yaml

    if len(text) > MAX_BYTES:
        raise InvalidConfig(f"{name}: {len(text)} characters, at most {MAX_BYTES}")
    document = Document(name, None)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document.data = _Reader(yaml.parse(text, Loader=loader), document).whole()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InvalidConfig(f"{name}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{name}:1: not YAML: {error}") from None
    return document


class _Reader:
    """Events of a YAML parser → data. The parser keeps its own stack, and depth is bounded here before Python's would matter."""

    def __init__(self, events: Iterator[Any], document: Document) -> None:
        self.events = events
        self.document = document
        self.nodes = 0

    def whole(self) -> Any:
        data, documents = None, 0
        for event in self.events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    self.refuse(event, "a second document in the file")
            elif kind not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                data = self.node(event, ())
        return data

    def node(self, event: Any, path: PathKey) -> Any:
        kind = type(event).__name__
        self.nodes += 1
        if kind == "AliasEvent" or event.anchor:
            self.refuse(event, "anchors and aliases are not taken: write the part out")
        if event.tag:
            self.refuse(event, f"tags are not taken, found {str(event.tag)[:60]!r}")
        if self.nodes > MAX_NODES:
            self.refuse(event, f"more than {MAX_NODES} values")
        if len(path) > MAX_DEPTH:
            self.refuse(event, f"nested deeper than {MAX_DEPTH}")
        self.document.lines.setdefault(path, event.start_mark.line + 1)
        if kind == "ScalarEvent":
            return self.scalar(event)
        return self.mapping(path) if kind == "MappingStartEvent" else self.sequence(path)

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.style in ("'", '"', "|", ">"):
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        return int(text) if _WHOLE.match(text) else Decimal(text) if _DECIMAL.match(text) else text

    def sequence(self, path: PathKey) -> list[Any]:
        items: list[Any] = []
        while type(event := next(self.events)).__name__ != "SequenceEndEvent":
            items.append(self.node(event, (*path, len(items))))
        return items

    def mapping(self, path: PathKey) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while type(event := next(self.events)).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                self.refuse(event, "a key must be a text")
            self.node(event, path)
            key = str(event.value)
            if key in found:
                self.refuse(event, f"the key {key[:60]!r} stands twice")
            if key == "<<":
                self.refuse(event, "merge keys are not taken: write the part out")
            self.document.lines[(*path, key)] = event.start_mark.line + 1
            found[key] = self.node(next(self.events), (*path, key))
        return found

    def refuse(self, event: Any, message: str) -> None:
        raise InvalidConfig(f"{self.document.name}:{event.start_mark.line + 1}: {message}")
