"""One question, two models: streams that end, break or are stopped, each in its own panel."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from demos.client import Server
from demos.live import Panel, Turn
from domains.base import Solution, Verdict
from tests.demos_helpers import speaking, wait_until


def domain(solution: Solution | None = Solution("Answer: x = 5", "x = 5")) -> Any:
    """A domain whose answer is right when it holds the reference."""

    def check(text: str, example: dict[str, Any]) -> Verdict:
        passed = example["reference"] in text
        return Verdict(float(passed), passed, "ok" if passed else "wrong_value")

    return SimpleNamespace(
        messages=lambda question: [{"role": "user", "content": question}], solve=lambda question: solution, check=check
    )


def panels() -> list[Panel]:
    return [Panel("adapter", "Adapter", "SymPy", model="math"), Panel("base", "Base model", "SymPy", model="base")]


def run(turn: Turn, *, stop_when: str = "") -> list[str]:
    """The states of the first panel as the page would have shown them."""

    async def collect() -> list[str]:
        states = []
        async for _ in turn.run("Solve for x: 3x + 7 = 22"):
            states.append(turn.panels[0].state)
            if stop_when and stop_when in turn.panels[0].text:
                turn.stop()
        return states

    return asyncio.run(collect())


def test_both_answer_and_both_are_checked() -> None:
    with speaking(says={"math": "3x = 15\nAnswer: x = 5", "base": "x is 9.67"}, pause=0.05) as speaker:
        turn = Turn(Server(speaker.url), domain(), panels())
        states = run(turn)
    adapter, base = turn.panels
    assert "writing" in states
    assert [body["model"] for body in speaker.asked] == ["math", "base"]
    assert (adapter.state, base.state) == ("done", "done")
    assert adapter.verdict is not None
    assert adapter.verdict.passed
    assert base.verdict is not None
    assert not base.verdict.passed


def test_an_unreadable_question_gets_no_verdict() -> None:
    with speaking(says={"math": "42", "base": "42"}) as speaker:
        turn = Turn(Server(speaker.url), domain(None), panels())
        run(turn)
    assert [(panel.state, panel.verdict) for panel in turn.panels] == [("done", None)] * 2


def test_one_side_failing_leaves_the_other_alone() -> None:
    with speaking(says={"math": "x = 5"}) as speaker:  # no base at this server
        turn = Turn(Server(speaker.url), domain(), panels())
        run(turn)
    adapter, base = turn.panels
    assert adapter.state == "done"
    assert base.state == "failed"
    assert "no model 'base'" in base.error


def test_stop_ends_the_requests_and_keeps_what_came() -> None:
    with speaking(says={"math": "step " * 400, "base": "word " * 400}, pause=0.02) as speaker:
        turn = Turn(Server(speaker.url), domain(), panels())
        began = time.monotonic()
        run(turn, stop_when="step step")
        assert time.monotonic() - began < 5
        wait_until(lambda: speaker.left == ["math"])
    assert len(speaker.asked) == 1  # the base had not been asked yet
    assert [panel.state for panel in turn.panels] == ["stopped", "stopped"]
    assert turn.panels[0].text.startswith("step step")
    assert turn.panels[0].verdict is None


def test_a_fault_in_the_check_is_shown_not_waited_for() -> None:
    broken = domain()
    broken.check = lambda text, example: 1 / 0
    with speaking(says={"math": "x = 5", "base": "x = 5"}) as speaker:
        turn = Turn(Server(speaker.url), broken, panels())
        run(turn)
    assert turn.panels[0].state == "failed"
    assert "ZeroDivisionError" in turn.panels[0].error
