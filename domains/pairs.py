"""Preference pairs from answers that were checked: for one question an answer that passed, and one that did not.

    rows, counts = from_answers(domain, examples, answers, k=4)

A pair is `{"id", "prompt": [messages], "chosen": text, "rejected": text, "meta"}`, the form of TRL's preference data with the prompt
apart. Human votes give pairs too, from the store of `truemark/votes.py` or as `{"id", "prompt", "a", "b", "vote": "a" | "b" | "tie"}` a line,
where `prompt` is messages or a question.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domains.base import Domain, Example, Verdict, asked
from domains.contamination import words
from truemark.console import progress
from truemark.errors import InvalidData
from truemark.files import read_jsonl, sha256_json
from truemark.votes import STORE, Vote, open_store

FILE = "pairs.jsonl"
VOTES = ("a", "b", "tie")


@dataclass
class Counts:
    """What the answers came to, by example."""

    both: int = 0
    """Examples with passed and failed answers: only these give pairs, unless the gold answer may be chosen."""
    passed: int = 0
    failed: int = 0
    gold: int = 0
    """Of those that only failed: examples whose gold answer was taken as the chosen one."""
    pairs: int = 0
    votes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows that give nothing, by why."""

    def leave_out(self, why: str) -> None:
        """Count a row."""
        self.left_out[why] = self.left_out.get(why, 0) + 1


