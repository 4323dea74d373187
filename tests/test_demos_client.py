"""The demos' client against a real HTTP server on the loopback: answers, and every failure in words."""

from __future__ import annotations

import asyncio

import pytest

from demos.client import MAX_CHARACTERS, Model, Server
from tests.demos_helpers import free_port, speaking
from truemark.errors import EngineError

QUESTION = [{"role": "user", "content": "Solve for x: 3x + 7 = 22"}]


def ask(server: Server, model: str = "math") -> tuple[str, bool, EngineError | None]:
    """What arrived, whether it was cut off, and the error that ended it."""

    async def collect() -> tuple[str, bool, EngineError | None]:
        text, cut = "", False
        try:
            async for piece, last in server.stream(model, QUESTION):
                text += piece
                cut = last
        except EngineError as error:
            return text, cut, error
        return text, cut, None

    return asyncio.run(collect())


def test_streams_the_answer_and_asks_greedily() -> None:
    with speaking(says={"math": "3x = 15\nAnswer: x = 5"}) as speaker:
        text, cut, error = ask(Server(speaker.url))
        assert asyncio.run(Server(speaker.url).models()) == [Model("math")]
    assert (text, cut, error) == ("3x = 15\nAnswer: x = 5", False, None)
    assert speaker.asked[0]["messages"] == QUESTION
    assert speaker.asked[0]["temperature"] == 0


def test_what_truemark_serve_tells_of_its_models() -> None:
    row = {"id": "m", "truemark": {"artifact": "m@0123456789ab", "domain": "math", "base": "b"}}
    assert Model.read(row) == Model("m", artifact="m@0123456789ab", domain="math", base="b")
    assert Model.read({"id": "b", "truemark": {"artifact": "b", "domain": None, "base": None}}) == Model("b", "b")
    assert Model.read({"id": "x", "truemark": "junk"}) == Model("x")


def test_server_down_says_how_to_start_it() -> None:
    text, _, error = ask(Server(f"http://127.0.0.1:{free_port()}/v1"))
    assert text == ""
    assert error is not None
    assert "No server answers" in error.message
    assert "truemark serve" in (error.mend or "")
    with pytest.raises(EngineError, match="No server answers"):
        asyncio.run(Server(f"http://127.0.0.1:{free_port()}/v1").models())


@pytest.mark.parametrize(
    ("status", "says"),
    [(503, "busy"), (429, "busy"), (404, "no model 'math'"), (401, "wants a key"), (400, "refused"), (500, "refused")],
)
def test_refusals_in_words(status: int, says: str) -> None:
    with speaking(says={"math": "x"}, status=status) as speaker:
        *_, error = ask(Server(speaker.url))
    assert error is not None
    assert says in error.message
    assert error.mend
    assert len(speaker.asked) == 1  # not retried behind the person's back


def test_half_a_stream_keeps_what_came_and_says_so() -> None:
    with speaking(says={"math": "Subtract 7 from both sides: 3x = 15"}, breaks_after=2) as speaker:
        text, _, error = ask(Server(speaker.url))
    assert text == "Subtract 7 fro"
    assert error is not None
    assert "broke off half-way" in error.message


def test_an_endless_answer_is_cut() -> None:
    with speaking(says={"math": "x" * (MAX_CHARACTERS + 500)}, pause=0) as speaker:
        text, cut, error = ask(Server(speaker.url))
    assert error is None
    assert text == "x" * MAX_CHARACTERS
    assert cut
