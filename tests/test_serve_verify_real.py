"""Verified answers of the adapters that ship, on the real llama-server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from domains import get
from domains.base import judge
from serve import catalog, engines, server
from serve.verification import Report

pytestmark = pytest.mark.slow
SHELF = Path(__file__).parent.parent / "adapters"
MATH = (*get("math").CARD.examples, "Solve for x: 17x - 391 = 1343", "What is 37/91 + 53/77?")
"""The last two are beyond the adapter."""


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    models = catalog.read([f"{name}={SHELF / f'{name}-smollm2'}" for name in ("math", "rewording")])
    with server.background(models, engines.create("llamacpp", models.base.ref, models.adapters)) as (url, _):
        yield openai.OpenAI(base_url=url, api_key="none", max_retries=0)


def ask(client: openai.OpenAI, model: str, question: str, **more: Any) -> Any:
    messages: Any = get(model.partition(":")[0]).messages(question)
    return client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=200, **more)


def test_math_answers_are_right_or_sympy_s(client: openai.OpenAI) -> None:
    room, outcomes = get("math"), set()
    for question in MATH:
        plain = ask(client, "math", question)
        answer = ask(client, "math:verified", question)
        text, report = answer.choices[0].message.content, Report.model_validate(answer.truemark)
        solution = room.solve(question)
        assert solution is not None
        assert judge(room, question, text, solution).passed, question
        assert (report.answered_by == "solver") == (text == solution.text and report.outcome == "solver")
        if report.attempts == 1 and report.answered_by == "model":
            assert text == plain.choices[0].message.content, "the first attempt is the plain answer"
            assert answer.usage == plain.usage
        else:
            assert answer.usage.completion_tokens > plain.usage.completion_tokens
        outcomes.add(report.outcome)
    assert outcomes == {"verified", "solver"}


def test_a_verified_answer_is_repeatable(client: openai.OpenAI) -> None:
    first, second = (ask(client, "math:verified", MATH[-2]) for _ in range(2))
    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.truemark["tried"] == second.truemark["tried"]


def test_a_stream_is_the_same_answer(client: openai.OpenAI) -> None:
    whole = ask(client, "rewording:verified", get("rewording").CARD.examples[0])
    chunks = list(ask(client, "rewording:verified", get("rewording").CARD.examples[0], stream=True))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].truemark == whole.truemark
    assert whole.truemark["checker"] == "the logic-coherence metric"
