"""The stock → train, dev and test, split by Article: an Article of one split occurs in no other.

Pairs that share an Article (in question, answer or list of Articles) form one group, and a group lies in one split whole. Dev and test
have two slices of Articles never trained on: `articles` (written questions) and `titles` (which Article has this heading). What the law says
cannot be worked out from other Articles, so a third, `wordings`, asks for facts that were trained, in a wording that was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from domains.base import Example
from domains.constitution.citations import extract
from domains.constitution.stock import Key, Pair, amendments, articles, pairs, parts, positions
from domains.constitution.text import normalised, readable
from domains.contamination import WINDOW, words
from truemark.errors import UnknownName

SHARE = {"test": 0.22, "dev": 0.11}
"""Of the written pairs of each Part."""
TITLES = {"test": 40, "dev": 20}
LARGEST = 12
"""Groups of more pairs stay in train: they would fill a split with one subject."""
WORDINGS = {"test": 0.3, "dev": 0.15}
"""Of the trained pairs that have several wordings, one of which is then asked in that split alone."""
LEVELS = {
    "rights": "the Preamble, Fundamental Rights, Directive Principles, Fundamental Duties",
    "government": "the Union, the States, the territories, local bodies, and the relations between them",
    "further": "finance, trade, services, elections, languages, emergency, amendment and the rest",
}
_RIGHTS = ("Preamble", "III", "IV", "IVA")
_GOVERNMENT = ("I", "II", "V", "VI", "VII", "VIII", "IX", "IXA", "IXB", "X", "XI")


@dataclass(frozen=True)
class Item:
    """One question with all its wordings, ready for any split."""

    id: str
    family: str
    part: str
    slice: str
    questions: tuple[str, ...]
    pair: Pair


def build(seed: int, n: int, levels: Sequence[str] = ()) -> dict[str, list[Example]]:
    """Train, dev and test; the evaluation splits depend on the seed alone.

    The stock is finite: train has at most `n` examples and fewer where the stock has fewer, written questions before generated ones.
    In train a pair is asked in each of its wordings; in dev and test once, in a wording drawn by the seed.
    """
    for level in levels:
        if level not in LEVELS:
            raise UnknownName("level", level, LEVELS)
    wanted = set(levels or LEVELS)
    of_group = _assign(seed)

    def of(split: str, items: Iterable[Item]) -> list[Item]:
        return [item for item in items if of_group[item.family] == split and level_of(item.part) in wanted]

    held_out = _wordings(seed, of("train", written()))
    splits: dict[str, list[Example]] = {}
    for split, size in TITLES.items():
        rng = random.Random(f"{seed}.{split}")
        headings = [item for item in of(split, generated()) if item.slice == "titles"]
        headings = sorted(
            rng.sample(headings, min(len(headings), size)), key=lambda item: positions()[item.pair.articles[0]]
        )
        items = [*of(split, written()), *headings]
        known = [_example(split, item, place, "wordings") for item, place in held_out[split]]
        splits[split] = [
            _example(split, item, rng.randrange(len(item.questions)), item.slice) for item in items
        ] + known
    rng = random.Random(f"{seed}.train")
    gone = {(item.id, place) for rows in held_out.values() for item, place in rows}
    asked = [(item, place) for item in of("train", written()) for place in range(len(item.questions))]
    rows = [row for row in asked if (row[0].id, row[1]) not in gone]
    rows.sort(key=lambda row: row[1] > 0)
    more = [(item, rng.randrange(len(item.questions))) for item in of("train", generated())]
    rng.shuffle(more)
    rows = [*rows, *more][:n]
    rng.shuffle(rows)
    train = [_example("train", item, place, "train") for item, place in rows]
    return {"train": train, "dev": splits["dev"], "test": splits["test"]}


def level_of(part: str) -> str:
    """The level of a Part, or of the Preamble."""
    return "rights" if part in _RIGHTS else "government" if part in _GOVERNMENT else "further"


def _wordings(seed: int, trained: Sequence[Item]) -> dict[str, list[tuple[Item, int]]]:
    """For dev and test: trained items with the place of the wording that is held out of train. The choice of one item depends on no other."""
    windows = {
        (item.id, place): set(_windows(question)) for item in trained for place, question in enumerate(item.questions)
    }
    found: dict[str, list[tuple[Item, int]]] = {"test": [], "dev": []}
    for item in trained:
        rng = random.Random(f"{seed}.wording.{item.id}")
        place, lot = rng.randrange(1, max(len(item.questions), 2)), rng.random()
        split = "test" if lot < WORDINGS["test"] else "dev" if lot < WORDINGS["test"] + WORDINGS["dev"] else None
        if split is None or place >= len(item.questions):
            continue
        own = windows[item.id, place]
        if all(own.isdisjoint(other) for key, other in windows.items() if key != (item.id, place)):
            found[split].append((item, place))
    return found


def _windows(question: str) -> list[tuple[str, ...]]:
    said = words(question)
    return [said[start : start + WINDOW] for start in range(len(said) - WINDOW + 1)]


def _example(split: str, item: Item, place: int, part: str) -> Example:
    question, pair = item.questions[place], item.pair
    meta = {
        **pair.to_meta(question),
        "part": pair.part,
        "level": level_of(pair.part),
        "family": f"article-{item.family}",
        "slice": part,
    }
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": pair.answer}]
    return {
        "id": f"constitution-{split}-{item.id}-{place}",
        "messages": messages,
        "reference": pair.answer,
        "meta": meta,
    }


def mentioned(pair: Pair) -> list[str]:
    """Every Article of a pair: named, related, or cited in its texts."""
    texts = (pair.question, *pair.paraphrases, pair.answer)
    cited = [name for text in texts for name in extract(readable(text)).names()]
    return list(dict.fromkeys([*pair.articles, *pair.related, *cited]))


@lru_cache
def families() -> dict[str, str]:
    """Article → its group, named by the group's first Article."""
    order = {"Preamble": -1} | positions()
    leader = {name: name for name in order}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for pair in pairs():
        roots = sorted({find(name) for name in mentioned(pair)}, key=order.__getitem__)
        for root in roots[1:]:
            leader[root] = roots[0]
    return {name: find(name) for name in order}


