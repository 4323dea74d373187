"""The math check gives nothing for luck, and the solver answers only the question that was asked."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.base import Example
from domains.math.build import wordings
from domains.math.problems import KINDS
from domains.math.verify import verify
from truemark.errors import InvalidData

math = get("math")


def example(reference: str) -> Example:
    return {"id": "x", "messages": [], "reference": reference, "meta": {}}


@pytest.mark.parametrize(
    ("prediction", "reference", "reason"),
    [
        # the question copied, or a computation left to the reader
        ("Calculate 1/2 + 1/3.", "5/6", "not_evaluated"),
        ("Answer: 1/2 + 1/3", "5/6", "not_evaluated"),
        ("Answer: x = (22 - 7) / 3", "x = 5", "not_evaluated"),
        ("Answer: 2^5", "32", "not_evaluated"),
        ("Answer: sqrt(25)", "5", "not_evaluated"),
        # an equation that mentions the value
        ("Answer: 2x = 5", "x = 5", "unsolved"),
        ("Answer: x + 1 = 5", "x = 5", "unsolved"),
        ("Answer: x = 15 / 3 = 6", "x = 6", "unsolved"),
        ("Answer: 2 + 2 = 5", "5", "unsolved"),
        ("So 3x + 7 = 5", "x = 5", "unsolved"),
        # a number with words that deny it, or with letters
        ("Answer: not 5", "5", "unparsable"),
        ("Answer: 5 is wrong", "5", "unparsable"),
        ("Answer: less than 5", "5", "unparsable"),
        ("Answer: approximately 5", "5", "unparsable"),
        ("So the answer cannot be 5.", "5", "unparsable"),
        ("I do not think that x = 5", "x = 5", "unparsable"),
        ("Ann has 20 plums and shares them among 5 friends. How many is 5?", "5", "unparsable"),
        ("Answer: 3xy", "3", "wrong_value"),
        ("Answer: 0.33", "1/3", "wrong_value"),
        # several answers
        ("Answer: 5 or 6", "5", "extra_value"),
        ("Answer: x = 5, x = 6", "x = 5", "extra_value"),
        ("Answer: 5\nWait.\nAnswer: 6", "5", "wrong_value"),
        ("\\boxed{5}\n\\boxed{6}", "5", "wrong_value"),
        ("\\boxed{5} or \\boxed{6}", "5", "extra_value"),
        ("Answer: x = 2, x = 3", "x = 2, y = 3", "wrong_variable"),
        ("Answer: x = 2, y = 3, x = 4", "x = 2, y = 3", "extra_value"),
        ("Answer: 3, 2", "x = 2, y = 3", "wrong_value"),
        # towers of small powers, in numbers and in polynomials
        ("Answer: ((((9^60)^60)^60)^60)", "5", "too_large"),
        ("Answer: ((((x^60)^60)^60)^60)", "12x^3", "too_large"),
        ("Answer: (x+1)^40*(y+1)^40", "12x^3", "too_large"),
        ("Answer: exp(exp(exp(exp(9))))", "12x^3", "undecided"),
    ],
)
def test_no_luck(prediction: str, reference: str, reason: str) -> None:
    verdict = math.check(prediction, example(reference))
    assert (verdict.passed, verdict.reason) == (False, reason), verdict


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("Answer: 2 1/2", "5/2"),
        (r"Answer: 2\frac{1}{2}", "5/2"),
        (r"Answer: -2\frac12", "-5/2"),
        ("Answer: -2 1/2", "-2.5"),
        ("Answer: (x, y) = (2, 3)", "x = 2, y = 3"),
        ("Answer: (2, 3)", "x = 2, y = 3"),
        ("Answer: x_1 = 3, x_2 = 2", "x = 2 or x = 3"),
        ("Answer: x₁ = 3 and x₂ = 2", "x = 2 or x = 3"),
        (r"Answer: x \in \{2, 3\}", "x = 2 or x = 3"),
        ("Answer: x = 3 or x = 3", "x = 3"),
        ("The roots are \\boxed{2} and \\boxed{3}.", "x = 2 or x = 3"),
        ("Answer:\n\\[ x = 5 \\]", "x = 5"),
        ("So the total distance is 120 km.", "120"),
        ("Answer: change = $8.", "8"),
        ("Answer: 120 km/h", "120"),
        ("Answer: 12 cm^2", "12"),
        (r"Answer: 1.2 \times 10^3", "1200"),
        ("Answer: X = 5", "x = 5"),
        (r"Answer: \frac{d}{dx}(3x^2) = 6x", "6x"),
        (r"Answer: \int 2x dx = x^2 + \text{C}", "x^2 + C"),
    ],
)
def test_one_answer_in_more_forms(prediction: str, reference: str) -> None:
    verdict = math.check(prediction, example(reference))
    assert verdict.passed, verdict


def test_a_reference_that_is_no_answer_is_bad_data() -> None:
    with pytest.raises(InvalidData, match="reference"):
        math.check("Answer: 5", example("five apples or so"))


@pytest.mark.parametrize(
    "text",
    ["x" + "\n" * 19_000 + "x", "Answer: " + " " * 900 + "x1", "a b " * 240, "answer " * 2800, "\\boxed{" * 2800],
)
def test_reading_takes_linear_time(text: str) -> None:
    for prediction in (text, f"Answer: {text}"):
        began = time.process_time()
        assert not math.check(prediction, example("5")).passed
        assert time.process_time() - began < 1


@given(st.text(alphabet="Answer:=x5or,{}()^\\frac/*-+ \n.boxed", max_size=120))
@settings(max_examples=300, deadline=None)
def test_any_answer_like_text_gets_a_verdict(text: str) -> None:
    assert math.check(text, example("x = 123457/7")).reason in math.REASONS


@given(st.text(alphabet="0123456789xy+-*/^()=?. findsolveof", max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_question_is_solved_or_not(question: str) -> None:
    solution = math.solve(question)
    assert solution is None or math.check(solution.text, example(solution.reference)).passed


@pytest.mark.parametrize("kind", ["linear", "quadratic", "system", "derivative", "integral", "percent", "fraction"])
def test_every_wording_without_a_story_is_solved_rightly(kind: str) -> None:
    import random

    for index, wording in enumerate(wordings()[kind]):
        problem = KINDS[kind](random.Random(index))
        question = wording.format(**problem.slots)
        solution = math.solve(question)
        if solution is None:
            assert any(word in question for word in ("walk", "jar", "seats", "people", "lamps")), question
        else:
            assert math.check(solution.text, example(problem.answer)).passed, (question, solution)


@pytest.mark.parametrize(
    "question",
    [
        "What is 15% of 80 plus 3?",
        "What is 15% of 80% of 50?",
        "Find 2x if 3x = 6",
        "Given x = 3, what is 2x + 1?",
        "What is x if x + y = 15 and x - y = 3?",
        "Solve for y: 3x = 9",
        "Find the sum of the roots of x^2 - 5x + 6 = 0.",
        "What is the largest root of x^2 - 5x + 6 = 0?",
        "Find the second derivative of x^3.",
        "If f(x) = x^3, find f''(x).",
        "What is the second derivative of x^2 at x = 3?",
        "What is the derivative of the integral of x?",
        "Integrate x^2 from 0.",
        "How many is 3 + 4 apples?",
        "What is half of 3 + 4?",
        "What is 5!?",
        "Find x: 2x = 3 or 4x = 8",
        "sin(x) = 0",
        "x^2 + 1 = 0",
        "Solve x^5 - x - 1 = 0",
        "x^999999999 = 1",
        "Compute ((((9^60)^60)^60)^60) + 1",
    ],
)
def test_another_question_is_not_answered(question: str) -> None:
    assert math.solve(question) is None


@pytest.mark.parametrize(
    ("question", "reference"),
    [
        ("Solve 3x + 7 = 22 for x.", "x = 5"),
        ("Please help me solve $3x + 7 = 22$", "x = 5"),
        ("I have a 3x + 1 = 7, find x", "x = 2"),
        ("x^2 = 2", "x = -sqrt(2) or x = sqrt(2)"),
        ("y = 3x², find dy/dx", "6x"),
        ("∫ 2x dx", "x^2 + C"),
        ("Find d/dt of t^2 + x t", "2t + x"),
        ("What's 12.5% of 80?", "10"),
        ("1/2 + 1/3 = ?", "5/6"),
        ("Compute 3*(4+5).", "27"),
        ("What is the derivative of x^2 at x = 3?", "6"),
        ("Integrate x^2 from 0 to 2.", "8/3"),
        ("Find a and b: a + b = 4, a - b = 2", "a = 3, b = 1"),
    ],
)
def test_questions_as_people_type_them(question: str, reference: str) -> None:
    solution = math.solve(question)
    assert solution is not None and math.check(solution.text, example(reference)).passed, solution


def _arithmetic(line: str) -> bool:
    from domains.math.expressions import parse, to_fraction

    values: list[Any] = [to_fraction(parse(side)) for side in line.split("=")]
    return len(set(values)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_written_step_is_true(kind: str) -> None:
    """Each `a = b = c` of numbers in the worked solutions holds, not only the answer."""
    import random
    import re

    seen = 0
    for seed in range(40):
        problem = KINDS[kind](random.Random(seed))
        verify(problem)
        for step in problem.steps:
            for chain in re.split(r", |->", step):
                numbers = re.sub(r"^\s*\d*[a-z]\s*=", "", chain)  # `3x = 22 - 7 = 15`
                if "=" in numbers and not re.search(r"[a-z]", numbers):
                    assert _arithmetic(numbers), step
                    seen += 1
    assert seen or kind in ("integral", "derivative")
