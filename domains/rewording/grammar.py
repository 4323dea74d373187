"""Clauses as structure, and the forms of operations.yaml that put them into words.

A Content is what a sentence says; every form of its operation is a rewording of it, and a Content that was changed gives a sentence
with another meaning (negatives.py). Nothing here is seen by the metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from domains.rewording.english import gerund, number_words, participle, past, singular, third

COPULAS = ("be", "become", "remain", "stay", "go", "turn", "run")
CONVERTED = {"km": ("m", 1000), "hours": ("minutes", 60), "kg": ("grams", 1000)}
"""The unit that says the same otherwise."""
OTHER_UNITS = {"km": ("miles", "metres"), "hours": ("days", "minutes"), "kg": ("pounds", "grams")}
"""Units that say another thing with the same number."""
UNITS = {"distance": "km", "duration": "hours", "weight": "kg"}


@dataclass(frozen=True)
class Noun:
    """A noun phrase: `text` with its article, or without one where `count` stands before it."""

    text: str
    plural: bool = False
    count: int = 0
    person: bool = False


@dataclass(frozen=True)
class Clause:
    """Subject, verb, object and what follows."""

    subject: Noun
    verb: str
    object: Noun | None = None
    rest: str = ""
    tense: str = "past"
    negative: bool = False
    modal: str = ""
    noun: str = ""
    """The nominalisation, where it reads well."""
    opposite: str = ""
    """The verb or adjective of which this clause is the denial."""
    amount: int = 0
    unit: str = ""


@dataclass(frozen=True)
class Content:
    """What a sentence says."""

    operation: str
    subject_field: str
    clauses: dict[str, Clause] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    """Time, names, scale and the like, by slot."""
    choice: str = ""
    """The class of quantifier, bound or modal."""

    def to_json(self) -> dict[str, Any]:
        """As an example's meta holds it: empty fields left out."""
        value = asdict(self)
        value["clauses"] = {name: _lean(clause) for name, clause in value["clauses"].items()}
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Content:
        """What `to_json` gave."""
        clauses = {name: _clause(clause) for name, clause in value["clauses"].items()}
        return cls(**{**value, "clauses": clauses})

    def with_clause(self, name: str, **changes: Any) -> Content:
        """The same with one clause changed."""
        return replace(self, clauses={**self.clauses, name: replace(self.clauses[name], **changes)})


def _lean(clause: dict[str, Any]) -> dict[str, Any]:
    nouns = {key: {k: v for k, v in clause[key].items() if v} for key in ("subject", "object") if clause[key]}
    return {key: value for key, value in {**clause, **nouns}.items() if value}


def _clause(value: dict[str, Any]) -> Clause:
    nouns = {key: Noun(**value[key]) for key in ("subject", "object") if value.get(key)}
    return Clause(**{**value, **nouns})


class Unrenderable(Exception):
    """This form cannot say this content (a noun phrase cannot be negated, …)."""


@dataclass(frozen=True)
class Style:
    """Choices that leave the meaning as it is."""

    digits: bool = False
    passive: bool = False
    """Clauses with an agent and an object are put into the passive where a form asks for a plain clause."""


@lru_cache
def operations() -> dict[str, dict[str, Any]]:
    """operations.yaml."""
    import yaml

    loaded: dict[str, dict[str, Any]] = yaml.safe_load(
        (files("domains.rewording") / "operations.yaml").read_text(encoding="utf-8")
    )
    return loaded


def render(content: Content, form: str, style: Style = Style()) -> str:
    """The sentence. Raises Unrenderable where this form has no words for it."""
    template = operations()[content.operation]["forms"][form]
    if isinstance(template, dict):
        if content.choice not in template:
            raise Unrenderable(content.choice)
        template = template[content.choice]
    text = re.sub(r"\{(\w+)(?::([\w.]+))?\}", lambda match: _slot(content, match[1], match[2] or "", style), template)
    text = re.sub(r"\s+", " ", text).replace(" .", ".").replace(" ,", ",").strip(" ,")
    return re.sub(r"(^|[.] )([a-z])", lambda match: match[1] + match[2].upper(), text)


def _slot(content: Content, name: str, what: str, style: Style) -> str:
    if name in content.clauses:
        return RENDERERS[what](content.clauses[name], content, style)
    if name == "be":
        return _be(content.clauses["a"].tense, plural=True) + (" not" if content.clauses["a"].negative else "")
    if name == "holds":
        return verb(content.clauses["a"])
    return content.words.get(name, "")


def noun(phrase: Noun, style: Style) -> str:
    """A noun phrase in words."""
    if not phrase.count:
        return phrase.text
    return f"{count(phrase.count, style)} {phrase.text}"


def count(value: int, style: Style) -> str:
    """A number in words (small ones) or digits."""
    return f"{value:,}" if style.digits or value > 20 else number_words(value)


def _be(tense: str, plural: bool) -> str:
    if tense == "past":
        return "were" if plural else "was"
    return "are" if plural else "is"


def _is_plural(phrase: Noun) -> bool:
    return phrase.plural or phrase.count > 1


