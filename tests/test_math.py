"""The math domain: data that does not leak, answers that are proved, a check that hostile text cannot fool."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.base import Example
from domains.contamination import findings
from domains.math.build import normalised
from domains.math.expressions import TooLarge, Unparsable, parse, to_fraction
from domains.math.problems import KINDS
from domains.math.verify import verify

math = get("math")


def example(reference: str) -> Example:
    return {"id": "x", "messages": [], "reference": reference, "meta": {}}


def parts(answer: str) -> set[str]:
    """The numbers in an answer, in any order."""
    return set(re.findall(r"-?[\d/]+", answer))


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return math.build(7, 2600, ["basics"])


EQUAL = [
    ("Answer: 1/2", "1/2"),
    ("Answer: 0.5", "1/2"),
    (r"Answer: \frac12", "1/2"),
    (r"Answer: $\frac{1}{2}$", "1/2"),
    ("Answer: x = 1/2", "1/2"),
    ("Answer: 1/2", "x = 1/2"),
    (r"So $\boxed{x = \dfrac{1}{2}}$.", "x = 1/2"),
    ("Answer: **5**", "5"),
    ("**Answer:** 5", "5"),
    ("The answer is 12 apples.", "12"),
    ("Answer: $5", "5"),
    ("Answer: 180 km", "180"),
    ("Answer: 1,200", "1200"),
    ("Answer: 15%", "15"),
    ("Answer: -3", "-3"),
    ("Answer: −3", "-3"),
    ("Answer: 6/2", "3"),
    ("Answer: x = 6/2 = 3", "x = 3"),
    ("x = 5", "x = 5"),
    ("Answer: x = 3 or x = 2", "x = 2 or x = 3"),
    ("Answer: 2, 3", "x = 2 or x = 3"),
    ("Answer: x = 2, 3", "x = 2 or x = 3"),
    ("Answer: x ∈ {2, 3}", "x = 2 or x = 3"),
    ("Answer: x = ±5", "x = -5 or x = 5"),
    ("Answer: y = 2, x = 3", "x = 3, y = 2"),
    ("Answer: x = 3 and y = 2", "x = 3, y = 2"),
    ("Answer: 2x + 12x^3", "12x^3 + 2x"),
    ("Answer: f'(x) = 12*x**3 + 2*x", "12x^3 + 2x"),
    ("Answer: 2x(6x^2 + 1)", "12x^3 + 2x"),
    ("Answer: x^2", "x^2 + C"),
    ("Answer: x² + 7 + C", "x^2 + C"),
    ("Answer: x^2 + c", "x^2 + C"),
    ("So, the answer is 5/6.", "5/6"),
    ("Therefore, x = 5.", "x = 5"),
    ("15% of 80 is 12.", "12"),
    ("The answer is **12**.", "12"),
    ("**12**", "12"),
    ("We get x = 2 and y = 3.", "x = 2, y = 3"),
    ("So there are 7 marbles left.", "7"),
    ("The roots are x = 2 and x = 3.", "x = 2 or x = 3"),
    (r"Answer: \sqrt{8}", "2sqrt(2)"),
    ("Answer: 2√2", "2sqrt(2)"),
    ("Answer: (x-2)(x-3)", "x^2 - 5x + 6"),
]
DIFFERENT = [
    ("Answer: 0.51", "1/2", "wrong_value"), ("Answer: x = 4", "x = 5", "wrong_value"), ("Answer: y = 5", "x = 5", "wrong_variable"),
    ("Answer: x = 2", "x = 2 or x = 3", "missing_value"), ("Answer: 2, 3, 4", "x = 2 or x = 3", "extra_value"),
    ("Answer: x = 2, y = 3", "x = 3, y = 2", "wrong_value"), ("Answer: x^3 + C", "x^2 + C", "wrong_value"), ("Answer: 1/0", "5", "wrong_value"),
    ("", "5", "no_answer"), ("I do not know", "5", "no_answer"), ("Answer: five apples and more", "5", "unparsable"),
    ("Answer: 5\nAnswer: 6", "5", "wrong_value"), ("final answer: 5\n...\n\\boxed{6}", "5", "wrong_value"),
]  # fmt: skip
HOSTILE = [
    "__import__('os').system('touch pwned')", "exec('x=1')", "eval(\"1+1\")", "open('pwned','w')", "().__class__.__bases__[0]", "lambda: 5", "5 if 1 else 6",
    "9**9**9**9", "9^(9^(9^9))", "2**(10**9)", "10**1000000", "factorial(10**9)", "gamma(10**9)", "binomial(10**9,5)", "9" * 10_000, "1e999999999", "5e0 5",
    "(" * 100_000, "(" * 100 + "5" + ")" * 100, "[" * 1_000_000, "{" * 3000, "\\frac{" * 3000, "\\frac{1}{" * 60 + "2" + "}" * 60, "\\sqrt{" * 500,
    "-" * 5000 + "5", "+".join(["5"] * 5000), "x" * 5000, "^" * 500, "5" + "!" * 500, "sin(" * 300, "\x00" * 5000, "\x005\x00/\x000", "\u202e5\u202c=x",
    "٥", "５", "5\u200b6", "\ud7ff\U0010ffff", "𝟓", "½½½½", "²²²²²", "√√√√√", "±±±5", "∞", "oo", "nan", "zoo", "I*I*I*I*5/1", "Symbol('x')", "x=x=x=x",
    "= = = =", ",,,,,,", "or or or", ";".join(["5"] * 10_000), " or ".join(["x = 5"] * 10_000), "\n".join(["Answer: 6"] * 10_000), "Answer: 5 " * 3000,
    "<script>alert(5)</script>", "{{5}}{%5%}", "\\input{/etc/passwd}", "\\write18{touch pwned}", "$(touch pwned)", "`touch pwned`", "../../etc/passwd",
    "x" + "^x" * 200, "(1+" * 24 + "1" + ")" * 24, "(x+1)^64*(y+1)^64*(z+1)^64", "((x+1)^64)^64", "sqrt(" * 20 + "2" + ")" * 20, "5\n" * 9000,
]  # fmt: skip


@pytest.mark.parametrize(("prediction", "reference"), EQUAL)
def test_one_answer_in_many_forms(prediction: str, reference: str) -> None:
    assert math.check(prediction, example(reference)).passed, math.check(prediction, example(reference))


@pytest.mark.parametrize(("prediction", "reference", "reason"), DIFFERENT)
def test_other_answers_and_why(prediction: str, reference: str, reason: str) -> None:
    verdict = math.check(prediction, example(reference))
    assert (verdict.passed, verdict.reason) == (False, reason)
    assert verdict.reason in math.REASONS and verdict.detail["message"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20].encode("unicode_escape").decode())
def test_hostile_output_gets_a_verdict(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for prediction in (text, f"Answer: {text}", f"\\boxed{{{text}}}"):
        for reference in ("7/3", "x = 41 or x = 43", "12x^3 + 2x"):
            began = time.monotonic()
            verdict = math.check(prediction, example(reference))
            assert not verdict.passed and verdict.reason in math.REASONS, (prediction[:80], verdict)
            assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_gets_a_verdict(text: str) -> None:
    assert math.check(f"Answer: {text}", example("x = 123457/7")).reason in math.REASONS


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4))
@settings(deadline=None)
def test_a_number_equals_its_latex(top: int, bottom: int) -> None:
    assert math.check(f"Answer: \\frac{{{top}}}{{{bottom}}}", example(f"{top}/{bottom}")).passed
    assert not math.check(f"Answer: \\frac{{{top + 1}}}{{{bottom}}}", example(f"{top}/{bottom}")).passed


@given(st.text(alphabet="0123456789xy+-*/^(){}.\\frac= ", max_size=60))
@settings(max_examples=200, deadline=None)
def test_the_parser_gives_a_tree_or_says_no(text: str) -> None:
    try:
        to_fraction(parse(text))
    except (Unparsable, TooLarge, ZeroDivisionError):
        pass


def test_no_problem_and_no_wording_leaks(splits: dict[str, list[Example]]) -> None:
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 2600, "dev": 120, "test": 160}
    questions = Counter(normalised(row["messages"][0]["content"]) for rows in splits.values() for row in rows)
    assert max(questions.values()) == 1
    families = {
        name: {row["meta"]["family"] for row in rows if row["meta"]["slice"] in ("train", "wording")}
        for name, rows in splits.items()
    }
    assert (
        not families["train"] & families["dev"]
        and not families["train"] & families["test"]
        and not families["dev"] & families["test"]
    )
    numbers = {row["meta"]["family"] for row in splits["test"] if row["meta"]["slice"] == "numbers"}
    assert numbers <= families["train"]
    solutions = {
        name: {row["messages"][1]["content"] for row in rows if row["meta"]["kind"] in ("percent", "fraction")}
        for name, rows in splits.items()
    }
    assert not solutions["train"] & solutions["test"], "the same numbers in train and test"


def test_the_basics_alone_do_not_leak_either(splits: dict[str, list[Example]]) -> None:
    assert not list(findings(splits))


def test_the_basics_are_byte_for_byte_what_they_were(splits: dict[str, list[Example]]) -> None:
    built = hashlib.sha256(json.dumps(splits).encode()).hexdigest()
    assert built == "7dea336dcdc46cc185f409c2b1166a4ede1a763d38063a10c0f96ca50e580956"


def test_the_same_seed_gives_the_same_rows(splits: dict[str, list[Example]]) -> None:
    assert math.build(7, 2600, ["basics"]) == splits
    assert math.build(8, 10, ["basics"])["test"] != splits["test"]
    assert math.build(7, 10, ["basics"])["test"] == splits["test"], "test does not depend on the size of train"


def test_every_reference_passes_its_own_check(splits: dict[str, list[Example]]) -> None:
    for row in (*splits["dev"], *splits["test"], *splits["train"][:300]):
        assert math.check(f"\\boxed{{ {row['reference']} }}", row).passed, row
        assert math.check(row["messages"][-1]["content"], row).passed, row


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_answer_is_not_generated(kind: str) -> None:
    problem = KINDS[kind](random.Random(1))
    verify(problem)
    rng = random.Random(2)
    others = (KINDS[kind](rng).answer.replace("t", "x") for _ in range(50))
    wanted = parts(problem.answer)
    other = next(answer for answer in others if parts(answer) != wanted)
    with pytest.raises(ValueError, match="wrong answer"):
        verify(dataclasses.replace(problem, answer=other))


def test_sympy_solves_what_is_generated(splits: dict[str, list[Example]]) -> None:
    rows = [
        row
        for row in splits["test"]
        if row["meta"]["kind"] in ("linear", "quadratic", "system", "derivative", "integral")
    ]
    for row in rows:
        solution = math.solve(row["messages"][0]["content"])
        assert solution is not None and math.check(solution.text, row).passed, row
    for question in (*math.CARD.examples[:6], "Solve for x: 3x + 7 = 22"):
        assert math.solve(question) is not None


@pytest.mark.parametrize(
    "question",
    ["", "hello", "How old is Ann?", "Ann has 3 apples and 4 pears. How many?", "x" * 5000, "= = =", "0 = 0", "((((("],
)
def test_what_cannot_be_read_is_not_solved(question: str) -> None:
    assert math.solve(question) is None
