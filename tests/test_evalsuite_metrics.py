"""Metrics of verdicts, confidence and cost; the table of metrics; scoring in chunks, processes and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import domains
from domains.passes import chance
from evalsuite import metric_table, metrics, scoring
from evalsuite.data import example_sha256
from evalsuite.metrics.calibration import reliability, stated
from evalsuite.scoring import measure, measure_files
from tests import evalsuite_helpers as toy
from tests.evalsuite_texts import answer, pairs
from truemark.errors import InvalidConfig, InvalidData, MissingDependency, UnknownName
from truemark.files import write_jsonl
from truemark.runtimes.base import Sampling
from truemark.runtimes.batched import BatchedRuntime

LIGHT = [name for name in metrics.METRICS if name not in ("meteor", "bertscore", "embedding_similarity", "cost", "ter")]
"""Those that need neither a model nor data of another package."""


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, "tests.evalsuite_helpers")


@pytest.mark.parametrize("name", metrics.METRICS)
def test_every_row_is_a_metric(name: str) -> None:
    metric = metrics.get(name)
    assert metric.title and metric.better in ("higher", "lower")
    assert metric.unit in ("share", "points", "seconds", "per_second", "count", "money")
    assert sys.modules[type(metric).__module__].__doc__


@pytest.mark.parametrize("name", domains.DOMAINS)
def test_domains_show_metrics_that_there_are(name: str) -> None:
    shown = domains.get(name).METRICS
    assert list(shown) == metrics.names(shown) and shown[0] == "accuracy"


def test_unknown_metric() -> None:
    with pytest.raises(UnknownName, match="did you mean 'bleu'"):
        metrics.get("blue")
    for name in ("pass@0", "pass@-1", "pass@", "bleu@3"):
        with pytest.raises(UnknownName):
            metrics.get(name)
    assert metrics.names(["bleu", "all"])[0] == "bleu" and len(metrics.names(["bleu", "all"])) == len(metrics.METRICS)


def test_shares_of_verdicts() -> None:
    answers = [
        answer("Answer: 4", "4", passed=True),
        answer("2 + 2 = 5\nAnswer: 4", "4", passed=True, score=0.5, reason="wrong_step", detail={"first_wrong_step": 1}),
        answer("Answer:  x = 5 ", "4", score=0.0, reason="wrong_value"),
        answer("?", "4", score=0.0, reason="no_answer"),
    ]  # fmt: skip
    value = {name: metrics.get(name).score(answers).value for name in ("accuracy", "logic_coherence", "solver_checks", "exact_match", "step_checks")}  # fmt: skip
    assert value == {"accuracy": 0.5, "logic_coherence": 0.375, "solver_checks": 0.25, "exact_match": 0.5, "step_checks": pytest.approx(2 / 3)}  # fmt: skip
    np.testing.assert_array_equal(metrics.get("step_checks").values(answers), [1, 0, 1, np.nan])
    interval = metrics.get("accuracy").score(answers).interval
    assert interval is not None and interval.low < 0.5 < interval.high
    assert metrics.get("accuracy").score([]).value is None


def test_pass_at_k() -> None:
    def samples(id: str, passed: str) -> list[Any]:
        return [answer("", id=id, passed=one == "1") for one in passed]

    answers = [*samples("a", "1000"), *samples("b", "0000"), *samples("c", "1101"), *samples("d", "1")]
    assert metrics.get("pass@1").score(answers).value == pytest.approx((1 / 4 + 0 + 3 / 4 + 1) / 4)
    assert metrics.get("pass@2").score(answers).value == pytest.approx((1 / 2 + 0 + 1) / 3)  # d has but one answer
    values = metrics.get("pass@2").values(answers)
    assert values[0] == pytest.approx(1 / 2) and np.isnan(values[1:4]).all() and np.isnan(values[12])
    assert metrics.get("pass@9").score(answers).value is None
    assert metrics.get("pass@k").score(answers[:12]).signature == "k:4"
    assert metrics.get("repair@1").score(answers).value == pytest.approx((0 + 0 + 1 + 1) / 4)
    assert metrics.get("repair@3").score(answers).value == pytest.approx((0 + 0 + 1 + 1) / 4)
    single = [answer("", id="a", passed=True), answer("", id="b")]
    assert metrics.get("repair@k").score(single).value == metrics.get("pass@k").score(single).value == 0.5


@settings(deadline=None)
@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_chance_is_the_share_of_draws_with_a_passed_answer(drawn: tuple[int, int, int]) -> None:
    n, passed, k = drawn
    draws = list(combinations([True] * passed + [False] * (n - passed), k))
    assert chance(passed, n, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    with pytest.raises(ValueError, match="passed <= n"):
        chance(passed, n, n + 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: 5\nConfidence: 80%", 0.8), ("confidence = 0.75.", 0.75), ("Confidence level: 90", 0.9), ("My confidence is 7 percent", 0.07),
        ("I am 95 % sure", 0.95), ("Confidence: 50%. No: confidence: 60%", 0.6), ("confidence: 1", 1.0), ("Confidence: .5", 0.5),
        ("confidence: 150%", None), ("confidence: 1000", None), ("I am sure: 95", None), ("30% of 80 certainly", None), ("", None),
        ("confidence: high", None),
    ],
)  # fmt: skip
def test_stated_confidence(text: str, value: float | None) -> None:
    assert stated(text) == (None if value is None else pytest.approx(value))


@settings(deadline=None)
@given(st.text(st.sampled_from("confidence sure%:.0159 "), max_size=60))
def test_stated_confidence_is_a_share(text: str) -> None:
    found = stated(text)
    assert found is None or 0 <= found <= 1


def test_calibration() -> None:
    known = [answer(f"Confidence: {one}%", passed=passed) for one, passed in ((90, True), (90, False), (20, False), (20, False))]  # fmt: skip
    found = metrics.get("calibration").score(known)
    assert found.value == pytest.approx((2 * 0.4 + 2 * 0.2) / 4)
    assert [(one["confidence"], one["accuracy"], one["n"]) for one in found.table] == [(0.2, 0.0, 2), (0.9, 0.5, 2)]
    token = [answer("no word of it", passed=True, confidence=0.6), answer("nor here")]
    mixed = metrics.get("calibration").score([*known, *token])
    assert "stated:4|token:1|none:1" in mixed.signature
    assert metrics.get("calibration").score(token[1:]).value is None
    np.testing.assert_allclose(metrics.get("calibration").values(token), [0.16, np.nan])


PROBABILITIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.91, 0.99, 1.0]), st.booleans()), min_size=1, max_size=60
)


@settings(deadline=None)
@given(PROBABILITIES, st.randoms(use_true_random=False))
def test_reliability(drawn: list[tuple[float, bool]], random: Any) -> None:
    table = reliability(np.array([p for p, _ in drawn]), np.array([float(right) for _, right in drawn]))
    assert sum(one["n"] for one in table) == len(drawn) and len(table) <= 10
    assert all(one["low"] <= one["high"] for one in table)
    assert all(before["high"] < after["low"] for before, after in pairwise(table))
    random.shuffle(drawn)
    again = reliability(np.array([p for p, _ in drawn]), np.array([float(right) for _, right in drawn]))
    assert [(one["n"], one["low"], pytest.approx(one["accuracy"])) for one in table] == [
        (one["n"], one["low"], one["accuracy"]) for one in again
    ]


def test_calibration_has_ten_bins_of_equal_mass() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=20_000)
    table = reliability(confidence, (rng.uniform(size=20_000) < confidence).astype(float))
    assert [one["n"] for one in table] == [2000] * 10
    assert sum(one["n"] * abs(one["accuracy"] - one["confidence"]) for one in table) / 20_000 < 0.02


def test_latency_speed_and_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [answer("", seconds=seconds, tokens=tokens) for seconds, tokens in ((1, 10), (2, 40), (3, None))]
    assert metrics.get("latency_p50").score(answers).value == 2
    assert metrics.get("latency_p95").score(answers).value == pytest.approx(2.9)
    assert metrics.get("tokens_per_second").score(answers).value == pytest.approx(50 / 3)
    np.testing.assert_allclose(metrics.get("tokens_per_second").values(answers), [10, 20, np.nan])
    monkeypatch.setenv("TRUEMARK_PRICE", "2/6")
    # 10 prompt tokens each at 2, 25 answer tokens on average at 6 per million, a thousand times
    assert metrics.get("cost").score(answers).value == pytest.approx((10 * 2 + 25 * 6) / 1000)
    assert "prompt:2|answer:6" in metrics.get("cost").score(answers).signature
    monkeypatch.setenv("TRUEMARK_PRICE", "3")
    assert metrics.get("cost").score(answers[:1]).value == pytest.approx(20 * 3 / 1000)
    for bad in ("", "free", "-1", "1/2/3", "nan", "1/inf"):
        monkeypatch.setenv("TRUEMARK_PRICE", bad)
        with pytest.raises(InvalidConfig, match="TRUEMARK_PRICE"):
            metrics.get("cost").score(answers)


def test_chunks_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu")
    answers = [
        answer(text, gold, id=str(i % 150), passed=i % 3 == 0, seconds=i / 7, meta={"source": gold})
        for i, (text, gold) in enumerate(pairs(230)) if len(text) < 4000
    ]  # fmt: skip
    at_once = measure(LIGHT, answers)
    monkeypatch.setattr(scoring, "CHUNK", 32)
    in_parts = measure(LIGHT, iter(answers))
    assert not at_once.errors and not in_parts.errors and at_once.n == in_parts.n == len(answers)
    for name, estimate in at_once.estimates.items():
        assert in_parts.estimates[name].value == pytest.approx(estimate.value, abs=1e-9), name
        assert estimate.value == metrics.get(name).score(answers).value, name
    assert at_once.values.keys() == in_parts.values.keys() == set(LIGHT) - {"self_bleu"}
    for name, values in at_once.values.items():
        np.testing.assert_array_equal(values, in_parts.values[name], err_msg=name)
        np.testing.assert_array_equal(values, metrics.get(name).values(answers), err_msg=name)


def test_no_answers_have_no_value() -> None:
    found = measure(LIGHT, [])
    assert not found.errors and all(one.value is None for one in found.estimates.values())


def test_a_missing_package_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    found = measure(["bleu", "accuracy", "rouge_l"], [answer("a", "a", passed=True)])
    assert isinstance(found.errors["bleu"], MissingDependency) and "truemark[metrics]" in str(found.errors["bleu"])
    assert found.estimates["accuracy"].value == found.estimates["rouge_l"].value == 1
    shown = metric_table.table([("base", found)], ["bleu", "accuracy"])
    assert "–" in shown and "100.0 %" in shown and "bleu: no value: 'sacrebleu' is not installed" in shown
    assert metric_table.to_json(found)["bleu"]["mend"].startswith("pip install")


def write_run(folder: Path, n: int) -> tuple[Path, Path]:
    """A test set of the toy domain and its predictions, in another order."""
    rows = toy.examples(n)
    write_jsonl(folder / "test.jsonl", [dict(row) for row in rows])
    lines = []
    for i, row in reversed(list(enumerate(rows))):
        text = row["reference"] if i % 4 else "I am not sure"
        lines.append(answer(text, id=row["id"], example_sha256=example_sha256(row), seconds=float(i)).prediction.model_dump())  # fmt: skip
    write_jsonl(folder / "run.jsonl", lines)
    return folder / "test.jsonl", folder / "run.jsonl"


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test, run = write_run(tmp_path, 40)
    monkeypatch.setattr(scoring, "CHUNK", 16)
    found = measure_files(["accuracy", "latency_p50"], "toy", test, run, values=True)
    assert (found.n, found.estimates["accuracy"].value, found.estimates["latency_p50"].value) == (40, 0.75, 19.5)
    np.testing.assert_array_equal(found.values["latency_p50"], np.arange(40.0))  # in the order of the test set


def test_bad_files_are_named(tmp_path: Path) -> None:
    test, run = write_run(tmp_path, 6)
    lines = run.read_text().splitlines(keepends=True)

    def refused(message: str) -> None:
        with pytest.raises(InvalidData, match=message):
            measure_files(["accuracy"], "toy", test, run)

    run.write_text("".join(lines) + lines[0][:50])  # cut by an interruption: left out
    assert measure_files(["accuracy"], "toy", test, run).n == 6
    run.write_text("".join([*lines, "\n", lines[2]]))  # twice the same, and a blank line
    assert measure_files(["accuracy"], "toy", test, run).n == 6
    run.write_text(lines[0] + "{}\n" + "".join(lines[1:]))
    refused(r"run\.jsonl:2: expected a prediction")
    run.write_text("".join([*lines, lines[2].replace("I am not sure", "four").replace('"text": "', '"text": "x')]))
    refused(r"run\.jsonl:7: a second, different answer to 'toy-3'")
    run.write_text("".join(lines[1:]))
    refused(r"test\.jsonl:6 has no answer")
    run.write_text("".join(lines))
    test.write_text(test.read_text() + "[]\n")
    refused(r"test\.jsonl:7: expected an example")
    run.unlink()
    refused(r"cannot read .*run\.jsonl")


def test_processes_give_the_same_bits(tmp_path: Path) -> None:
    """Two processes in a fresh interpreter, which a script must be able to start; the real domain, so that each finds it by itself."""
    rows = [{"id": f"c{i}", "messages": [{"role": "user", "content": "?"}], "reference": gold, "meta": {}} for i, (_, gold) in enumerate(pairs(40)) if gold]  # fmt: skip
    write_jsonl(tmp_path / "test.jsonl", rows)
    write_jsonl(tmp_path / "run.jsonl", [answer(f"{row['reference']} so", id=row["id"], example_sha256=example_sha256(row)).prediction.model_dump() for row in rows])  # fmt: skip
    names = ["rouge_1", "rouge_lsum", "accuracy", "latency_p95"]
    script = f"""
