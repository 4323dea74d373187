"""The subject fields (fields/*.yaml) read into clauses. A field belongs to one split, so no content does to two.

A clause is written `subject | verb > noun | object | rest`; `~` ends a plural phrase, `{n:2-9}` draws a count, `{m:distance}` an amount.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from random import Random
from typing import Any

from domains.rewording.grammar import COPULAS, UNITS, Clause, Noun

_COUNT = re.compile(r"\{n:(\d+)-(\d+)\}\s*")
_MODALS = ("must", "may", "should", "can", "will")


@dataclass(frozen=True)
class SubjectField:
    """One file of fields/."""

    name: str
    split: str
    data: dict[str, Any]


@lru_cache
def subject_fields() -> dict[str, SubjectField]:
    """All fields by name, in the order of their names."""
    import yaml

    found = {}
    for path in sorted((files("domains.rewording") / "fields").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".yaml"):
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
            found[path.name[:-5]] = SubjectField(path.name[:-5], data["split"], data)
    return found


def of_split(split: str) -> list[SubjectField]:
    """The fields of a split."""
    return [found for found in subject_fields().values() if found.split == split]


def read_noun(text: str, rng: Random) -> Noun:
    """A noun phrase; draws its count."""
    text = text.strip()
    if match := _COUNT.match(text):
        return Noun(text[match.end() :], True, _round(rng, int(match[1]), int(match[2])))
    return Noun(text.removesuffix("~"), text.endswith("~"))


def _round(rng: Random, low: int, high: int) -> int:
    return rng.randrange(low, high + 1, 10) if high >= 100 else rng.randint(low, high)


def read_clause(text: str, rng: Random, tense: str = "past") -> Clause:
    """A clause; draws its counts and amounts."""
    parts = [part.strip() for part in text.split("|")] + ["", ""]
    verb, _, noun = parts[1].partition(" > ")
    modal = next((modal for modal in _MODALS if verb.startswith(modal + " ")), "")
    verb = verb.removeprefix(modal).strip()
    subject, object_text, rest = read_noun(parts[0], rng), parts[2], parts[3]
    if subject.text == "customs":
        subject = Noun("customs", True)
    amount, unit = 0, ""
    if object_text.startswith("{m:"):
        unit = UNITS[object_text[3:-1]]
        amount, rest, object_text = rng.randint(2, 9), "{m}", ""
    if verb in COPULAS and object_text:
        rest, object_text = object_text, ""
    return Clause(
        subject, verb, read_noun(object_text, rng) if object_text else None, rest, tense, False, modal, noun.strip(), "", amount, unit
    )  # fmt: skip


def person(name: str) -> Noun:
    """A person by occupation."""
    return Noun(f"the {name}", person=True)


def names(text: str) -> list[str]:
    """A comma-separated list."""
    return [part.strip() for part in text.split(",")]
