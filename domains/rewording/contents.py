"""Draws what a sentence says: one function per kind of content, over the phrases of a subject field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from domains.rewording.fields import SubjectField, names, person, read_clause, read_noun
from domains.rewording.grammar import Clause, Content, Noun

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "March", "April", "June", "July", "September", "October", "November")
MODALS = ("must", "may", "should", "will", "must not", "cannot")
PAST_TIMES: tuple[Callable[[Random], str], ...] = (
    lambda rng: f"on {rng.choice(DAYS)}",
    lambda rng: f"in {rng.choice(MONTHS)}",
    lambda rng: f"in {rng.randint(1960, 2024)}",
    lambda rng: f"{rng.choice(('two', 'three', 'five', 'ten'))} {rng.choice(('days', 'weeks', 'months'))} ago",
    lambda rng: rng.choice(("yesterday", "last week", "last night", "this morning", "at noon", "during the break")),
)
FUTURE_TIMES: tuple[Callable[[Random], str], ...] = (
    lambda rng: f"on {rng.choice(DAYS)}",
    lambda rng: f"before {rng.randint(7, 11)} o'clock",
    lambda rng: rng.choice(("tomorrow", "next week", "tonight", "this evening", "at noon")),
)


def draw(kind: str, operation: str, where: SubjectField, rng: Random) -> Content:
    """A content of the kind that an operation rewords."""
    return KINDS[kind](Content(operation, where.name), where.data, rng)


def _time(rng: Random, past: bool = True) -> str:
    return rng.choice(PAST_TIMES if past else FUTURE_TIMES)(rng)


def _event(data: dict[str, Any], rng: Random, named: bool = False, mutual: float = 0.35) -> Clause:
    """Somebody does something to something, or to somebody who could do it to them."""
    if not named and rng.random() < mutual:
        people, verbs = (names(part) for part in rng.choice(data["mutual"]).split("|"))
        agent, other = rng.sample(people, 2)
        return Clause(person(agent), rng.choice(verbs), person(other))
    rows = [row for row in data["events"] if ">" in row] if named else data["events"]
    people_text, verb_text, things = rng.choice(rows).split("|")
    verb, _, noun = verb_text.strip().partition(" > ")
    thing = read_noun(rng.choice(names(things)), rng)
    return Clause(person(rng.choice(names(people_text))), verb, thing, noun=noun)


def _coloured(clause: Clause, rng: Random, modal: float = 0.25, negative: float = 0.12) -> Clause:
    """A modal, or a negation, now and then."""
    if rng.random() < modal:
        word, _, no = rng.choice(MODALS).replace("cannot", "can not").partition(" ")
        return replace(clause, modal=word, negative=bool(no))
    return replace(clause, negative=rng.random() < negative)


def event(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """One event and its time."""
    clause = _coloured(_event(data, rng), rng)
    return replace(content, clauses={"a": clause}, words={"time": _time(rng, not clause.modal)})


def named_event(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """An event that has a nominalisation."""
    return replace(content, clauses={"a": _event(data, rng, named=True)}, words={"time": _time(rng)})


def _pair(first: Any, second: Any, rng: Random, tense: str, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Clause]:  # fmt: skip
    return {
        "a": read_clause(rng.choice([text for text in first if wanted(text)]), rng, tense),
        "b": read_clause(rng.choice(second), rng, tense),
    }


def rule(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """A condition and what follows."""
    found = rng.choice(data["rules"])
    clauses = _pair(found["if"], found["then"], rng, "present")
    if clauses["b"].modal and rng.random() < 0.5:
        clauses["b"] = replace(clauses["b"], modal=rng.choice(("must", "may", "should", "will")), negative=rng.random() < 0.2)  # fmt: skip
    return replace(content, clauses=clauses)


def exception(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """What happens unless."""
    found = rng.choice(data["unless"])
    clauses = _pair(found["if"], found["then"], rng, "present")
    if rng.random() < 0.5:
        clauses["b"] = replace(clauses["b"], modal=rng.choice(("must", "may", "will")))
    return replace(content, clauses=clauses)


def cause(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """A cause and its effect."""
    found = rng.choice(data["causes"])
    return replace(content, clauses=_pair(found["because"], found["so"], rng, "past"))


def named_cause(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """A cause that has a nominalisation."""
    found = rng.choice([row for row in data["causes"] if any(">" in text for text in row["because"])])
    return replace(content, clauses=_pair(found["because"], found["so"], rng, "past", lambda text: ">" in text))


def concession(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """A cause without its effect."""
    found = cause(content, data, rng)
    return found.with_clause("b", negative=True)


def steps(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """Two steps of a procedure, in their order."""
    chain = rng.choice(data["steps"])
    first, second = sorted(rng.sample(range(len(chain)), 2))
    clauses = {"a": read_clause(chain[first], rng), "b": read_clause(chain[second], rng)}
    return replace(content, clauses=clauses)


def two_events(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """Two things that one person did."""
    first = _event(data, rng, mutual=0.6)
    for _ in range(200):
        second = _event(data, rng, mutual=0.5)
        if second.subject == first.subject and second.verb != first.verb and second.object != first.object:
            break
    else:
        second = replace(_event(data, rng, mutual=0), subject=first.subject)
    return replace(content, clauses={"a": first, "b": second})


def _set(data: dict[str, Any], rng: Random) -> Clause:
    members, verb, rest = (part.strip() for part in rng.choice(data["sets"]).split("|"))
    return Clause(Noun(rng.choice(names(members)), plural=True), verb, Noun(rest))


def quantified(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """A predicate of all, most, few, none of a set."""
    return replace(content, clauses={"a": _set(data, rng)}, choice=rng.choice(("all", "none", "not_all", "most", "few")))  # fmt: skip


def bound(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """At least, at most, more than … so many."""
    clause = replace(_set(data, rng), amount=rng.choice((*range(3, 20), *range(20, 100, 10), 1200, 2500)))
    return replace(content, clauses={"a": clause}, choice=rng.choice(("least", "most", "more", "fewer", "exactly")))


def modal_event(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """What somebody must, may, can … do."""
    choice = rng.choice(("must", "may", "must_not", "should", "can", "cannot", "need_not", "might"))
    return replace(content, clauses={"a": _event(data, rng, mutual=0.2)}, choice=choice)


def comparison(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """Two things on a scale."""
    found = rng.choice(data["compare"])
    x, y = rng.sample(found["things"], 2)
    scale = rng.choice(found["scales"])
    _, more, _, less = scale if rng.random() < 0.5 else scale[2:] + scale[:2]
    return replace(content, words={"x": x, "y": y, "more": more, "less": less, "is": rng.choice(("is", "was"))})


def purpose(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """What somebody did, and what for."""
    people, verb, thing, aim, end = (part.strip() for part in rng.choice(data["purposes"]).split("|"))
    agent = person(rng.choice(names(people)))
    clauses = {
        "a": replace(Clause(agent, verb, read_noun(thing, rng)), tense=rng.choice(("past", "past", "present"))),
        "b": Clause(agent, aim, read_noun(end, rng)),
    }
    return replace(content, clauses=clauses)


def opposite(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """A predicate that has a complement."""
    subject, verb, rest, *_ = [part.strip() for part in rng.choice(data["opposites"]).split("|")] + [""]
    pair = [part.strip() for part in (rest if verb == "be" else verb).split("/")]
    rng.shuffle(pair)
    tense, negative = rng.choice(("past", "present")), rng.random() < 0.4
    if verb == "be":
        clause = Clause(Noun(subject), "be", None, pair[0], tense, negative, opposite=pair[1])
    else:
        clause = Clause(Noun(subject, person=True), pair[0], read_noun(rest, rng), "", tense, negative, opposite=pair[1])  # fmt: skip
    return replace(content, clauses={"a": clause})


def measure(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """Something measured, at some time."""
    return replace(content, clauses={"a": read_clause(rng.choice(data["measures"]), rng)}, words={"time": _time(rng)})


def contains(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """A place and how many things are in it."""
    place, things = rng.choice(data["contains"]).split("|")
    clause = Clause(Noun(place.strip()), "contain", read_noun(things, rng), tense=rng.choice(("past", "present")))
    return replace(content, clauses={"a": clause})


def reported(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """What somebody said of somebody else."""
    clause = _event(data, rng)
    others = [name for name in data["people"] if f"the {name}" not in (clause.subject.text, clause.object and clause.object.text)]  # fmt: skip
    who = rng.choice([f"the {name}" for name in others] + list(data["names"]))
    return replace(content, clauses={"a": clause}, words={"who": who, "time": _time(rng)})


def gift(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """Who gave whom what."""
    givers, verbs, things, receivers = (names(part) for part in rng.choice(data["gifts"]).split("|"))
    clause = Clause(person(rng.choice(givers)), rng.choice(verbs), read_noun(rng.choice(things), rng))
    return replace(content, clauses={"a": clause}, words={"to": f"the {rng.choice(receivers)}", "time": _time(rng)})


def role(content: Content, data: dict[str, Any], rng: Random) -> Content:
    """What a named person of a certain role did."""
    who = rng.choice(list(data["names"]))
    clause = replace(_event(data, rng, mutual=0.2), subject=Noun(who, person=True))
    return replace(content, clauses={"a": clause}, words={"who": who, "role": data["names"][who], "time": _time(rng)})


KINDS: dict[str, Callable[[Content, dict[str, Any], Random], Content]] = {
    "event": event, "named_event": named_event, "rule": rule, "exception": exception, "cause": cause, "named_cause": named_cause,
    "concession": concession, "steps": steps, "two_events": two_events, "set": quantified, "bound": bound, "modal_event": modal_event,
    "comparison": comparison, "purpose": purpose, "opposite": opposite, "measure": measure, "contains": contains, "reported": reported,
    "gift": gift, "role": role,
}  # fmt: skip
