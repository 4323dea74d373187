"""Sub-checks of direction: cause and effect, condition, time, purpose, comparison, and who did what to whom."""

from __future__ import annotations

from domains.rewording.findings import WEAK, Finding, absent, agree, alike, differ, one_scale, overlap, paired
from domains.rewording.keys import antonyms, key, scales
from domains.rewording.relations import Relation, comparisons, relations
from domains.rewording.structure import Predicate, Reading


def _straight(a: Relation, b: Relation) -> float:
    """Positive where two relations run the same way, negative where crosswise; near 0 where they are of other things."""
    straight = overlap(a.first, b.first) + overlap(a.second, b.second)
    cross = overlap(a.first, b.second) + overlap(a.second, b.first)
    return straight - cross


def _related(a: Relation, b: Relation) -> float:
    return overlap(a.first | a.second, b.first | b.second)


def _compare_relations(left: list[Relation], right: list[Relation], what: str) -> Finding:
    if not left and not right:
        return absent()
    for relation in left:
        others = [other for other in right if _related(relation, other) > 0.3]
        if not others:
            continue
        best = max(_straight(relation, other) for other in others)
        if best < 0:
            return differ(
                f"{what} turned round: {' '.join(sorted(relation.first))} → {' '.join(sorted(relation.second))}"
            )
    if not left or not right:
        return absent(f"{what} in one text only", WEAK)
    return agree(what)


def _kind(text: Reading, *kinds: str) -> list[Relation]:
    return [relation for relation in relations(text) if relation.kind in kinds]


def cause(a: Reading, b: Reading) -> Finding:
    """Cause and effect; and that a reason is not given for what was a condition, a contrast or an order in time."""
    left, right = _kind(a, "cause"), _kind(b, "cause")
    finding = _compare_relations(left, right, "cause and effect")
    if finding.verdict == "absent":
        other = _kind(b if left else a, "contrast", "condition", "time")
        if (left or right) and other:
            return differ(f"a reason in one text is {other[0].kind} in the other")
        if any(
            _undone(relation, predicate) for relation in left + right for predicate in (b if left else a).predicates
        ):
            return differ("cause and effect turned round")
    return finding


def _undone(relation: Relation, predicate: Predicate) -> bool:
    """The effect in one text acts on the cause in the other."""
    crossed = overlap(predicate.agent, relation.second) + overlap(predicate.patient, relation.first)
    straight = overlap(predicate.agent, relation.first) + overlap(predicate.patient, relation.second)
    return bool(predicate.agent and predicate.patient) and crossed > straight + 0.5


def condition(a: Reading, b: Reading) -> Finding:
    """Condition and consequence (`unless` is read as `if not`)."""
    left, right = _kind(a, "condition", "when"), _kind(b, "condition", "when")
    return _compare_relations(left, right, "condition and consequence")


def time(a: Reading, b: Reading) -> Finding:
    """Earlier and later."""
    return _compare_relations(_kind(a, "time", "when"), _kind(b, "time", "when"), "order in time") if _kind(a, "time") or _kind(b, "time") else absent()  # fmt: skip


def purpose(a: Reading, b: Reading) -> Finding:
    """What is done, and what for."""
    return _compare_relations(_kind(a, "purpose"), _kind(b, "purpose"), "act and purpose")


def comparison(a: Reading, b: Reading) -> Finding:
    """What is more, and than what; an opposite adjective turns it round."""
    left, right = comparisons(a), comparisons(b)
    if not left or not right:
        return absent("a comparison in one text only", WEAK) if left or right else absent()
    for one in left:
        for other in right:
            way = _dimension(one.dimension, other.dimension)
            if not way:
                continue
            way *= -1 if one.kind != other.kind else 1
            if way * _straight(one, other) < 0:
                return differ(f"the comparison by '{one.dimension}' is turned round")
    return agree("comparison")


def _dimension(a: str, b: str) -> int:
    """1: the same scale the same way, -1: its other end, 0: another scale."""
    if a == b or key(a) == key(b) or "exceed" in (a, b):
        if "exceed" in (a, b) and a != b:
            return -1 if key("small") in (a, b) or key("low") in (a, b) or key("few") in (a, b) else 1
        return 1
    return -1 if b in scales().get(a, ()) or a in scales().get(b, ()) else 0


def roles(a: Reading, b: Reading) -> Finding:
    """Who did it, to whom it was done, who received it, whatever the voice."""
    seen = False
    for one in a.predicates:
        others = [other for other in b.predicates if other.key == one.key or _same_verb(one.key, other.key)]
        if not others:
            continue
        seen = True
        verdicts = [_role_conflict(one, other) or _replaced(one, other, a, b) for other in others]
        if all(verdicts):
            return differ(f"'{one.key}': {verdicts[0]}")
    if moved := _moved_attribute(a, b):
        return differ(moved)
    return agree() if seen else absent()


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
    if one.agent and other.agent and not paired(one.agent) & paired(other.agent):
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


def claims(a: Reading, b: Reading) -> Finding:
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
                return differ(f"{what}: {' '.join(sorted(parts))}", 0.5)
    return absent()
