"""The step check: what follows is let through, what does not is named by its line, what cannot be read is not accused."""

from __future__ import annotations

import random
import re

import pytest

from domains import get
from domains.base import Example
from domains.math.steps import examine, first_wrong

math = get("math")


def example(reference: str, question: str = "") -> Example:
    return {"id": "x", "messages": [{"role": "user", "content": question}], "reference": reference, "meta": {}}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return math.build(3, 400)


WRONG = [
    ("Solve for x: 3x + 7 = 22", "3x = 22 - 7 = 14\nx = 5", 1),
    ("Solve for x: 3x + 7 = 22", "3x = 22 - 7 = 15\nx = 15 / 3 = 4", 2),
    ("Solve for x: 3x + 7 = 22", "3x = 22 + 7 = 29\nx = 5", 1),
    ("Solve for x: 3x + 7 = 22", "Subtract 7 from both sides: 3x = 15.\nDivide by 3: x = 6.", 2),
    ("Solve for x: x^2 = 9", "x = 3\nAnswer: x = 3", 1),
    ("Solve for x: x^2 - 5x + 6 = 0", "(x - 2)(x - 4) = 0\nx = 2 or x = 3", 1),
    ("Solve for x: x^2 - 5x + 6 = 0", "(x - 2)(x - 3) = 0\nx = 2 or x = -3", 2),
    ("Solve for x: x - 3 = 0", "x = 3\nx^2 = 9\nx = 3", 2),
    ("Solve for x: x^2 + 2x - 6 = 0", "(x + 1)^2 = 7\nx = -1 - sqrt(7) or x = 1 + sqrt(7)", 2),
    ("Solve the system: x + y = 15, x - y = 3", "2x = 15 + 3 = 18\nx = 9\ny = 15 - 8 = 7", 3),
    ("Solve the inequality -2x < 6.", "x < -3", 1),
    ("Solve x^2 - 5x + 4 < 0 for x.", "(x - 1)(x - 4) < 0\nx < 1 or x > 4", 2),
    ("Solve 2x + 1 <= 5 for x.", "2x <= 4\nx < 2", 2),
    ("Simplify 3(x + 2) + 4x.", "3(x + 2) + 4x = 3x + 2 + 4x\n3x + 6 + 4x = 7x + 6", 1),
    ("Factor x^2 - 9.", "x^2 - 9 = (x - 3)(x - 3)", 1),
    ("Find the derivative of 3x^4 - 2x^2 + 5.", "3x^4 -> 12x^3\n-2x^2 -> -2x\n5 -> 0", 2),
    ("Find the derivative of x * exp(2x).", "d/dx exp(2x) = exp(2x)\nf'(x) = exp(2x) + 2x * exp(2x)", 1),
    ("Differentiate f(x) = (x + 1)(x - 2).", "f'(x) = (x - 2) * (x + 1)", 1),
    ("Integrate 6x^2 + 1.", "6x^2 -> 2x^3\n1 -> 1", 2),
    ("Evaluate the definite integral of 2x from 1 to 3.", "F(x) = int 2x dx = x^2\nF(3) = 3^2 = 9\nF(1) = 1^2 = 2", 3),
    ("", "3x + 7 = 22\n3x = 15\nx = 4", 3),
    ("How many?", "He has 3 * 4 = 13 apples.", 1),
    ("How many?", "First 12.\nThen $5*3=<<5*3=16>>16.", 2),
    ("What is 15% of 80?", "15% of 80 is 13", 1),
    ("", "1/3 = 0.34", 1),
]
LEFT_ALONE = [
    ("", "x = 2 is what we try first? No."),
    ("", "1/3 = 0.33\n2/3 = 0.67\n10/3 = 3.333"),
    ("", "We know 1 and 1/2 = 1.5"),
    ("", "20% * 50 = 10, and 0.2 = 20%, and 75% * 80% = 60%"),
    ("", "2 hours = 120 minutes\n3 dozen = 36"),
    ("", "Suppose 2 + 2 = 5."),
    ("", "2 + 2 is not = 5"),
    ("", "pi ≈ 3.14, sqrt(2) ≈ 1.41"),
    ("", "x = 3\nLater, x = 4"),
    ("", "half of 10 + 2 = 7"),
    ("", "5 thousand * 3 = 15,000"),
    ("", "12 / 5 = 2 remainder 2"),
    ("", "f(2) = 7\nf(3) = 9"),
    ("", "R2 -> R2 - 3R1"),
    ("Solve for x: 3x + 7 = 22", "Let u = 3x.\nu + 7 = 22\nx = 5"),
    ("Solve for x: x^2 - 5x + 6 = 0", "D = (-5)^2 - 4 * 6 = 1\nx = (5 - 1)/2 = 2\nx = (5 + 1)/2 = 3"),
    ("Solve for x: x^2 - 5x + 6 = 0", "x - 2 = 0\nx - 3 = 0\nx = 2, x = 3"),
    ("Solve x^2 - 5x + 4 < 0 for x.", "x^2 - 5x + 4 = 0 at x = 1 and x = 4\n1 < x < 4"),
    ("Simplify 3(x + 2) + 4x.", "Let y = 7x.\n= 3x + 6 + 4x\n= 7x + 6"),
    ("Find the derivative of x^2.", "Power rule: d/dx x^n = n x^(n-1)\nx^2 -> 2x"),
]