@lru_cache
def written() -> tuple[Item, ...]:
    return tuple(
        Item(pair.id, families()[pair.articles[0]], pair.part, "articles", (pair.question, *pair.paraphrases), pair)
        for pair in pairs()
    )


def _assign(seed: int) -> dict[str, str]:
    """Group → split, Part by Part so that every Part is asked about."""
    sizes: dict[str, int] = dict.fromkeys(families().values(), 0)
    for item in written():
        sizes[item.family] += 1
    of_part: dict[str, list[str]] = {}
    for family in sizes:
        of_part.setdefault("Preamble" if family == "Preamble" else articles()[family]["part"], []).append(family)
    assigned = dict.fromkeys(sizes, "train")
    for part, groups in of_part.items():
        rng = random.Random(f"{seed}.split.{part}")
        _draw(rng, [name for name in groups if 0 < sizes[name] <= LARGEST], sizes, assigned)
        # Articles without written pairs: their headings, in the same shares
        _draw(rng, [name for name in groups if not sizes[name]], dict.fromkeys(groups, 1), assigned)
    return assigned


def _draw(rng: random.Random, groups: list[str], sizes: dict[str, int], assigned: dict[str, str]) -> None:
    total = sum(sizes[name] for name in groups)
    shuffled = rng.sample(groups, len(groups))
    for split, share in SHARE.items():
        room = share * total
        for name in shuffled:
            if assigned[name] == "train" and 0 < sizes[name] <= room + 0.5:
                assigned[name] = split
                room -= sizes[name]


_HEADING = (
    "Which Article is headed '{title}'?",
    "Name the Article headed '{title}'.",
    "Under which Article comes '{title}'?",
)
_ABOUT = ("What is Article {name} about?", "What does Article {name} deal with?", "Give the heading of Article {name}.")
_WHERE = (
    "In which Part of the Constitution is Article {name}?",
    "Article {name} belongs to which Part?",
    "Which Part contains Article {name}?",
)
_INSERTED = ("Which amendment inserted Article {name}?", "By which amendment was Article {name} added?")
_OMITTED = (
    "What became of Article {name}?",
    "Is Article {name} still in force?",
    "What is the status of Article {name}?",
)


@lru_cache
def generated() -> tuple[Item, ...]:
    """Questions that the table of Articles answers: heading, Part, amendment."""
    asked = {normalised(question) for item in written() for question in item.questions}
    titles = [normalised(row["title"]) for row in articles().values()]
    items: list[Item] = []
    for name, row in articles().items():
        family = families()[name]
        for item in about(name, row, family, alone=titles.count(normalised(row["title"])) == 1):
            if asked.isdisjoint(normalised(question) for question in item.questions):
                items.append(item)
    return tuple(items)


def about(name: str, row: dict[str, object], family: str, *, alone: bool) -> Iterable[Item]:
    title, part = str(row["title"]), str(row["part"])

    def item(what: str, slice: str, wordings: tuple[str, ...], answer: str, *keys: Key) -> Item:
        questions = tuple(wording.format(name=name, title=title) for wording in wordings)
        pair = Pair(f"{what}-{name}", part, questions[0], questions[1:], answer, (name,), keys=keys)
        return Item(pair.id, family, part, slice, questions, pair)

    if row.get("status"):
        yield item("status", "train", _OMITTED, *_gone(name, row))
        return
    short = len(title.split()) <= 12 and "rticle" not in title
    # headings of parallel Articles (Union and States) are alike: a question must be too short to share a window with another
    if alone and short and all(len(words(wording.format(title=title))) < WINDOW for wording in _HEADING):
        yield item("title", "titles", _HEADING, f"Article {name} is headed '{title}'.")
    if short:
        yield item("about", "train", _ABOUT, f"Article {name} is headed '{title}'.", Key("words", title))
    heading = parts()[part]["title"]
    yield item("part", "train", _WHERE, f"Article {name} is in Part {part} ({heading}).", Key("part", part))
    if row.get("inserted"):
        number = int(str(row["inserted"]))
        answer = f"Article {name} was inserted by the {nth(number)} Amendment, {amendments()[number]['year']}."
        yield item("inserted", "train", _INSERTED, answer, Key("amendment", str(number)))


def _gone(name: str, row: dict[str, object]) -> tuple[str, Key]:
    if row["status"] == "omitted":
        number = int(str(row["omitted"]))
        answer = f"Article {name} is no longer in force: it was omitted by the {nth(number)} Amendment, {amendments()[number]['year']}."
        return answer, Key("amendment", str(number))
    if row["status"] == "struck_down":
        return f"Article {name} was struck down by the Supreme Court in 2015.", Key(
            "words", "struck down", ("unconstitutional", "void")
        )
    return f"Article {name} is not in force: {row['note']}.", Key("words", "superseded")


def nth(number: int) -> str:
    """42 → 42nd."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
