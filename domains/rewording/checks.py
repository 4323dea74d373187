"""The twelve sub-checks of logic-coherence. Each says agree, differ or absent of two readings, and calls a conflict only on evidence for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domains.rewording.english import irregular_forms
from domains.rewording.keys import antonyms, key, scale_names, scales, uncompared
from domains.rewording.relations import Amount, Relation, amounts, comparisons, names, relations
from domains.rewording.structure import Predicate, Reading

DIFFER, WEAK = 0.35, 0.8
"""What a conflict leaves of the score, and what a sub-check leaves that finds something in one text alone."""


@dataclass(frozen=True)
class Finding:
    """What one sub-check says."""

    verdict: str
    """`agree`, `differ` or `absent`."""
    evidence: str = ""
    factor: float = 1.0
    """What it leaves of the score."""

    def to_json(self) -> dict[str, str]:
        """For a verdict's detail."""
        return {"verdict": self.verdict, "evidence": self.evidence}


def _agree(evidence: str = "") -> Finding:
    return Finding("agree", evidence)


def _differ(evidence: str, factor: float = DIFFER) -> Finding:
    return Finding("differ", evidence, factor)


def _absent(evidence: str = "", factor: float = 1.0) -> Finding:
    return Finding("absent", evidence, factor)


def _parity(text: Reading) -> dict[str, set[int]]:
    """Key of each content word → the polarities it occurs with; a word of a complementary pair counts for its opposite denied."""
    found: dict[str, set[int]] = {}
    denied = {name: times % 2 for name, times in text.denied.items()}
    for index in range(len(text.tokens)):
        low = text.tokens[index].low
        if not text.key(index) or uncompared(low) or (index and text.tokens[index - 1].low in ("more", "less")):
            continue  # a comparative says nothing of its pair: what is wetter need not be wet
        word = key(low)
        pair, sign = antonyms().get(word, (word, 0))
        found.setdefault(pair, set()).add((denied.get(word, 0) + sign) % 2)
    return found


def _negation(a: Reading, b: Reading) -> Finding:
    """The same things are denied."""
    left, right = _parity(a), _parity(b)
    for name in sorted(left.keys() & right.keys()):
        if left[name] != right[name]:
            return _differ(f"'{name}' is denied in one text and not in the other")
    loose = _loose_denials(a, right) - _loose_denials(b, left)
    if loose % 2:
        return _differ("one text denies what the other affirms", 0.5)
    return _agree() if a.denied or b.denied else _absent()


def _loose_denials(text: Reading, other: dict[str, set[int]]) -> int:
    """Denials of words that the other text does not have."""
    return sum(times for name, times in text.denied.items() if antonyms().get(name, (name, 0))[0] not in other)


def _quantifiers(text: Reading) -> set[str]:
    found = {
        tag
        for tag in text.tags
        if tag in ("ALL", "MOST", "FEW", "SOME", "MANY", "NOTALL", "NO", "OFTEN", "RARELY", "SOMETIMES")
    }
    odd = any(times % 2 for times in text.denied.values())
    if "SOME" in found and odd and "NO" not in found:
        found = (found - {"SOME"}) | {"NOTALL"}
    if "NO" in found and "NOT" in text.tags and any(times % 2 == 0 for times in text.denied.values()):
        found = (found - {"NO"}) | {"ALL"}
    return found - {"NO", "SOME", "MANY"} if len(found) > 1 else found


def _only(text: Reading) -> bool:
    return any(token.low in ("only", "solely", "exclusively") for token in text.tokens)


def _quantifier(a: Reading, b: Reading) -> Finding:
    """All, most, few, none, often, rarely; at least, at most (with the numbers)."""
    left, right = _quantifiers(a), _quantifiers(b)
    if left == right:
        if _only(a) != _only(b):
            return _absent("'only' in one text alone", WEAK)
        return _agree() if left else _absent()
    words = f"{', '.join(sorted(left)) or 'nothing'} became {', '.join(sorted(right)) or 'nothing'}".lower()
    if not left or not right:
        only = left or right
        if only <= {"SOME", "MANY", "NO", "SOMETIMES"}:
            return _absent(words, 0.95)
        return _absent(words, 0.7) if only <= {"ALL"} else _differ(words, 0.5)
    return _differ(words)


