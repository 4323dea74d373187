"""The topics: every one in three difficulties, proved, worded, and no part of a test question in the training set."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter

import pytest

from domains import contamination, get
from domains.base import Example
from domains.math.build import EVAL_SIZE, LEVELS, TOPIC_EVAL_SIZE, topic_wordings
from domains.math.topics import LEVELS as DIFFICULTIES
from domains.math.topics import TOPICS, generator
from domains.math.verify import verify
from truemark.errors import UnknownName

math = get("math")


def example(reference: str, form: str | None = None) -> Example:
    return {"id": "x", "messages": [], "reference": reference, "meta": {"form": form} if form else {}}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return math.build(3, 400)


def test_levels_and_topics_come_evenly(splits: dict[str, list[Example]]) -> None:
    sizes = {name: EVAL_SIZE[name] + 3 * TOPIC_EVAL_SIZE[name] for name in EVAL_SIZE}
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 400, **sizes}
    levels = Counter(row["meta"]["level"] for row in splits["train"])
    assert set(levels) == set(LEVELS) == set(math.LEVELS) and max(levels.values()) - min(levels.values()) <= 1
    cells = Counter((row["meta"]["topic"], row["meta"]["level"]) for row in splits["test"] if "topic" in row["meta"])
    assert len(cells) == len(TOPICS) * len(DIFFICULTIES) and set(cells.values()) == {6}


def test_levels_are_chosen_and_unknown_ones_refused() -> None:
    built = math.build(3, 20, ["hard", "easy"])
    assert {row["meta"]["level"] for rows in built.values() for row in rows} == {"easy", "hard"}
    with pytest.raises(UnknownName, match="did you mean 'hard'"):
        math.build(3, 20, ["hart"])


def test_eval_splits_do_not_depend_on_n() -> None:
    one, other = math.build(3, 2, ["easy"]), math.build(3, 9, ["easy"])
    assert one["test"] == other["test"] and one["dev"] == other["dev"] and one == math.build(3, 2, ["easy"])
    assert math.build(4, 2, ["easy"])["test"] != one["test"]


def test_nothing_of_the_test_set_is_in_the_training_set(splits: dict[str, list[Example]]) -> None:
    assert list(contamination.findings(splits)) == []
    families = {name: {row["meta"]["family"] for row in rows if row["meta"]["slice"] in ("train", "wording")} for name, rows in splits.items()}  # fmt: skip
    assert not families["train"] & families["test"] and not families["train"] & families["dev"]
    assert not families["dev"] & families["test"]


def test_every_reference_passes_written_in_another_way(splits: dict[str, list[Example]]) -> None:
    for row in (row for rows in splits.values() for row in rows):
        reference, solution = row["reference"], row["messages"][-1]["content"]
        for text in (solution, f"So we have\n\\boxed{{{reference.replace(' + ', '+').replace('*', '·')}}}"):
            verdict = math.check(text, row)
            assert verdict.passed and verdict.score == 1.0, (text, verdict)


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("level", DIFFICULTIES)
def test_a_wrong_answer_is_not_generated(topic: str, level: str) -> None:
    make = generator(topic)
    problems = [make(level, random.Random(f"{topic}{n}")) for n in range(40)]
    refused = 0
    for one, other in itertools.pairwise(problems):
        verify(one)
        for wording in topic_wordings()[one.kind]:
            wording.format(**one.slots)
        if one.kind == other.kind and one.answer != other.answer and one.slots.get("v") == other.slots.get("v"):
            try:
                verify(dataclasses.replace(one, answer=other.answer))
            except ValueError:
                refused += 1
            else:
                pytest.fail(f"{one} takes {other.answer}")
    assert refused


def test_every_kind_has_wordings_for_each_split() -> None:
    for kind, wordings in topic_wordings().items():
        assert len(wordings) == len(set(wordings)) >= 8, kind


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("Answer: x > 3", "x > 3"),
        ("Answer: 3 < x", "x > 3"),
        ("Answer: $x \\in (3, \\infty)$", "x > 3"),
        ("\\boxed{(-\\infty, 1] \\cup [4, \\infty)}", "x <= 1 or x >= 4"),
        ("Answer: x ≤ 1 or x ≥ 4.", "x <= 1 or x >= 4"),
        ("Answer: 1 < x < 3/2", "1 < x < 3/2"),
        ("Answer: 1 < x and x < 1.5", "1 < x < 3/2"),
        ("Answer: {x | 1 < x < 3/2}", "1 < x < 3/2"),
        ("Answer: x ≠ 2", "(-\\infty, 2) \\cup (2, \\infty)"),
        ("Answer: [[1, 2], [3, 4]]", "[[1, 2], [3, 4]]"),
        ("Answer: \\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "[[1, 2], [3, 4]]"),
        ("A^(-1) = [[0.5, 0], [0, 1]]\nAnswer: [[0.5, 0], [0, 1]]", "[[1/2, 0], [0, 1]]"),
        ("Answer: ∞", "oo"),
        ("Answer: 2e^{2x}", "2exp(2x)"),
    ],
)
def test_sets_and_matrices_in_many_forms(prediction: str, reference: str) -> None:
    assert math.check(prediction, example(reference)).passed, math.check(prediction, example(reference))


@pytest.mark.parametrize(
    ("prediction", "reference", "reason"),
    [
        ("Answer: x >= 3", "x > 3", "wrong_value"),
        ("Answer: y > 3", "x > 3", "wrong_variable"),
        ("Answer: 2x > 6", "x > 3", "unparsable"),
        ("Answer: x > 6/2 + 0", "x > 3", "not_evaluated"),
        ("Answer: x > 3", "x = 3", "unparsable"),
        ("Answer: 3", "x > 3", "unparsable"),
        ("Answer: [1, 4]", "1 < x < 4", "wrong_value"),
        ("Answer: [[1, 2], [3, 5]]", "[[1, 2], [3, 4]]", "wrong_value"),
        ("Answer: [[1, 2, 3, 4]]", "[[1, 2], [3, 4]]", "wrong_value"),
        ("Answer: [[1, 2], [3, 2 + 2]]", "[[1, 2], [3, 4]]", "not_evaluated"),
        ("Answer: -∞", "oo", "wrong_value"),
        ("Answer: x != 5", "x = 5", "unparsable"),
    ],
)
def test_other_sets_and_matrices(prediction: str, reference: str, reason: str) -> None:
    assert math.check(prediction, example(reference)).reason == reason


@pytest.mark.parametrize(
    ("prediction", "reference", "form", "reason"),
    [
        ("Answer: 7x + 6", "7x + 6", "simplified", "ok"),
        ("Answer: 6 + 7x", "7x + 6", "simplified", "ok"),
        ("Answer: 3(x + 2) + 4x", "7x + 6", "simplified", "not_simplified"),
        ("Answer: (x^2 - 9)/(x^2 + 5x + 6)", "(x - 3)/(x + 2)", "simplified", "not_simplified"),
        ("Answer: (x - 2)(x - 3)", "(x - 2)(x - 3)", "factored", "ok"),
        ("Answer: -(2 - x)(x - 3)", "(x - 2)(x - 3)", "factored", "ok"),
        ("Answer: x^2 - 5x + 6", "(x - 2)(x - 3)", "factored", "not_factored"),
        ("Answer: 3(2x^2 - 3x)", "3x(2x - 3)", "factored", "not_factored"),
        ("Answer: x(6x - 9)", "3x(2x - 3)", "factored", "not_factored"),
        ("Answer: (x + 1)^2", "(x + 1)(x + 1)", "factored", "ok"),
    ],
)
def test_the_form_that_was_asked_for(prediction: str, reference: str, form: str, reason: str) -> None:
    assert math.check(prediction, example(reference, form)).reason == reason
