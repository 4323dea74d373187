"""The twelve sub-checks of logic-coherence: the table, and those of what is denied, counted, named and demanded.

Each says agree, differ or absent of two readings, and calls a conflict only on evidence for one. Those of direction are in sides.py.
"""

from __future__ import annotations

from collections.abc import Callable

from domains.rewording import sides
from domains.rewording.english import irregular_forms
from domains.rewording.findings import DIFFER, WEAK, Finding, absent, agree, differ
from domains.rewording.keys import antonyms, key, uncompared
from domains.rewording.relations import Amount, amounts, names
from domains.rewording.structure import Reading


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
            return differ(f"'{name}' is denied in one text and not in the other")
    loose = _loose_denials(a, right) - _loose_denials(b, left)
    if loose % 2:
        return differ("one text denies what the other affirms", 0.5)
    return agree() if a.denied or b.denied else absent()


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
            return absent("'only' in one text alone", WEAK)
        return agree() if left else absent()
    words = f"{', '.join(sorted(left)) or 'nothing'} became {', '.join(sorted(right)) or 'nothing'}".lower()
    if not left or not right:
        only = left or right
        if only <= {"SOME", "MANY", "NO", "SOMETIMES"}:
            return absent(words, 0.95)
        return absent(words, 0.7) if only <= {"ALL"} else differ(words, 0.5)
    return differ(words)


def _number(a: Reading, b: Reading) -> Finding:
    """The same amounts of the same things, in whatever words, digits and units."""
    left, right = amounts(a), amounts(b)
    if not left and not right:
        return absent()
    rest = list(right)
    for amount in left:
        same = [other for other in rest if _same_amount(amount, other)]
        match = next((other for other in same if other.of == amount.of), same[0] if same else None)
        if match is None:
            return differ(f"{amount.text}: no such amount in the text")
        if amount.of != match.of and amount.of in {o.of for o in right} and match.of in {o.of for o in left}:
            return differ(f"{amount.text}: became that many {match.of}")
        if not _same_bound(amount.bound, match.bound):
            return differ(f"{amount.text}: bound '{amount.bound}' became '{match.bound}'")
        rest.remove(match)
    if rest:
        return differ(f"{rest[0].text}: no such amount in the source")
    return agree(", ".join(amount.text for amount in left))


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
        return differ(
            "; ".join(part for part in (both, "new " + ", ".join(new) if new else "") if part),
            DIFFER if lost and new else 0.5,
        )
    for name in sorted(sure_a & sure_b):
        ways = {_way(a, name), _way(b, name)}
        if ways == {"from", "to"}:
            return differ(f"from and to {name}")
    return agree(", ".join(sorted(sure_a))) if sure_a else absent()


def _mentioned(name: str, text: Reading) -> bool:
    return any(token.low == name or (token.kind == "word" and key(token.low) == key(name)) for token in text.tokens)


def _way(text: Reading, name: str) -> str:
    for index, token in enumerate(text.tokens):
        if token.low == name and index and text.tokens[index - 1].low in ("from", "to"):
            return text.tokens[index - 1].low
    return ""


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
        return absent()
    if not lost and not new:
        return agree(", ".join(name.lower() for name, _ in sorted(left)))
    if {name for name, _ in lost + new} == {"WILL"} and _is_past(b if lost else a):
        return differ("what is past in one text is to come in the other")
    evidence = f"{_said(lost) or 'plain'} became {_said(new) or 'plain'}"
    if not (lost and new) and {name for name, _ in lost + new} <= {"WILL", "CAN", "CERTAIN"}:
        return absent(evidence, WEAK)
    return differ(evidence, DIFFER if lost and new else 0.5)


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


CHECKS: dict[str, Callable[[Reading, Reading], Finding]] = {
    "negation": _negation,
    "quantifier": _quantifier,
    "number": _number,
    "entity": _entity,
    "comparison": sides.comparison,
    "cause": sides.cause,
    "condition": sides.condition,
    "time": sides.time,
    "purpose": sides.purpose,
    "modality": _modality,
    "roles": sides.roles,
    "claims": sides.claims,
}
