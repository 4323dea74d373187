"""Runtimes on a tiny model: batches equal single answers, stop conditions, probabilities, trivial baselines, endpoints."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from domains import get
from tests import serve_helpers, tiny
from truemark import chat
from truemark.errors import EngineError, ModelNotFound, UnknownName
from truemark.models import resolve
from truemark.runtimes import RUNTIMES, Runtime, Sampling, open_runtime

QUESTIONS = [
    [{"role": "user", "content": text}]
    for text in ("2 + 2?", "Solve for x: 3x + 7 = 22", "Why is the sky blue, in one line?", "Ünïcödé 😀 ∫", "")
]
GREEDY = Sampling(max_tokens=20)


@pytest.fixture(scope="module", params=["torch", "llamacpp"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    if request.param == "torch":
        ref = str(tiny.shared(tmp_path_factory) / "tuned")
    else:
        ref = f"gguf:{serve_helpers.tiny_models(tmp_path_factory) / 'base.gguf'}"
    with open_runtime(ref) as opened:
        yield opened


def test_batches_equal_single_answers(runtime: Runtime) -> None:
    together = dict(runtime.generate(QUESTIONS, GREEDY))
    assert sorted(together) == list(range(len(QUESTIONS)))
    for index, question in enumerate(QUESTIONS):
        [(_, alone)] = runtime.generate([question], GREEDY)
        assert (alone.token_ids, alone.text, alone.finish_reason) == (
            together[index].token_ids, together[index].text, together[index].finish_reason)  # fmt: skip
        assert "".join(runtime.stream(question, GREEDY)).rstrip("�") == alone.text.rstrip("�")


def test_greedy_follows_the_probabilities(runtime: Runtime) -> None:
    prompt = runtime.prompt_ids(QUESTIONS[1])
    [(_, answer)] = runtime.generate([prompt], GREEDY)
    rows = runtime.logprobs([*prompt, *answer.token_ids])
    assert rows.shape == (len(prompt) + len(answer.token_ids), len(runtime.vocabulary())) and rows.dtype == np.float32
    assert np.allclose(np.exp(rows.astype(np.float64)).sum(axis=1), 1, atol=1e-3)
    chosen = rows[len(prompt) - 1 : -1]
    gap = chosen.max(axis=1) - chosen[np.arange(len(chosen)), list(answer.token_ids)]
    assert (gap < 1e-2).all(), "prefill and decode may differ by rounding alone"
    assert answer.finish_reason == "length" and len(answer.token_ids) == 20


def test_stop_strings_cut_the_answer(runtime: Runtime) -> None:
    [(_, whole)] = runtime.generate([QUESTIONS[0]], GREEDY)
    word = whole.text[3:6]
    [(_, cut)] = runtime.generate([QUESTIONS[0]], Sampling(max_tokens=20, stop=(word,)))
    assert cut.text == whole.text[: whole.text.index(word)] and cut.finish_reason == "stop"


def test_samples_repeat_with_their_seed(runtime: Runtime) -> None:
    def sample(seed: int) -> str:
        [(_, answer)] = runtime.generate([QUESTIONS[0]], Sampling(max_tokens=12, temperature=1.5, seed=seed))
        return answer.text

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in range(4)}) > 1


def test_they_describe_themselves_and_close_twice(runtime: Runtime) -> None:
    assert runtime.describe()["runtime"] == runtime.name in RUNTIMES
    assert 2 in runtime.eos_ids()


def test_both_engines_render_and_cut_the_same_tokens(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tiny.shared(tmp_path_factory) / "base"
    with (
        open_runtime(str(base)) as one,
        open_runtime(f"gguf:{serve_helpers.tiny_models(tmp_path_factory) / 'base.gguf'}") as other,
    ):
        for question in QUESTIONS:
            assert one.prompt_ids(question) == other.prompt_ids(question)
        assert one.vocabulary() == other.vocabulary()


def test_our_rendering_is_transformers_rendering(tmp_path_factory: pytest.TempPathFactory) -> None:
    from transformers import AutoTokenizer

    place = tiny.shared(tmp_path_factory)
    for directory in (place / "base", place / "tuned"):
        tokenizer = AutoTokenizer.from_pretrained(directory)
        for messages in (
            *QUESTIONS,
            [
                {"role": "system", "content": "Be brief."},
                *QUESTIONS[0],
                {"role": "assistant", "content": "4"},
                *QUESTIONS[1],
            ],
        ):
            ours = chat.render(chat.read_template(directory), messages)
            assert ours == tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert get("math").SYSTEM_PROMPT in chat.render(chat.read_template(place / "tuned"), QUESTIONS[0])


def test_rules() -> None:
    with open_runtime("rule:copy") as copy, open_runtime("rule:sympy") as sympy:
        assert next(copy.generate([QUESTIONS[0]], GREEDY))[1].text == "2 + 2?"
        assert "x = 5" in next(sympy.generate([QUESTIONS[1]], GREEDY))[1].text
        with pytest.raises(EngineError):
            copy.logprobs([1])
    with pytest.raises(UnknownName, match="sympy"):
        open_runtime("rule:sympi")


def test_what_a_runtime_cannot_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = str(tiny.shared(tmp_path_factory) / "base")
    with pytest.raises(ModelNotFound, match="GGUF"):
        open_runtime(base, "llamacpp")
    with pytest.raises(UnknownName, match="llamacpp"):
        open_runtime(base, "llamacp")
    with pytest.raises(ModelNotFound, match="rule"):
        open_runtime(resolve("rule:copy"), "torch")


class _Endpoint(BaseHTTPRequestHandler):
    """Fails once with 429, then answers."""

    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        status, body = (429, b"{}") if self.asked == 1 else (200, b'{"id":"1","object":"chat.completion","created":1,"model":"m","choices":'
                        b'[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"four"}}]}')  # fmt: skip
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


def test_an_endpoint_is_asked_again_after_429(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    try:
        with open_runtime("openai:m") as http:
            assert next(http.generate([QUESTIONS[0]], GREEDY))[1].text == "four"
        assert _Endpoint.asked == 2
    finally:
        server.shutdown()
        server.server_close()


def test_no_endpoint_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truemark.runtimes.http.RETRIES", 0)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with open_runtime("openai:m") as http, pytest.raises(EngineError, match="truemark serve"):
        list(http.generate([QUESTIONS[0]], GREEDY))


@pytest.mark.slow
def test_the_embedded_base_is_one_model_in_both_engines() -> None:
    rows = get("math").build(7, 1)["test"][:4]
    with open_runtime("smollm2-135m", "torch") as one, open_runtime("smollm2-135m", "llamacpp") as other:
        for row in rows:
            ids = one.prompt_ids(row["messages"])
            assert ids == other.prompt_ids(row["messages"])
            p, q = one.logprobs(ids), other.logprobs(ids)
            assert (p.argmax(axis=1) == q.argmax(axis=1)).mean() > 0.9
            assert float((np.exp(p) * (p - q)).sum(axis=1).mean()) < 0.05


def test_plain_gguf_paths_resolve(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUFrest")
    assert resolve(tmp_path / "x.gguf").kind == "gguf"
