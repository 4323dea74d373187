"""The written stock: Articles, Parts, Schedules, amendments, holders of powers, and the question-answer pairs.

A pair is read strictly: unknown fields, unknown Articles and unknown kinds of keys are errors that name the file and the question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from truemark.errors import InvalidData

FOLDER = "domains.constitution"
HOLDERS = frozenset({"holder", "body"})
"""Kinds whose value is an id of holders.yaml."""
QUANTITIES = frozenset({"age", "term", "period", "number", "majority", "share", "percent", "quorum", "amount"})
"""Kinds whose value is a number with its unit: `35 years`, `two-thirds`, `15 per cent`."""
DATES = frozenset({"date"})
YEARS = frozenset({"year"})
CITED = frozenset({"amendment", "schedule", "part"})
"""Kinds whose value is a number that is cited like an Article."""
WORDS = frozenset({"words", "name", "ground", "list", "power", "duty", "status", "right", "writ"})
"""Kinds whose value is a phrase."""
KINDS = HOLDERS | QUANTITIES | DATES | YEARS | CITED | WORDS
_OPTIONS = frozenset({"accept", "rivals", "bound", "source"})


@dataclass(frozen=True)
class Key:
    """One fact that an answer must state."""

    kind: str
    value: str
    accept: tuple[str, ...] = ()
    """Other forms that count."""
    rivals: tuple[str, ...] = ()
    """Phrases that contradict it."""
    bound: str = ""
    """`min` or `max`: an answer that says the opposite ("at least" for "not more than") contradicts it."""
    source: str = ""
    """Where the fact stands when the Article's own text does not have it in these words."""

    def to_meta(self) -> dict[str, Any]:
        """As an example's meta holds it: plain JSON, empty options left out."""
        full = {"kind": self.kind, "value": self.value, "accept": list(self.accept), "rivals": list(self.rivals)}
        full |= {"bound": self.bound, "source": self.source}
        return {name: value for name, value in full.items() if value}

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> Key:
        """The key in an example's meta."""
        lists = {name: tuple(meta.get(name, ())) for name in ("accept", "rivals")}
        return cls(
            meta["kind"], str(meta["value"]), bound=meta.get("bound", ""), source=meta.get("source", ""), **lists
        )


@dataclass(frozen=True)
class Pair:
    """A question with its answer, the Articles it stands on and the facts an answer must state."""

    id: str
    part: str
    question: str
    paraphrases: tuple[str, ...]
    answer: str
    articles: tuple[str, ...]
    """All of them must be cited."""
    related: tuple[str, ...] = ()
    """These may be cited too."""
    keys: tuple[Key, ...] = ()
    also: tuple[str, ...] = field(default=())
    """True words near the answer (holders, numbers) that do not contradict it."""

    def to_meta(self, question: str) -> dict[str, Any]:
        """What the check needs of it beside the answer, as an example's meta holds it."""
        return {
            "articles": list(self.articles),
            "related": list(self.related),
            "keys": [key.to_meta() for key in self.keys],
            "also": list(self.also),
            "question": question,
        }


def _load(name: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((files(FOLDER) / name).read_text(encoding="utf-8"), Loader=loader)


@lru_cache
def articles() -> dict[str, dict[str, Any]]:
    """Every Article in the order of the Constitution: title, part, and where they apply chapter, inserted, status, omitted, note."""
    loaded: dict[str, dict[str, Any]] = _load("articles.yaml")
    return loaded


@lru_cache
def positions() -> dict[str, int]:
    """Article → its place in the order of the Constitution."""
    return {name: place for place, name in enumerate(articles())}


@lru_cache
def parts() -> dict[str, dict[str, Any]]:
    """Part → title, first and last Article."""
    loaded: dict[str, dict[str, Any]] = _load("parts.yaml")
    return loaded


@lru_cache
def schedules() -> dict[int, dict[str, Any]]:
    """Schedule → title and its Articles."""
    loaded: dict[int, dict[str, Any]] = _load("schedules.yaml")
    return loaded


@lru_cache
def amendments() -> dict[int, dict[str, Any]]:
    """Amendment → year, what it did, the main Articles it touched."""
    loaded: dict[int, dict[str, Any]] = _load("amendments.yaml")
    return loaded


@lru_cache
def holders() -> dict[str, tuple[str, ...]]:
    """Holder → the forms of its name."""
    return {name: tuple(forms) for name, forms in _load("holders.yaml").items()}


@lru_cache
def vocabulary() -> dict[str, tuple[str, ...]]:
    """Kind of phrase → every value of that kind in the stock, for `name` the States alone: what an answer may not list at random."""
    found: dict[str, list[str]] = {"name": list(_load("states.yaml"))}
    for pair in pairs():
        for key in pair.keys:
            if key.kind in WORDS - {"name"} and " & " not in key.value:
                found.setdefault(key.kind, []).append(key.value)
    return {kind: tuple(dict.fromkeys(values)) for kind, values in found.items()}


@lru_cache
def pairs() -> tuple[Pair, ...]:
    """All pairs, in the order of the files' names and of the files. Raises InvalidData with every error of a file."""
    found: list[Pair] = []
    folder = files(FOLDER) / "pairs"
    for path in sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml")):
        errors: list[str] = []
        for place, raw in enumerate(_load(f"pairs/{path}")):
            try:
                found.append(read_pair(raw, f"{path.removesuffix('.yaml')}-{place + 1:02d}"))
            except (KeyError, TypeError, ValueError) as error:
                asked = raw.get("question", "?") if isinstance(raw, dict) else "?"
                errors.append(f"{path} no. {place + 1} ({asked}): {error}")
        if errors:
            raise InvalidData("\n".join(errors))
    return tuple(found)


def read_pair(raw: dict[str, Any], id: str) -> Pair:
    unknown = set(raw) - {"question", "paraphrases", "answer", "articles", "related", "keys", "also"}
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)}")
    named = [str(name) for name in raw["articles"]]
    related = [str(name) for name in raw.get("related", ())]
    for name in [*named, *related]:
        if name not in articles() and name != "Preamble":
            raise ValueError(f"no Article {name}")
    if not named:
        raise ValueError("names no Article")
    return Pair(
        id=id,
        part="Preamble" if named[0] == "Preamble" else articles()[named[0]]["part"],
        question=raw["question"],
        paraphrases=tuple(raw.get("paraphrases", ())),
        answer=raw["answer"],
        articles=tuple(named),
        related=tuple(related),
        keys=tuple(_key(key) for key in raw["keys"]),
        also=tuple(str(word) for word in raw.get("also", ())),
    )


def _key(raw: dict[str, Any]) -> Key:
    """`{holder: president}`, `{age: 35 years, bound: min}`, `{words: Bharat, accept: [...]}`."""
    kinds = [name for name in raw if name in KINDS]
    unknown = set(raw) - set(kinds) - _OPTIONS
    if len(kinds) != 1 or unknown:
        raise ValueError(
            f"a key has one of {', '.join(sorted(KINDS))} and options {', '.join(sorted(_OPTIONS))}, not {raw}"
        )
    kind, value = kinds[0], str(raw[kinds[0]])
    if kind in HOLDERS and value not in holders():
        raise ValueError(f"no holder {value}")
    if raw.get("bound", "min") not in ("min", "max"):
        raise ValueError("bound is min or max")
    accept, rivals = (tuple(str(form) for form in raw.get(name, ())) for name in ("accept", "rivals"))
    return Key(kind, value, accept, rivals, raw.get("bound", ""), raw.get("source", ""))