@pytest.mark.parametrize(("question", "text", "line"), WRONG)
def test_a_wrong_step_is_named(question: str, text: str, line: int) -> None:
    step = first_wrong(text, question)
    assert step is not None and step.number == line and step.why, examine(text, question)


@pytest.mark.parametrize(("question", "text"), LEFT_ALONE)
def test_what_is_right_or_unclear_is_left_alone(question: str, text: str) -> None:
    assert first_wrong(text, question) is None, examine(text, question)


def test_the_right_number_by_a_wrong_step_is_told_apart() -> None:
    asked = example("x = 5", "Solve for x: 3x + 7 = 22")
    right = math.check("3x = 22 - 7 = 15\nx = 15 / 3 = 5\nAnswer: x = 5", asked)
    lucky = math.check("3x = 22 + 7 = 29\n\nx = 29 / 3 = 5\nAnswer: x = 5", asked)
    wrong = math.check("3x = 22 - 7 = 15\nx = 15 / 3 = 6\nAnswer: x = 6", asked)
    assert (right.score, right.passed, right.reason) == (1.0, True, "ok") and "first_wrong_step" not in right.detail
    assert (lucky.score, lucky.passed, lucky.reason) == (0.5, True, "wrong_step")
    assert lucky.detail["first_wrong_step"] == 1 and lucky.detail["step"] == "3x = 22 + 7 = 29"
    assert (wrong.score, wrong.passed, wrong.reason) == (0.0, False, "wrong_value") and wrong.detail[
        "first_wrong_step"
    ] == 2


def test_lines_are_counted_without_blank_ones() -> None:
    step = first_wrong("\n\nHello.\n\n  1 + 1 = 3\n", "")
    assert step is not None and step.number == 2


def test_no_reference_is_accused_and_each_of_its_steps_is_looked_at(splits: dict[str, list[Example]]) -> None:
    skipped = []
    for row in (row for rows in splits.values() for row in rows):
        question, solution = (message["content"] for message in row["messages"])
        steps = examine(solution, question)
        assert not any(step.status == "wrong" for step in steps), (question, steps)
        skipped += [row["meta"]["kind"] for step in steps[:-1] if step.status != "right"]
    assert set(skipped) <= {"to_add"}, "the first line of `to_add` is an equation made from words"


def test_one_changed_number_is_found(splits: dict[str, list[Example]]) -> None:
    """Recall over all topics; benchmarks/results/checks.json has it in full."""
    rng, found, tried = random.Random(1), 0, 0
    for row in splits["test"]:
        question, solution = (message["content"] for message in row["messages"])
        *steps, last = solution.split("\n")
        number = rng.randrange(len(steps))
        places = list(re.finditer(r"(?<![\w.])\d+(?![\w.])", steps[number]))
        if not places:
            continue
        place = rng.choice(places)
        steps[number] = f"{steps[number][: place.start()]}{int(place[0]) + 1}{steps[number][place.end() :]}"
        step = first_wrong("\n".join([*steps, last]), question)
        tried += 1
        found += step is not None and step.number == number + 1
    assert found / tried > 0.93, (found, tried)
