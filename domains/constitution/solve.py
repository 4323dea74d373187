"""An answer without a model: a question of the stock (in any of its wordings), or what the table of Articles says of an Article.

Only exact and near-exact questions are answered: the same words in the same order, fillers aside. Anything else gives None.
"""

from __future__ import annotations

import re
from functools import lru_cache

from domains.base import Solution
from domains.constitution.build import about, nth
from domains.constitution.citations import extract
from domains.constitution.stock import amendments, articles, pairs, parts
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
    answer = _exact().get(normalised(text)) or _near().get(_content(text))
    if answer is None:
        answer = _of_article(text) or _by_title(text)
    return Solution(answer, answer) if answer else None


@lru_cache
def _exact() -> dict[str, str]:
    return {normalised(question): pair.answer for pair in pairs() for question in (pair.question, *pair.paraphrases)}


@lru_cache
def _near() -> dict[tuple[str, ...], str]:
    """Content words in order → answer, where only one answer has them."""
    found: dict[tuple[str, ...], str] = {}
    shared: set[tuple[str, ...]] = set()
    for pair in pairs():
        for question in (pair.question, *pair.paraphrases):
            content = _content(question)
            if found.setdefault(content, pair.answer) != pair.answer:
                shared.add(content)
    return {content: answer for content, answer in found.items() if content not in shared and len(content) >= 3}


def _content(text: str) -> tuple[str, ...]:
    return tuple(word for word in words(text).split() if word not in _FILLERS)


def _of_article(text: str) -> str | None:
    """ "What is Article 21A about?", "In which Part is Article 155?", "Which amendment inserted Article 48A?"."""
    cited = extract(text)
    if len(cited.articles) != 1 or cited.articles[0].last or not _ABOUT.match(text.strip()) or len(text.split()) > 12:
        return None
    name = cited.articles[0].article
    row = articles().get(name)
    if row is None:
        return None
    if row.get("status"):
        return next(iter(about(name, row, name, alone=True))).pair.answer
    kind = next((kind for kind, pattern in _KINDS if pattern.search(text)), None)
    if kind == "part":
        return f"Article {name} is in Part {row['part']} ({parts()[row['part']]['title']})."
    if kind == "inserted" and row.get("inserted"):
        return f"Article {name} was inserted by the {nth(row['inserted'])} Amendment, {amendments()[row['inserted']]['year']}."
    return (
        f"Article {name} is headed '{row['title']}' (Part {row['part']}, {parts()[row['part']]['title']})."
        if kind == "about"
        else None
    )


@lru_cache
def _titles() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, row in articles().items():
        found.setdefault(normalised(row["title"]), []).append(name)
    return found


def _by_title(text: str) -> str | None:
    """ "Which Article is headed 'Abolition of titles'?": the heading in quotes or after the verb."""
    asked = re.search(
        r"\barticle\b.*?(?:'(.{5,200})'|\"(.{5,200})\"|(?:headed|titled|entitled)\s(.{5,200}?)[?.]?\s*$)", text, re.I
    )
    if asked is None:
        return None
    names = _titles().get(normalised(next(group for group in asked.groups() if group)), [])
    return f"Article {names[0]} is headed '{articles()[names[0]]['title']}'." if len(names) == 1 else None
