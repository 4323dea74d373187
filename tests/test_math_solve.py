"""solve and plot read the families' questions in words that were not trained on, and nothing else; the loaders read public sets."""

from __future__ import annotations

import builtins
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from domains import get
from domains.alpaca import rows as alpaca
from domains.base import Example
from domains.loaders import LOADERS
from domains.math import competition, gsm8k, natural_reasoning
from domains.math.plot import plot
from truemark.errors import InvalidData, MissingDependency

math = get("math")


def example(reference: str) -> Example:
    return {"id": "x", "messages": [], "reference": reference, "meta": {}}


def test_the_test_split_is_solved_rightly_or_not_at_all() -> None:
    found: Counter[str] = Counter()
    for row in math.build(13, 1)["test"][::2]:
        solution = math.solve(row["messages"][0]["content"])
        verdict = None if solution is None else math.check(solution.text, row)
        found["none" if verdict is None else "right" if verdict.passed and verdict.score == 1 else "wrong"] += 1
        assert found["wrong"] == 0, (row["messages"][0]["content"], solution)
    assert found["right"] / found.total() > 0.95, found


@pytest.mark.parametrize(
    ("question", "reference"),
    [
        *zip(
            math.CARD.examples, ("x = 5", "24", "12x^3 - 4x", "x = 9, y = 6", "5/6", "x = 2 or x = 3", "8"), strict=True
        ),
        ("Solve 2x + 1 <= 5.", "x <= 2"),
        ("Solve (x - 1)/(x + 2) > 0.", "x < -2 or x > 1"),
        ("Find the slope of x^2 at x = 3.", "6"),
        ("Integrate x^2 from 0 to 3.", "9"),
        ("Find the limit of sin(3x)/x as x approaches 0.", "3"),
        ("Compute lim x->infinity (2x + 1)/(x - 3).", "2"),
        ("Simplify (x^2 - 9)/(x + 3).", "x - 3"),
        ("Factor 6x^2 + 5x - 6.", "(2x + 3)(3x - 2)"),
        ("Find the inverse of [[2, 0], [0, 4]].", "[[1/2, 0], [0, 1/4]]"),
        ("What is the sum of the first 10 terms of the arithmetic sequence 1, 3, 5, ...?", "100"),
        ("A train covers 240 km in 3 hours. What is its speed?", "80"),
        ("A $80 chair is sold with a discount of 25%. What is the price?", "60"),
        ("A fair coin is tossed 3 times. What is the probability of exactly 2 heads?", "3/8"),
    ],
)
def test_questions_of_the_families(question: str, reference: str) -> None:
    solution = math.solve(question)
    assert solution is not None and math.check(solution.text, example(reference)).score == 1, solution


@pytest.mark.parametrize(
    "question",
    [
        "Solve |x - 1| < 3.",
        "Solve x^2 + 1 < 0.",
        "Find the limit of 1/x as x approaches 0.",
        "Find the inverse of [[1, 2], [2, 4]].",
        "Multiply [[1, 2]] and [[3, 4]].",
        "Find the 10th term of the arithmetic sequence 1, 2, 4, ...",
        "Find the sum of the infinite geometric series with first term 3 and common ratio 2.",
        "A bag has 3 red and 4 blue balls. Two are drawn. What is the probability that both are red?",
        "A survey shows that 20% of 800 parents agree to an increase. How many disagree?",
        "A train covers 240 km in 30 minutes. What is its speed in km/h?",
        "John buys 3 barbells, gives $850 and gets $40 in change. How much did each cost?",
        "A pen costs $3 and a book costs $5. How much do 2 pens and 3 books cost?",
        "Ann is twice as old as Ben. Ben is 7. How old is Ann?",
        "A jacket costs $80 after tax of 25%. What was the price before?",
    ],
)
def test_other_questions_are_not_answered(question: str) -> None:
    assert math.solve(question) is None


FIGURES = (
    "Solve x^2 - 5x + 6 = 0",
    "Solve the system: x + y = 15, x - y = 3",
    "Solve x^2 - 5x + 4 < 0 for x.",
    "Find the derivative of x * ln(x).",
    "Let f(x) = x^2. Find f'(1).",
    "Evaluate the definite integral of x^2 - 2 from -1 to 3.",
    "Find the limit of (x^2 - 4)/(x - 2) as x approaches 2.",
    "Find the 10th term of the arithmetic sequence 3, 7, 11, 15, ...",
)