def _number(a: Reading, b: Reading) -> Finding:
    """The same amounts of the same things, in whatever words, digits and units."""
    left, right = amounts(a), amounts(b)
    if not left and not right:
        return _absent()
    rest = list(right)
    for amount in left:
        same = [other for other in rest if _same_amount(amount, other)]
        match = next((other for other in same if other.of == amount.of), same[0] if same else None)
        if match is None:
            return _differ(f"{amount.text}: no such amount in the text")
        if amount.of != match.of and amount.of in {o.of for o in right} and match.of in {o.of for o in left}:
            return _differ(f"{amount.text}: became that many {match.of}")
        if not _same_bound(amount.bound, match.bound):
            return _differ(f"{amount.text}: bound '{amount.bound}' became '{match.bound}'")
        rest.remove(match)
    if rest:
        return _differ(f"{rest[0].text}: no such amount in the source")
    return _agree(", ".join(amount.text for amount in left))


def _same_amount(a: Amount, b: Amount) -> bool:
    if abs(a.value - b.value) > 1e-4 * max(1.0, abs(a.value)) or a.value == float("inf"):
        return a.value == b.value == float("inf") and a.text == b.text
    if a.unit and b.unit:
        return a.unit == b.unit
    return True


def _same_bound(a: str, b: str) -> bool:
    return a == b or {a, b} == {"", "="}


def _entity(a: Reading, b: Reading) -> Finding:
    """The same names, and the same `from` and `to`."""
    sure_a, maybe_a = names(a)
    sure_b, maybe_b = names(b)
    lost = sorted(name for name in sure_a - maybe_b if not _mentioned(name, b))
    new = sorted(name for name in sure_b - maybe_a if not _mentioned(name, a))
    if lost or new:
        both = "lost " + ", ".join(lost) if lost else ""
        return _differ(
            "; ".join(part for part in (both, "new " + ", ".join(new) if new else "") if part),
            DIFFER if lost and new else 0.5,
        )
    for name in sorted(sure_a & sure_b):
        ways = {_way(a, name), _way(b, name)}
        if ways == {"from", "to"}:
            return _differ(f"from and to {name}")
    return _agree(", ".join(sorted(sure_a))) if sure_a else _absent()


def _mentioned(name: str, text: Reading) -> bool:
    return any(token.low == name or (token.kind == "word" and key(token.low) == key(name)) for token in text.tokens)


def _way(text: Reading, name: str) -> str:
    for index, token in enumerate(text.tokens):
        if token.low == name and index and text.tokens[index - 1].low in ("from", "to"):
            return text.tokens[index - 1].low
    return ""


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    a, b = _canonical(a), _canonical(b)
    return 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0


def _canonical(keys: frozenset[str]) -> frozenset[str]:
    return frozenset(antonyms().get(name, (name, 0))[0] for name in keys)


def _straight(a: Relation, b: Relation) -> float:
    """Positive where two relations run the same way, negative where crosswise; near 0 where they are of other things."""
    straight = _overlap(a.first, b.first) + _overlap(a.second, b.second)
    cross = _overlap(a.first, b.second) + _overlap(a.second, b.first)
    return straight - cross


def _related(a: Relation, b: Relation) -> float:
    return _overlap(a.first | a.second, b.first | b.second)


def _compare_relations(left: list[Relation], right: list[Relation], what: str) -> Finding:
    if not left and not right:
        return _absent()
    for relation in left:
        others = [other for other in right if _related(relation, other) > 0.3]
        if not others:
            continue
        best = max(_straight(relation, other) for other in others)
        if best < 0:
            return _differ(
                f"{what} turned round: {' '.join(sorted(relation.first))} → {' '.join(sorted(relation.second))}"
            )
    if not left or not right:
        return _absent(f"{what} in one text only", WEAK)
    return _agree(what)


def _kind(text: Reading, *kinds: str) -> list[Relation]:
    return [relation for relation in relations(text) if relation.kind in kinds]


def _cause(a: Reading, b: Reading) -> Finding:
    """Cause and effect; and that a reason is not given for what was a condition, a contrast or an order in time."""
    left, right = _kind(a, "cause"), _kind(b, "cause")
    finding = _compare_relations(left, right, "cause and effect")
    if finding.verdict == "absent":
        other = _kind(b if left else a, "contrast", "condition", "time")
        if (left or right) and other:
            return _differ(f"a reason in one text is {other[0].kind} in the other")
        if any(
            _undone(relation, predicate) for relation in left + right for predicate in (b if left else a).predicates
        ):
            return _differ("cause and effect turned round")
    return finding


def _undone(relation: Relation, predicate: Predicate) -> bool:
    """The effect in one text acts on the cause in the other."""
    crossed = _overlap(predicate.agent, relation.second) + _overlap(predicate.patient, relation.first)
    straight = _overlap(predicate.agent, relation.first) + _overlap(predicate.patient, relation.second)
    return bool(predicate.agent and predicate.patient) and crossed > straight + 0.5