def _rest(clause: Clause, style: Style, converted: bool = False) -> str:
    if not clause.amount:
        return clause.rest
    amount, unit = clause.amount, clause.unit
    if converted and unit in CONVERTED:
        amount, unit = amount * CONVERTED[unit][1], CONVERTED[unit][0]
    return clause.rest.replace("{m}", f"{count(amount, style)} {unit}")


def verb(clause: Clause, plural: bool | None = None, do: bool = True) -> str:
    """The finite verb with its auxiliary and negation."""
    plural = _is_plural(clause.subject) if plural is None else plural
    base = clause.verb
    if clause.modal:
        return f"{clause.modal}{' not' if clause.negative else ''} {base}"
    if base == "be":
        return _be(clause.tense, plural) + (" not" if clause.negative else "")
    if clause.negative and do:
        auxiliary = "did" if clause.tense == "past" else ("do" if plural else "does")
        return f"{auxiliary} not {base}"
    if clause.tense == "past":
        return past(base)
    return base if plural else third(base)


def _tail(clause: Clause, style: Style, converted: bool = False) -> str:
    after = noun(clause.object, style) if clause.object else ""
    return f" {after} {_rest(clause, style, converted)}".rstrip()


def _finite(clause: Clause, content: Content, style: Style) -> str:
    if style.passive and clause.object and clause.subject.person:
        return _passive(clause, content, style)
    return f"{noun(clause.subject, style)} {verb(clause)}{_tail(clause, style)}"


def _passive(clause: Clause, content: Content, style: Style) -> str:
    if clause.object is None or clause.verb in ("have", "contain", "exceed", "lose"):
        raise Unrenderable("no passive")
    not_ = " not" if clause.negative else ""
    if clause.modal:
        auxiliary = f"{clause.modal}{not_} be"
    else:
        auxiliary = _be(clause.tense, _is_plural(clause.object)) + not_
    by = f"by {noun(clause.subject, style)}"
    return f"{noun(clause.object, style)} {auxiliary} {participle(clause.verb)} {by} {_rest(clause, style)}".rstrip()


def _nominal(clause: Clause, content: Content, style: Style) -> str:
    if not clause.noun or clause.negative or clause.modal:
        raise Unrenderable("no noun")
    if clause.object:
        return f"the {clause.noun} of {noun(clause.object, style)} by {noun(clause.subject, style)}"
    return f"the {clause.noun} of {noun(clause.subject, style)}"


def _bare_noun(clause: Clause, content: Content, style: Style) -> str:
    if not clause.noun or clause.negative or clause.modal:
        raise Unrenderable("no noun")
    return clause.noun


def _opposite(clause: Clause, content: Content, style: Style) -> str:
    if clause.verb == "be":
        return _finite(replace(clause, rest=clause.opposite, negative=not clause.negative), content, style)
    return _finite(replace(clause, verb=clause.opposite, negative=not clause.negative), content, style)


def _object(clause: Clause, style: Style) -> str:
    if clause.object is None:
        raise Unrenderable("no object")
    return noun(clause.object, style)


def _thing(clause: Clause, style: Style) -> str:
    if clause.object is not None and clause.object.person:
        raise Unrenderable("not a thing")
    return _object(clause, style)


def _not(clause: Clause) -> Clause:
    return replace(clause, negative=not clause.negative)


def _members(clause: Clause) -> str:
    return clause.subject.text


RENDERERS: dict[str, Callable[[Clause, Content, Style], str]] = {
    "": _finite,
    "not": lambda c, k, s: _finite(_not(c), k, s),
    "passive": _passive,
    "opposite": _opposite,
    "converted": lambda c, k, s: f"{noun(c.subject, s)} {verb(c)}{_tail(c, s, converted=True)}",
    "nominal": _nominal,
    "noun": _bare_noun,
    "s": lambda c, k, s: noun(c.subject, s),
    "o": lambda c, k, s: _object(c, s),
    "thing": lambda c, k, s: _thing(c, s),
    "v": lambda c, k, s: verb(c),
    "vp": lambda c, k, s: verb(c) + _tail(c, s),
    "vp1": lambda c, k, s: verb(c, plural=False) + _tail(c, s),
    "vpn": lambda c, k, s: verb(_not(c)) + _tail(c, s),
    "vp1n": lambda c, k, s: verb(_not(c), plural=False) + _tail(c, s),
    "inf": lambda c, k, s: c.verb + _tail(c, s),
    "ger": lambda c, k, s: gerund(c.verb) + _tail(c, s),
    "pp": lambda c, k, s: participle(c.verb),
    "was.o": lambda c, k, s: _was(c, c.object),
    "was.to": lambda c, k, s: _was(c, None),
    "members": lambda c, k, s: _members(c),
    "member": lambda c, k, s: singular(_members(c)),
    "n": lambda c, k, s: count(c.amount, s),
}


def _was(clause: Clause, phrase: Noun | None) -> str:
    return _be(clause.tense, bool(phrase and _is_plural(phrase))) + (" not" if clause.negative else "")