from pathlib import Path
from evalsuite import scoring
scoring.CHUNK = 8
if __name__ == "__main__":
    folder = Path({str(tmp_path)!r})
    for processes in (1, 2):
        found = scoring.measure_files({names!r}, "devops", folder / "test.jsonl", folder / "run.jsonl", values=True, processes=processes)
        print({{name: one.value.hex() for name, one in found.estimates.items()}}, [values.tobytes().hex() for values in found.values.values()])
"""
    (tmp_path / "go.py").write_text(script)
    done = subprocess.run([sys.executable, tmp_path / "go.py"], env={**os.environ, "PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True, check=False)  # fmt: skip
    one, two = done.stdout.splitlines() or [done.stderr, ""]
    assert one == two and "rouge_lsum" in one


def test_verb_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from truemark.cli import run as truemark

    test, run = write_run(tmp_path, 8)
    base = ["score", "toy", str(run), "--data", str(test)]
    assert truemark([*base, "--metric", "accuracy", "--metric", "pass@2"]) == 0
    shown = capsys.readouterr().out
    assert "8 answers" in shown and "accuracy ↑" in shown and "75.0 %" in shown and "pass@k ↑" in shown
    assert truemark([*base, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 8 and list(found["metrics"]) == list(toy.METRICS)
    assert found["metrics"]["accuracy"]["interval"]["low"] < 0.75
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        truemark([*base, "--metric", "accuraccy"])


class Bigram(BatchedRuntime):
    """A model that knows the last token alone: row t of a table is the logits of the token after t. Token 0 ends an answer."""

    template, batch_size, _eos = "", 4, frozenset({0})

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def _text(self, tokens: Any) -> str:
        return " ".join(map(str, tokens))

    def _forward(self, ids: np.ndarray, mask: np.ndarray, position: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        return self.table[ids[:, -1]], None

    def _keep(self, cache: Any, rows: list[int]) -> Any:
        return cache


def test_token_confidence_is_the_geometric_mean_of_the_answers_tokens() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 6)).astype(np.float32)
    table[1:4, 0] -= 20  # 1 → … ends late or never
    table[4, 0] += 20  # 4 ends at once
    probabilities = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    prompts = [[1], [4], [2, 3], [4], [1, 2]]
    for sampling in (Sampling(max_tokens=7), Sampling(max_tokens=7, temperature=1.5, seed=3)):
        for index, completion in Bigram(table).generate(prompts, sampling):
            ended = completion.finish_reason == "stop"
            tokens = [*completion.token_ids, *([0] if ended else [])]
            path = [prompts[index][-1], *tokens]
            wanted = np.prod([probabilities[a, b] for a, b in pairwise(path)]) ** (1 / len(tokens))
            assert completion.confidence == pytest.approx(wanted, rel=1e-5)