def _condition(a: Reading, b: Reading) -> Finding:
    """Condition and consequence (`unless` is read as `if not`)."""
    left, right = _kind(a, "condition", "when"), _kind(b, "condition", "when")
    return _compare_relations(left, right, "condition and consequence")


def _time(a: Reading, b: Reading) -> Finding:
    """Earlier and later."""
    return _compare_relations(_kind(a, "time", "when"), _kind(b, "time", "when"), "order in time") if _kind(a, "time") or _kind(b, "time") else _absent()  # fmt: skip


def _purpose(a: Reading, b: Reading) -> Finding:
    """What is done, and what for."""
    return _compare_relations(_kind(a, "purpose"), _kind(b, "purpose"), "act and purpose")


def _comparison(a: Reading, b: Reading) -> Finding:
    """What is more, and than what; an opposite adjective turns it round."""
    left, right = comparisons(a), comparisons(b)
    if not left or not right:
        return _absent("a comparison in one text only", WEAK) if left or right else _absent()
    for one in left:
        for other in right:
            way = _dimension(one.dimension, other.dimension)
            if not way:
                continue
            way *= -1 if one.kind != other.kind else 1
            if way * _straight(one, other) < 0:
                return _differ(f"the comparison by '{one.dimension}' is turned round")
    return _agree("comparison")


def _dimension(a: str, b: str) -> int:
    """1: the same scale the same way, -1: its other end, 0: another scale."""
    if a == b or key(a) == key(b) or "exceed" in (a, b):
        if "exceed" in (a, b) and a != b:
            return -1 if key("small") in (a, b) or key("low") in (a, b) or key("few") in (a, b) else 1
        return 1
    return -1 if b in scales().get(a, ()) or a in scales().get(b, ()) else 0


def _modals(text: Reading) -> set[tuple[str, int]]:
    """Classes of modality with their negation: must not = may denied, need not = must denied."""
    found = set()
    for index, tag in enumerate(text.tags):
        if tag not in ("MUST", "MAY", "SHOULD", "CAN", "MIGHT", "WILL", "LIKELY", "CERTAIN"):
            continue
        around = text.tags[max(0, index - 1) : index] + text.tags[index + 1 : index + 2]
        denied = "NOT" in around or (
            index > 1 and text.tags[index - 1] in ("ADV", "AUX") and text.tags[index - 2] == "NOT"
        )
        name = tag
        if tag == "MUST" and denied and text.tags[index + 1 : index + 2] == ["NOT"]:
            name = "MAY"
        found.add((name, int(denied != ("ONLYIF" in text.tags))))
    return found


_NEAR = {frozenset(("MAY", "MIGHT")), frozenset(("MAY", "CAN"))}


def _modality(a: Reading, b: Reading) -> Finding:
    """Must, may, should, can, might, will, and what is denied of them."""
    left, right = _modals(a), _modals(b)
    lost = [modal for modal in sorted(left) if not any(_near(modal, other) for other in right)]
    new = [modal for modal in sorted(right) if not any(_near(modal, other) for other in left)]
    if not left and not right:
        return _absent()
    if not lost and not new:
        return _agree(", ".join(name.lower() for name, _ in sorted(left)))
    if {name for name, _ in lost + new} == {"WILL"} and _is_past(b if lost else a):
        return _differ("what is past in one text is to come in the other")
    evidence = f"{_said(lost) or 'plain'} became {_said(new) or 'plain'}"
    if not (lost and new) and {name for name, _ in lost + new} <= {"WILL", "CAN", "CERTAIN"}:
        return _absent(evidence, WEAK)
    return _differ(evidence, DIFFER if lost and new else 0.5)


def _is_past(text: Reading) -> bool:
    """Every finite verb stands in the past or perfect."""
    finite = [token.low for token, tag in zip(text.tokens, text.tags, strict=True) if tag in {"AUX", "V"}]
    past = [
        low
        for low in finite
        if low in ("was", "were", "had", "did", "has", "have")
        or low.endswith("ed")
        or irregular_forms().get(low, ("", ""))[1] in ("past", "both")
    ]
    return bool(finite) and past[:1] == finite[:1]


def _near(a: tuple[str, int], b: tuple[str, int]) -> bool:
    return a == b or (a[1] == b[1] and frozenset((a[0], b[0])) in _NEAR)


def _said(modals: list[tuple[str, int]]) -> str:
    return ", ".join(("not " if denied else "") + name.lower() for name, denied in modals)


