"""An answer without a model: a question of the stock (in any of its wordings), or what the table of Articles says of an Article.

Only exact and near-exact questions are answered: the same words in the same order, fillers aside. Anything else gives None.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from domains.base import Solution
from domains.constitution.build import about, nth
from domains.constitution.citations import extract
from domains.constitution.stock import Key, Pair, amendments, articles, pairs, parts
from domains.constitution.text import Unreadable, normalised, readable, words

MAX_QUESTION = 500
_FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "to",
        "under",
        "according",
        "constitution",
        "india",
        "indian",
        "please",
        "tell",
        "me",
        "us",
        "can",
        "could",
        "you",
        "is",
        "are",
        "was",
        "were",
        "does",
        "do",
        "did",
        "shall",
        "may",
        "will",
        "by",
        "for",
        "and",
        "it",
        "its",
        "what",
        "which",
        "who",
    ]
)
_ABOUT = re.compile(
    r"(?:(?:what|which|explain|describe|give|tell|summari[sz]e|in|by|is|state)\b.{0,60}\s)?article\b[^(]{0,60}$", re.I
)
_KINDS = (
    ("part", re.compile(r"\bpart\b", re.I)),
    ("inserted", re.compile(r"\b(?:insert|add)\w*\b", re.I)),
    (
        "about",
        re.compile(
            r"\b(?:about|deal|say|heading|headed|title|mean|explain|describe|provide|contain|cover)\w*\b|^\W*article\W+\w+\W*$",
            re.I,
        ),
    ),
)


def solve(question: str) -> Solution | None:
    """The stock's answer to a known question, the heading or Part of an Article asked for by number, or None."""
    if not question or len(question) > MAX_QUESTION:
        return None
    try:
        text = readable(question)
    except Unreadable:
        return None
    pair = _exact().get(normalised(text)) or _near().get(_content(text)) or _of_article(text) or _by_title(text)
    return Solution(pair.answer, pair.answer, pair.to_meta(question)) if pair else None


@lru_cache
def _exact() -> dict[str, Pair]:
    return {normalised(question): pair for pair in pairs() for question in (pair.question, *pair.paraphrases)}


@lru_cache
def _near() -> dict[tuple[str, ...], Pair]:
    """Content words in order → pair, where only one answer has them."""
    found: dict[tuple[str, ...], Pair] = {}
    shared: set[tuple[str, ...]] = set()
    for pair in pairs():
        for question in (pair.question, *pair.paraphrases):
            content = _content(question)
            if found.setdefault(content, pair).answer != pair.answer:
                shared.add(content)
    return {content: pair for content, pair in found.items() if content not in shared and len(content) >= 3}


def _content(text: str) -> tuple[str, ...]:
    return tuple(word for word in words(text).split() if word not in _FILLERS)


def _of_article(text: str) -> Pair | None:
    """ "What is Article 21A about?", "In which Part is Article 155?", "Which amendment inserted Article 48A?"."""
    cited = extract(text)
    if len(cited.articles) != 1 or cited.articles[0].last or not _ABOUT.match(text.strip()) or len(text.split()) > 12:
        return None
    name = cited.articles[0].article
    row = articles().get(name)
    if row is None:
        return None
    if row.get("status"):
        return next(iter(about(name, row, name, alone=True))).pair
    kind = next((kind for kind, pattern in _KINDS if pattern.search(text)), None)
    if kind == "part":
        answer = f"Article {name} is in Part {row['part']} ({parts()[row['part']]['title']})."
        return _pair(name, row, text, answer, Key("part", str(row["part"])))
    if kind == "inserted" and row.get("inserted"):
        number = row["inserted"]
        answer = f"Article {name} was inserted by the {nth(number)} Amendment, {amendments()[number]['year']}."
        return _pair(name, row, text, answer, Key("amendment", str(number)))
    if kind == "about":
        answer = f"Article {name} is headed '{row['title']}' (Part {row['part']}, {parts()[row['part']]['title']})."
        return _pair(name, row, text, answer, Key("words", str(row["title"])))
    return None


def _pair(name: str, row: dict[str, Any], question: str, answer: str, *keys: Key) -> Pair:
    return Pair(f"asked-{name}", str(row["part"]), question, (), answer, (name,), keys=keys)


@lru_cache
def _titles() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, row in articles().items():
        found.setdefault(normalised(row["title"]), []).append(name)
    return found


def _by_title(text: str) -> Pair | None:
    """ "Which Article is headed 'Abolition of titles'?": the heading in quotes or after the verb."""
    asked = re.search(
        r"\barticle\b.*?(?:'(.{5,200})'|\"(.{5,200})\"|(?:headed|titled|entitled)\s(.{5,200}?)[?.]?\s*$)", text, re.I
    )
    if asked is None:
        return None
    names = _titles().get(normalised(next(group for group in asked.groups() if group)), [])
    if len(names) != 1:
        return None
    row = articles()[names[0]]
    return _pair(names[0], row, text, f"Article {names[0]} is headed '{row['title']}'.")
