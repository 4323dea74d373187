"""Sentences that look like a rewording and say something else: a change of the content's structure, put into the operation's own forms.

>>> from random import Random
>>> from domains import get
>>> example = get("rewording").build(7, 50)["train"][0]
>>> [(kind, text) for kind, text in negatives(example, Random(1))][0]   # doctest: +SKIP
('negation', 'After the guest did not sign the form, the waiter served the dinner.')
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from domains.base import Example
from domains.rewording.contents import DAYS, MONTHS
from domains.rewording.fields import subject_fields
from domains.rewording.grammar import OTHER_UNITS, Content, Noun, Style, Unrenderable, operations, render

MODAL_CHANGES = {"must": ("may", "will"), "may": ("must", "will"), "should": ("must", "may"), "will": ("must", "may"), "can": ("must", "should")}  # fmt: skip
CHOICE_CHANGES = {
    "all": ("none", "not_all", "most", "few"), "none": ("all", "most", "not_all"), "not_all": ("all", "none"), "most": ("all", "few", "none"),
    "few": ("most", "all"), "least": ("most", "more", "exactly"), "more": ("fewer", "exactly", "least"), "fewer": ("more", "exactly", "most"),
    "exactly": ("least", "fewer"),
}  # fmt: skip
CLASS_CHANGES = {
    "must": ("may", "need_not", "should"), "may": ("must", "should"), "must_not": ("need_not", "may"), "should": ("must", "may"), "can": ("must", "should"),
    "cannot": ("need_not", "can"), "need_not": ("must_not", "must"), "might": ("must", "should"),
}  # fmt: skip
CONNECTIVES = {
    "causal": ("concession", "although"), "causal_noun": ("concession", "however"), "concession": ("causal", "because_first"),
    "temporal": ("causal", "because_first"), "conditional": ("causal", "since"),
}  # fmt: skip


def negatives(example: Example, rng: Random, per_kind: int = 1) -> Iterator[tuple[str, str]]:
    """`(kind, text)` for every kind that this example's content allows, at most `per_kind` texts of each.

    None for a sentence that the grammar did not make: what it says is not known (`meta` has no `content`).
    """
    if "content" not in example["meta"]:
        return
    content = Content.from_json(example["meta"]["content"])
    taken = {_plain(example["meta"]["source"]), _plain(example["reference"])}
    for kind, change in KINDS.items():
        changed = list(change(content, rng))
        rng.shuffle(changed)
        found = 0
        for other in changed:
            for text in _texts(other, rng, example):
                if found < per_kind and _plain(text) not in taken:
                    taken.add(_plain(text))
                    found += 1
                    yield kind, text


def hard_positives(example: Example, rng: Random, count: int = 2) -> list[str]:
    """Rewordings far from the source in form: other forms of the operation, other voice inside clauses, numbers written otherwise."""
    content, meta = Content.from_json(example["meta"]["content"]), example["meta"]
    source_form = meta["family"].split(".")[1].split("-")[0]
    barred = {source_form, *_unlike(content.operation, source_form)}
    forms = [form for form in operations()[content.operation]["forms"] if form not in barred]
    rng.shuffle(forms)
    texts: list[str] = []
    for form in forms:
        text = _try(
            content,
            form,
            Style(digits=rng.random() < 0.5, passive=content.operation not in ("passive", "nominalisation", "cleft")),
        )
        if text and _plain(text) not in {_plain(other) for other in (*texts, meta["source"], example["reference"])}:
            texts.append(text)
    return texts[:count]


def _unlike(operation: str, form: str) -> set[str]:
    return {name for group in operations()[operation].get("unlike", []) if form in group for name in group}


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _texts(content: Content, rng: Random, example: Example) -> Iterator[str]:
    """A few renderings of a changed content: the source's own form, the reference's, and one more."""
    forms = list(operations()[content.operation]["forms"])
    own = example["meta"]["family"].split(".")[1].split("-")
    same = content.operation == example["meta"]["operation"]
    order = [own[1], own[0]] if same else [example["meta"].get("form", forms[0])]
    order += rng.sample(forms, len(forms))
    for form in dict.fromkeys(form for form in order if form in forms):
        text = _try(content, form, Style())
        if text:
            yield text


def _try(content: Content, form: str, style: Style) -> str | None:
    try:
        return render(content, form, style)
    except Unrenderable:
        return None


def _negation(content: Content, rng: Random) -> Iterator[Content]:
    if content.operation in ("quantifier", "bounds", "modality", "purpose", "nominalisation"):
        names = ["a"] if content.operation in ("purpose", "nominalisation", "bounds") else []
    else:
        names = list(content.clauses)
    for name in names:
        yield content.with_clause(name, negative=not content.clauses[name].negative)


def _swapped(*operation_names: str) -> Callable[[Content, Random], Iterator[Content]]:
    def change(content: Content, rng: Random) -> Iterator[Content]:
        if content.operation in operation_names:
            yield replace(content, clauses={"a": content.clauses["b"], "b": content.clauses["a"]})

    return change


def _condition(content: Content, rng: Random) -> Iterator[Content]:
    if content.operation == "conditional":
        yield from _swapped("conditional")(content, rng)
    if content.operation == "exception":
        yield replace(content, operation="conditional")


def _quantifier(content: Content, rng: Random) -> Iterator[Content]:
    if content.operation in ("quantifier", "bounds"):
        for choice in CHOICE_CHANGES[content.choice]:
            yield replace(content, choice=choice)


def _modality(content: Content, rng: Random) -> Iterator[Content]:
    if content.operation == "modality":
        for choice in CLASS_CHANGES[content.choice]:
            yield replace(content, choice=choice)
    for name, clause in content.clauses.items():
        changes: tuple[str, ...] = MODAL_CHANGES.get(clause.modal, ())
        if clause.negative:  # must not, may not and cannot come to the same; will not does not
            changes = ("must",) if clause.modal == "will" else (("will",) if clause.modal else ())
        for modal in changes:
            yield content.with_clause(name, modal=modal)


def _number(content: Content, rng: Random) -> Iterator[Content]:
    for name, clause in content.clauses.items():
        if clause.amount:
            yield content.with_clause(name, amount=_other(clause.amount, rng))
        for key in ("subject", "object"):
            phrase = getattr(clause, key)
            if phrase is not None and phrase.count:
                yield content.with_clause(name, **{key: replace(phrase, count=_other(phrase.count, rng))})
    time = content.words.get("time", "")
    if time[-4:].isdigit():
        year = int(time[-4:])
        yield replace(content, words={**content.words, "time": f"in {rng.choice((year - 1, year + 2, year + 10))}"})


def _other(value: int, rng: Random) -> int:
    return rng.choice([number for number in (value + 1, value + 2, value * 2, value * 10, value - 1) if number > 1])


def _unit(content: Content, rng: Random) -> Iterator[Content]:
    for name, clause in content.clauses.items():
        if clause.unit:
            for unit in OTHER_UNITS[clause.unit]:
                yield content.with_clause(name, unit=unit)


def _entity(content: Content, rng: Random) -> Iterator[Content]:
    """Another person, another named person, another day or month."""
    data = subject_fields()[content.subject_field].data
    people = [f"the {name}" for name in data["people"]]
    here = {phrase.text for clause in content.clauses.values() for phrase in (clause.subject, clause.object) if phrase}
    here |= set(content.words.values())
    others = [name for name in people if name not in here]
    for name, clause in content.clauses.items():
        for key in ("subject", "object"):
            phrase = getattr(clause, key)
            if (
                isinstance(phrase, Noun)
                and phrase.person
                and phrase.text in people
                and content.operation not in ("relative", "purpose")
            ):
                yield content.with_clause(name, **{key: replace(phrase, text=rng.choice(others))})
    words = content.words
    if words.get("who") in data["names"]:
        who = rng.choice([name for name in data["names"] if name != words["who"]])
        clauses = {
            name: replace(clause, subject=replace(clause.subject, text=who))
            if clause.subject.text == words["who"]
            else clause
            for name, clause in content.clauses.items()
        }
        yield replace(content, words={**words, "who": who}, clauses=clauses)
    for names in (DAYS, MONTHS):
        last = words.get("time", "").rpartition(" ")[2]
        if last in names:
            other = rng.choice([name for name in names if name != last])
            yield replace(content, words={**words, "time": words["time"].replace(last, other)})


def _role(content: Content, rng: Random) -> Iterator[Content]:
    """Agent and patient exchanged, where either could be either; giver and receiver likewise."""
    for name, clause in content.clauses.items():
        if clause.object and clause.object.person and clause.subject.person and content.operation != "relative":
            swapped = content.with_clause(name, subject=clause.object, object=clause.subject)
            if content.operation == "apposition":
                continue
            yield swapped
    if "to" in content.words:
        giver = content.clauses["a"].subject
        swapped = content.with_clause("a", subject=replace(giver, text=content.words["to"]))
        yield replace(swapped, words={**content.words, "to": giver.text})


def _comparison(content: Content, rng: Random) -> Iterator[Content]:
    words = content.words
    if content.operation == "comparison":
        yield replace(content, words={**words, "x": words["y"], "y": words["x"]})
        yield replace(content, words={**words, "more": words["less"], "less": words["more"]})


def _connective(content: Content, rng: Random) -> Iterator[Content]:
    """Because said as although, if as because, unless as if: both clauses as they were, another relation between them."""
    if content.operation in CONNECTIVES:
        other, _ = CONNECTIVES[content.operation]
        yield replace(content, operation=other)


KINDS: dict[str, Callable[[Content, Random], Iterator[Content]]] = {
    "negation": _negation,
    "quantifier": _quantifier,
    "number": _number,
    "unit": _unit,
    "entity": _entity,
    "role": _role,
    "comparison": _comparison,
    "modality": _modality,
    "cause": _swapped("causal", "causal_noun"),
    "time": _swapped("temporal"),
    "condition": _condition,
    "connective": _connective,
}
KIND_LINES = {
    "negation": "a negation dropped or added",
    "quantifier": "all, most, few, none, at least, at most exchanged",
    "number": "another number",
    "unit": "another unit",
    "entity": "another person, day or month",
    "role": "who did it and to whom it was done exchanged",
    "comparison": "a comparison turned round",
    "modality": "must, may, should, need not exchanged",
    "cause": "cause and effect exchanged",
    "time": "earlier and later exchanged",
    "condition": "condition and consequence exchanged, or if for unless",
    "connective": "although for because, because for if or after",
}
