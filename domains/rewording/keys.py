"""One key for all forms and known synonyms of a word, and what is known of opposites, scales and units.

Needs nothing but english.yaml; what that does not list falls to suffix rules.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from domains.rewording.english import irregular_forms, singular, table, words

_SUFFIXES = (
    "izations", "isations", "ization", "isation", "ations", "itions", "ation", "ition", "ments", "ances", "ences", "ically", "ment", "ance", "ence", "ions",
    "ities", "ness", "able", "ible", "ates", "ated", "ating", "ised", "ized", "ises", "izes", "ion", "ity", "ate", "ise", "ize", "ing", "ous", "ful", "ive",
    "ed", "es", "ly", "ic", "e", "s",
)  # fmt: skip


@lru_cache(maxsize=50_000)
def base(word: str) -> str:
    """The dictionary form as far as tables and endings tell: went → go, children → child, stopped → stop, approval → approve."""
    for source in (table("irregular_nouns"), table("irregular_comparatives"), table("nominalisations")):
        if word in source:
            return source[word][0]
    if word in irregular_forms() and word not in ("wound", "ground", "lay", "bore"):
        return irregular_forms()[word][0]
    if verb := uninflected(word):
        return verb
    if adjective := uncompared(word):
        return adjective
    one = singular(word)
    return base(one) if one != word else word


def uncompared(word: str) -> str:
    """The adjective of english.yaml's scales of which this is the -er or -est form; empty where there is none."""
    for ending in ("er", "est"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            rest = word[: -len(ending)]
            for candidate in (
                rest,
                rest + "e",
                rest[:-1] if rest[-1] == rest[-2] else "",
                rest[:-1] + "y" if rest.endswith("i") else "",
            ):
                if candidate in _gradable():
                    return candidate
    return ""


@lru_cache
def _gradable() -> frozenset[str]:
    return frozenset(word for row in _rows("scales", ",") for word in row.split())


def uninflected(word: str) -> str:
    """The known verb of which this is the -s, -ed or -ing form; empty where there is none."""
    for ending in ("ed", "ing", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            rest = word[: -len(ending)]
            undoubled = rest[:-1] if rest[-1] == rest[-2] else ""
            for candidate in (rest, rest + "e", undoubled, rest[:-1] + "y" if rest.endswith("i") else ""):
                if candidate and is_verb(candidate):
                    return candidate
    return ""


@lru_cache
def _canonical() -> dict[str, str]:
    """Stem → the stem that stands for its synonyms."""
    found: dict[str, str] = {}
    for first, others in table("synonyms").items():
        for other in (first, *others):
            found.setdefault(stem(base(other)), stem(base(first)))
    return found


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """What is left after the endings; at least four letters of it."""
    for _ in range(3):
        for suffix in _SUFFIXES:
            rest = word[: -len(suffix)]
            if word.endswith(suffix) and len(rest) >= 4:
                word = rest
                break
        else:
            break
        if len(word) >= 4 and word[-1] == word[-2] and word[-1] not in "aeiouls":
            word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") else word


@lru_cache(maxsize=50_000)
def key(word: str) -> str:
    """One key for all forms and known synonyms of a word."""
    found = stem(base(word))
    return _canonical().get(found, found)


@lru_cache
def antonyms() -> dict[str, tuple[str, int]]:
    """Key → (key of the pair's first word, 1 where it is the second): `closed` is `open` denied."""
    found: dict[str, tuple[str, int]] = {}
    for first, others in table("opposites").items():
        for other in others:
            found.setdefault(key(first), (key(first), 0))
            found.setdefault(key(other), (key(first), 1))
    return found


@lru_cache
def scales() -> dict[str, frozenset[str]]:
    """Key of a gradable adjective → keys of its opposites."""
    found: dict[str, set[str]] = {}
    rows = [row.split() for row in _rows("scales", ",")]
    for first, second in rows:
        found.setdefault(key(first), set()).add(key(second))
        found.setdefault(key(second), set()).add(key(first))
    return {name: frozenset(others) for name, others in found.items()}


@lru_cache
def units() -> dict[str, tuple[str, float]]:
    """Written unit → (base unit, factor)."""
    found: dict[str, tuple[str, float]] = {}
    for row in _rows("units", ";"):
        head, written = row.split(":")
        _, name, factor = head.split()
        found.update({one: (name, float(factor)) for one in written.split()})
    return found


@lru_cache
def scale_names() -> dict[str, str]:
    """Key → one key for all adjectives that hang together over opposites."""
    found: dict[str, str] = {}
    for name in sorted(scales()):
        group, todo = {name}, [name]
        while todo:
            fresh = scales().get(todo.pop(), frozenset()) - group
            group |= fresh
            todo += sorted(fresh)
        found[name] = min(group)
    return found


def _rows(name: str, mark: str) -> list[str]:
    """The rows of a table of english.yaml whose first words are not unique."""
    import yaml

    text: str = yaml.safe_load((files("domains.rewording") / "english.yaml").read_text(encoding="utf-8"))[name]
    return [row.strip() for row in text.replace("\n", " ").split(mark) if row.strip()]


def is_verb(word: str) -> bool:
    """The base form of a verb that english.yaml knows."""
    return word in words("verbs") or word in words("noun_verbs") or word in table("irregular_verbs")