def _roles(a: Reading, b: Reading) -> Finding:
    """Who did it, to whom it was done, who received it, whatever the voice."""
    seen = False
    for one in a.predicates:
        others = [other for other in b.predicates if other.key == one.key or _same_verb(one.key, other.key)]
        if not others:
            continue
        seen = True
        verdicts = [_role_conflict(one, other) or _replaced(one, other, a, b) for other in others]
        if all(verdicts):
            return _differ(f"'{one.key}': {verdicts[0]}")
    if moved := _moved_attribute(a, b):
        return _differ(moved)
    return _agree() if seen else _absent()


def _attributes(text: Reading) -> dict[str, set[str]]:
    """Word before a noun → the nouns it stands before: `blue` → {cup}."""
    found: dict[str, set[str]] = {}
    for k in range(len(text.tokens) - 1):
        last = k + 2 == len(text.tokens) or text.tags[k + 2] != "N"
        if text.tags[k] == text.tags[k + 1] == "N" and last and text.key(k) and text.key(k + 1):
            found.setdefault(text.key(k), set()).add(text.key(k + 1))
    return found


def _moved_attribute(a: Reading, b: Reading) -> str:
    """`the blue cup and the red plate` became `the red cup and the blue plate`."""
    left, right = _attributes(a), _attributes(b)
    for word in sorted(left.keys() & right.keys()):
        mine, theirs = left[word], right[word]
        if not mine & theirs and mine <= b.content() and theirs <= a.content():
            return f"'{word}' is said of {' '.join(sorted(mine))} in one text and of {' '.join(sorted(theirs))} in the other"
    return ""


def _same_verb(a: str, b: str) -> bool:
    return antonyms().get(a, (a, 0))[0] == antonyms().get(b, (b, 0))[0]


def _role_conflict(one: Predicate, other: Predicate) -> str:
    """What is exchanged or replaced between two uses of a verb; empty where nothing is known to be."""
    slots = ("agent", "patient", "receiver")
    for first in slots:
        for second in slots:
            mine, theirs = getattr(one, first), getattr(other, second)
            if first == second or not mine & theirs:
                continue
            if not mine & getattr(other, first) and (getattr(other, first) or not getattr(one, second) & theirs):
                return f"{' '.join(sorted(mine & theirs))} is {first} in one text and {second} in the other"
    if one.agent and other.agent and not _canonical(one.agent) & _canonical(other.agent):
        return f"done by {' '.join(sorted(one.agent))} in one text and by {' '.join(sorted(other.agent))} in the other"
    return ""


def _replaced(one: Predicate, other: Predicate, a: Reading, b: Reading) -> str:
    """A slot holds something that the other text does not know, on both sides."""
    here, there = one_scale(a.content()), one_scale(b.content())
    for slot in ("patient", "receiver"):
        mine, theirs = one_scale(getattr(one, slot)), one_scale(getattr(other, slot))
        if mine and theirs and not mine & there and not theirs & here:
            return f"{' '.join(sorted(mine))} was replaced by {' '.join(sorted(theirs))}"
    return ""


def _claims(a: Reading, b: Reading) -> Finding:
    """Nothing is said of which the other text knows neither the verb nor anyone in it."""
    for text, other, what in ((b, a, "added"), (a, b, "left out")):
        known = one_scale(other.content())
        for predicate in text.predicates:
            parts = one_scale(predicate.agent | predicate.patient | frozenset((predicate.key,)))
            if (
                len(parts) > 1
                and text.key(predicate.index)
                and not any(part in known or any(alike(part, k) for k in known) for part in parts)
            ):
                return _differ(f"{what}: {' '.join(sorted(parts))}", 0.5)
    return _absent()


CHECKS: dict[str, Callable[[Reading, Reading], Finding]] = {
    "negation": _negation,
    "quantifier": _quantifier,
    "number": _number,
    "entity": _entity,
    "comparison": _comparison,
    "cause": _cause,
    "condition": _condition,
    "time": _time,
    "purpose": _purpose,
    "modality": _modality,
    "roles": _roles,
    "claims": _claims,
}


def one_scale(keys: frozenset[str]) -> frozenset[str]:
    """Both ends of a scale and both words of a pair count as one (their direction is other checks' affair)."""
    pairs = (antonyms().get(name, (name, 0))[0] for name in keys)
    return frozenset(scale_names().get(name, name) for name in pairs)


def alike(a: str, b: str) -> bool:
    """Two keys that share a long beginning: `install`, `installment`."""
    short = min(len(a), len(b))
    return short >= 5 and a[:short] == b[:short]
