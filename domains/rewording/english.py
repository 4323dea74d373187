"""Inflection of English words: what the grammar writes with, and the tables that the metric reads with.

>>> past("stop"), participle("write"), third("carry"), gerund("lie"), singular("boxes"), number_words(42)
('stopped', 'written', 'carries', 'lying', 'box', 'forty-two')
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from domains.number_words import ONES, TENS

VOWELS = "aeiou"


@lru_cache
def table(name: str) -> dict[str, list[str]]:
    """A table of english.yaml: first word of a row → the others. Rows are parted by commas (`units`: by semicolons)."""
    import yaml

    text: str = yaml.safe_load((files("domains.rewording") / "english.yaml").read_text(encoding="utf-8"))[name]
    rows = [row.split() for row in text.replace("\n", " ").split(",")]
    return {row[0]: row[1:] for row in rows if row}


@lru_cache
def words(name: str) -> frozenset[str]:
    """A table of english.yaml that is a plain list of words."""
    import yaml

    text: str = yaml.safe_load((files("domains.rewording") / "english.yaml").read_text(encoding="utf-8"))[name]
    return frozenset(text.split())


@lru_cache
def irregular_forms() -> dict[str, tuple[str, str]]:
    """Past or participle of an irregular verb → (base, `past` or `participle` or `both`)."""
    forms: dict[str, tuple[str, str]] = {}
    for base, (past_form, participle_form) in table("irregular_verbs").items():
        forms.setdefault(past_form, (base, "both" if past_form == participle_form else "past"))
        forms.setdefault(participle_form, (base, "participle"))
    return forms


def _particle(verb: str) -> tuple[str, str]:
    head, space, rest = verb.partition(" ")
    return head, space + rest


def _doubles(verb: str) -> bool:
    if verb in words("doubling"):
        return True
    short = len(verb) >= 3 and verb[-1] not in VOWELS + "wxy" and verb[-2] in VOWELS and verb[-3] not in VOWELS
    return short and sum(letter in VOWELS for letter in verb) == 1


def _regular(head: str) -> str:
    if head.endswith("e"):
        return head + "d"
    if head.endswith("y") and head[-2] not in VOWELS:
        return head[:-1] + "ied"
    return head + (head[-1] if _doubles(head) else "") + "ed"


def past(verb: str) -> str:
    """Simple past; of `shut down` it is `shut down`."""
    head, rest = _particle(verb)
    irregular = table("irregular_verbs").get(head)
    return (irregular[0] if irregular else _regular(head)) + rest


def participle(verb: str) -> str:
    """Past participle."""
    head, rest = _particle(verb)
    irregular = table("irregular_verbs").get(head)
    return (irregular[1] if irregular else _regular(head)) + rest


def third(verb: str) -> str:
    """Third person singular of the present."""
    head, rest = _particle(verb)
    if head in ("be", "have"):
        return {"be": "is", "have": "has"}[head] + rest
    return plural(head) + rest


def gerund(verb: str) -> str:
    """The -ing form."""
    head, rest = _particle(verb)
    if head.endswith("ie"):
        return head[:-2] + "ying" + rest
    if head.endswith("e") and not head.endswith(("ee", "oe", "ye")) and head != "be":
        return head[:-1] + "ing" + rest
    return head + (head[-1] if _doubles(head) else "") + "ing" + rest


def plural(noun: str) -> str:
    """The -s form of a noun (or verb)."""
    if noun.endswith(("s", "x", "z", "ch", "sh", "do", "go")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def singular(noun: str) -> str:
    """The singular of a plural noun."""
    if noun in table("irregular_nouns"):
        return table("irregular_nouns")[noun][0]
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("xes", "ches", "shes", "sses", "zzes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) else noun


def number_words(value: int) -> str:
    """A whole number below a thousand in words."""
    if value < 20:
        return ONES[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")
    hundreds, rest = divmod(value, 100)
    return f"{ONES[hundreds]} hundred" + (f" and {number_words(rest)}" if rest else "")


@lru_cache
def number_values() -> dict[str, int]:
    """`zero` … `nineteen`, the tens and the powers, as values."""
    values = {word: value for value, word in enumerate(ONES)}
    values |= {word: 10 * tens for tens, word in enumerate(TENS, 2)}
    return values | {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