@pytest.mark.parametrize("question", FIGURES)
def test_a_figure_is_drawn(question: str) -> None:
    png = plot(question)
    assert png is not None and png.startswith(b"\x89PNG") and 5_000 < len(png) < 200_000


def test_a_figure_is_the_same_bytes_twice() -> None:
    svg = plot(FIGURES[0], "svg")
    assert svg is not None and b"<svg" in svg and b"<script" not in svg and len(svg) < 400_000
    assert plot(FIGURES[0], "svg") == svg and plot(FIGURES[0]) == plot(FIGURES[0])


@pytest.mark.parametrize(
    "question",
    ["", "hello", "What is 1/2 + 1/3?", "Solve x + 1 = 999999999", "Solve x^2 + 1 = 0", "__import__('os')", "x" * 9999, "Integrate 9**9**9**9*x.",
     "Find the derivative of exp(exp(exp(exp(x)))) at x = 9.", "Solve the system: x + y = 1, x + y = 2", "Find the derivative of x^60 at x = 60."],
)  # fmt: skip
def test_what_has_no_figure(question: str) -> None:
    assert plot(question) is None


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependency, match="matplotlib"):
        plot(FIGURES[0])


def jsonl(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return str(path)


def test_gsm8k(tmp_path: Path) -> None:
    answer = "She sold 48/2 = <<48/2=24>>24 clips in May.\nTogether 48+24 = <<48+24=1072>>1,072 are sold.\n#### 1,072"
    (row,) = gsm8k.load(jsonl(tmp_path / "train.jsonl", {"question": "How many?", "answer": answer}), "train")
    assert row["reference"] == "1072" and "<<" not in row["messages"][1]["content"]
    verdict = math.check(row["messages"][1]["content"], row)
    assert verdict.passed and verdict.detail["first_wrong_step"] == 2
    assert math.check(answer, row).passed
    with pytest.raises(InvalidData, match="#### NUMBER"):
        list(gsm8k.load(jsonl(tmp_path / "bad.jsonl", {"question": "How many?", "answer": "24"}), "train"))


def test_math_of_competitions(tmp_path: Path) -> None:
    made = {"problem": "p", "level": "Level 3", "type": "Algebra"}
    source = jsonl(
        tmp_path / "train.jsonl",
        {**made, "solution": "We get $x = \\boxed{\\frac{1}{2}}$."},
        {**made, "solution": "So $\\boxed{\\text{Monday}}$."},
        {**made, "solution": "Thus $\\boxed{\n(-\\infty, 2) \\cup (2, \\infty)}$."},
        {**made, "solution": "no box"},
    )
    rows = list(competition.load(source, "train"))
    assert [row["reference"] for row in rows] == ["\\frac{1}{2}", "(-\\infty, 2) \\cup (2, \\infty)"]
    assert all(math.check(row["messages"][1]["content"], row).passed for row in rows)
    assert rows[0]["meta"]["slice"] == "Algebra" and rows[0]["meta"]["difficulty"] == "Level 3"


def test_natural_reasoning(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "train.jsonl",
        {"question": "q", "reference_answer": "42", "responses": [{"response_model": "m", "response": "It is 42."}]},
        {"question": "q", "reference_answer": "Because of friction.", "responses": [{"response": "Friction."}]},
        {"question": "q", "reference_answer": "x^2", "responses": []},
    )
    (row,) = natural_reasoning.load(source, "train")
    assert row["reference"] == "42" and math.check(row["messages"][1]["content"], row).passed
    assert {"math/gsm8k", "math/math", "math/natural-reasoning"} <= set(LOADERS)


def test_alpaca_rows() -> None:
    asked, answer = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}
    assert alpaca([{"messages": [asked, answer]}], "S") == [{"instruction": "2 + 2?", "input": "", "output": "4"}]
    own = {"role": "system", "content": "S\nThe problem."}
    assert alpaca([{"messages": [own, asked, answer]}], "S")[0]["input"] == "The problem."
    for messages in ([asked], [asked, answer, asked, answer], [], None, ["x"]):
        with pytest.raises(InvalidData, match="example 1"):
            alpaca([{"messages": messages}], "S")