def files(paths: Sequence[Path]) -> list[Path]:
    """The JSONL files of `paths`, and of those that are directories. Raises InvalidData where there is none."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not inside or not all(file.is_file() for file in inside):
            raise InvalidData(
                f"expected a JSONL file of answers, or a directory of some, found nothing at {path}",
                mend="truemark data sample DOMAIN --model REF",
            )
        found += inside
    return found


def read_answers(paths: Sequence[Path], known: Iterable[str], held_out: Iterable[str]) -> list[dict[str, Any]]:
    """Rows with `id` and `text` (predictions of `truemark eval`, samples), of `known` examples or of none.

    Raises InvalidData for a row that is no answer, for one to a test example (`held_out`), and where no row is to a known example.
    """
    train, test, rows = set(known), set(held_out), []
    for path in paths:
        for number, row in enumerate(read_jsonl(path), 1):
            where = f"{path}:{number}"
            if not isinstance(row.get("id"), str) or not isinstance(row.get("text"), str):
                raise InvalidData(
                    f"{where}: expected an answer with `id` and `text`, found the fields {', '.join(list(row)[:8])}"
                )
            if row["id"] in test and row["id"] not in train:
                raise InvalidData(
                    f"{where}: an answer to '{row['id']}' of the test set, which nothing may be trained on",
                    mend="truemark data sample DOMAIN --model REF --split train",
                )
            rows.append(row)
    if rows and not any(row["id"] in train for row in rows):
        raise InvalidData(
            f"none of the {len(rows)} answers is to a train or dev example of this data; the first is to '{rows[0]['id']}'",
            mend="truemark data sample DOMAIN --model REF --split train",
        )
    return rows


def from_answers(
    domain: Domain, examples: Sequence[Example], answers: Sequence[dict[str, Any]], *, k: int = 4, gold: bool = False
) -> tuple[list[dict[str, Any]], Counts]:
    """At most `k` pairs for each example, in the examples' order; the order of the answers does not matter.

    Answers that are alike but for spaces count once. With `gold` the example's own answer is chosen where none passed.
    """
    counts = Counts()
    texts = _texts(examples, answers, counts)
    rows: list[dict[str, Any]] = []
    with progress("check", sum(map(len, texts.values()))) as advance:
        for example in examples:
            if example["id"] not in texts:
                continue
            passed: list[tuple[str, Verdict]] = []
            failed: list[tuple[str, Verdict]] = []
            for text in texts[example["id"]]:
                verdict = domain.check(text, example)
                (passed if verdict.passed else failed).append((text, verdict))
                advance(1)
            counts.both += bool(passed and failed)
            counts.passed += bool(passed and not failed)
            counts.failed += bool(failed and not passed)
            chosen, source = [text for text, _ in passed], "check"
            if not passed and gold and (own := _own(domain, example)):
                chosen, source = [own], "gold"
                counts.gold += 1
            for good, (bad, verdict) in _matched(chosen, failed, k):
                meta = {**_described(example), "source": source, "reason": verdict.reason, "score": verdict.score}
                rows.append(_pair(f"{example['id']}/{counts.pairs}", asked(example), good, bad, meta))
                counts.pairs += 1
    return rows, counts


def from_votes(paths: Sequence[Path], domain: Domain, held_out: Iterable[str], counts: Counts) -> list[dict[str, Any]]:
    """Pairs of human votes; ties, equal answers and repeated votes give none. Raises InvalidData for a row that is no vote."""
    test, seen, rows = set(held_out), set[str](), []
    for path in paths:
        for number, row in enumerate(read_jsonl(path), 1):
            prompt = row.get("prompt")
            messages: Any = domain.messages(prompt) if isinstance(prompt, str) else prompt
            texts = [row.get("a"), row.get("b")]
            if (
                not _are_messages(messages)
                or not all(isinstance(t, str) for t in texts)
                or row.get("vote") not in VOTES
            ):
                raise InvalidData(
                    f"{path}:{number}: expected a vote {{id, prompt, a, b, vote: {' | '.join(VOTES)}}}, found {str(row)[:80]}"
                )
            if row.get("id") in test:
                raise InvalidData(
                    f"{path}:{number}: a vote on '{row['id']}' of the test set, which nothing may be trained on"
                )
            chosen, rejected = texts if row["vote"] == "a" else texts[::-1]
            key = sha256_json([messages, plain(str(chosen)), plain(str(rejected))])
            if row["vote"] == "tie" or plain(str(chosen)) == plain(str(rejected)) or key in seen:
                counts.leave_out("ties and repeated votes")
                continue
            seen.add(key)
            name = f"{row.get('id', 'vote')}/vote{counts.votes}"
            rows.append(_pair(name, messages, str(chosen), str(rejected), {"source": "vote"}))
            counts.votes += 1
    return rows


def is_store(source: str) -> bool:
    """Whether votes named on the command line lie in a store: `votes` for the usual one, a URL, or a file of SQLite."""
    if source == "votes" or "://" in source:
        return True
    path = Path(source)
    if not path.is_file():
        return path.suffix in (".sqlite", ".db")
    with path.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def from_store(source: str, domain: Domain, test: Sequence[dict[str, Any]], counts: Counts) -> list[dict[str, Any]]:
    """Pairs of the votes in a store, one for an item that most of its annotators decided alike.

    Votes on the `test` examples (rows, by id or by the question's words) are left out and counted: people judge those to compare
    models, and nothing may be trained on them. Raises what `open_store` does.
    """
    held_out = {row.get("id") for row in test}
    questions = {_said(row.get("messages", [])) for row in test}
    with open_store(STORE if source == "votes" else source, create=False) as store:
        votes = store.votes(domain.NAME)
    by_item: dict[str, list[Vote]] = {}
    for vote in votes:
        by_item.setdefault(vote.item.id, []).append(vote)
    rows = []
    for id, own in by_item.items():
        item = own[0].item
        balance = sum({"a": 1, "b": -1, "tie": 0}[vote.choice] for vote in own)
        chosen, rejected = (item.a, item.b) if balance > 0 else (item.b, item.a)
        if item.example in held_out or _said(item.prompt) in questions:
            counts.leave_out("judged items of the test set, which nothing may be trained on")
        elif not balance or plain(chosen.text) == plain(rejected.text):
            counts.leave_out("ties and repeated votes")
        else:
            meta = {"source": "vote", "votes": len(own), "margin": abs(balance)}
            rows.append(
                _pair(
                    f"{item.example or 'asked'}/{id[:12]}",
                    [dict(message) for message in item.prompt],
                    chosen.text,
                    rejected.text,
                    meta,
                )
            )
            counts.votes += 1
    return rows


def _said(messages: Sequence[Any]) -> tuple[str, ...]:
    """The words of the last thing a user says."""
    return words(next((str(m["content"]) for m in reversed(messages) if m.get("role") == "user"), ""))


def _texts(examples: Sequence[Example], answers: Sequence[dict[str, Any]], counts: Counts) -> dict[str, list[str]]:
    """Distinct answers by example id, in an order that depends on their texts alone."""
    shas = {example["id"]: sha256_json(example) for example in examples}
    found: dict[str, dict[str, str]] = {}
    for row in sorted(answers, key=lambda row: (row["id"], row["text"])):
        if row["id"] not in shas:
            counts.leave_out("answers to examples that are not in train or dev")
        elif row.get("example_sha256", shas[row["id"]]) != shas[row["id"]]:
            counts.leave_out("answers to an earlier version of their example")
        elif plain(row["text"]) in found.setdefault(row["id"], {}):
            counts.leave_out("repeated answers")
        else:
            found[row["id"]][plain(row["text"])] = row["text"]
    return {id: sorted(texts.values(), key=lambda text: sha256_json([id, text])) for id, texts in found.items()}


def _matched(chosen: Sequence[str], failed: Sequence[Any], k: int) -> Iterator[tuple[str, Any]]:
    """At most `k` distinct pairs in which every answer is used about as often as any other of its side."""
    if not chosen or not failed:
        return
    once = math.lcm(len(chosen), len(failed))
    for number in range(min(k, len(chosen) * len(failed))):
        # both sides go round; after a whole turn one of them is a step ahead, so that no pair comes twice
        yield chosen[number % len(chosen)], failed[(number + number // once) % len(failed)]


def _own(domain: Domain, example: Example) -> str:
    """The example's own answer, if the check passes it."""
    last = example["messages"][-1]
    text = last["content"] if last["role"] == "assistant" else ""
    return text if text and domain.check(text, example).passed else ""


def _pair(id: str, prompt: list[dict[str, str]], chosen: str, rejected: str, meta: dict[str, Any]) -> dict[str, Any]:
    return {"id": id, "prompt": prompt, "chosen": chosen.strip(), "rejected": rejected.strip(), "meta": meta}


def _described(example: Example) -> dict[str, Any]:
    return {key: example["meta"][key] for key in ("family", "level") if key in example["meta"]}


def plain(text: str) -> str:
    """Text with its spaces made even: two answers that differ in no more are one."""
    return " ".join(text.split())


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and any(isinstance(message, dict) and message.get("role") == "user" for message in value)
        and all(
            isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value
        )
    )
