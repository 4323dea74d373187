"""Rows of a table: which test, over what, corrected for what, and what is said where no difference is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from domains.base import Verdict
from evalsuite import metrics, report
from evalsuite.comparison import Row, Scored, compare, difference, find_baseline, quantization
from evalsuite.evaluations import Evaluation, Model
from evalsuite.metrics import Answer, Estimate, Mean
from evalsuite.predictions import Prediction
from evalsuite.statistics import holm, mcnemar, permutation
from truemark.errors import ModelNotFound, UnknownName

FAMILIES = 40
SAMPLING = {"max_tokens": 64, "temperature": 0.7, "top_p": 0.9, "seed": 3, "stop": []}


class OwnScore(Mean):
    """The verdict's score, where it has one."""

    title, unit, better = "score", "points", "higher"

    def measure(self, answers: Sequence[Answer]) -> np.ndarray:
        return np.array([np.nan if answer.verdict.score < 0 else answer.verdict.score for answer in answers])


class Corpus(OwnScore):
    """Of all answers, no mean of theirs."""

    title, better = "corpus", "lower"

    def estimate(self, rows: np.ndarray) -> Estimate:
        return Estimate(42.0, signature="pooled|v:1")


@pytest.fixture(autouse=True)
def _rows_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(metrics.METRICS, "score", f"{__name__}:OwnScore")
    monkeypatch.setitem(metrics.METRICS, "corpus", f"{__name__}:Corpus")


def model(name: str, right: np.ndarray, values: np.ndarray | None = None, families: int = FAMILIES) -> Scored:
    """A model whose i-th answer is right or not."""
    about = Model(ref=name, label=name, name=name, kind="checkpoint", format="fp16", sha256=name)
    evaluation = Evaluation(
        domain="toy", model=about, engine="toy", engine_sha256="e", sampling=SAMPLING, system="", examples_sha256="0",
        limit=None, created="2026-01-01", machine="m", libraries={}, verdicts=[],
    )  # fmt: skip
    values = right if values is None else values
    answers = [
        Answer(
            {"id": str(i), "messages": [], "reference": "", "meta": {"slice": "ab"[i % 2], "family": f"f{i % families}"}},
            Prediction(key="", id=str(i), example_sha256="", ref=name, label=name, model_sha256="", engine="toy", engine_sha256="",
                       sampling={}, prompt_sha256="p", prompt_tokens=1, text="", finish_reason="stop", tokens=10, seconds=0.5),
            Verdict(float(values[i]), bool(right[i]), "ok"),
        )
        for i in range(len(right))
    ]  # fmt: skip
    return Scored(evaluation, answers)


def draw(rate: float, seed: int, n: int = 400) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < rate).astype(float)


def overall(rows: list[Row]) -> dict[str, Row]:
    return {row.scored.evaluation.model.ref: row for row in rows if row.slice == "all"}


def test_a_row_by_hand() -> None:
    base, better = model("base", draw(0.3, 1)), model("better", draw(0.6, 2))
    row = overall(compare([base, better], base))["better"]
    d = np.array(
        [a.verdict.passed - b.verdict.passed for a, b in zip(better.answers, base.answers, strict=True)], float
    )
    families = np.arange(400) % FAMILIES
    found = row.difference
    assert found is not None and found.significant and found.detectable is None
    assert found.value == pytest.approx(d.mean()) and found.families == FAMILIES and found.n == 400
    assert found.p == found.p_holm == permutation(d, families)
    assert found.mcnemar == mcnemar(int((d > 0).sum()), int((d < 0).sum()))
    assert found.interval.method == "paired bootstrap over families" and found.interval.low > 0
    assert overall(compare([base, better], base))["base"].difference is None


def test_holm_goes_over_the_whole_table() -> None:
    base = model("base", draw(0.5, 0), draw(0.5, 9))
    others = [model(f"m{k}", draw(0.5 + k / 30, k), draw(0.5, k + 50)) for k in range(1, 5)]
    rows = list(overall(compare([base, *others], base, ["score"])).values())
    found = [score.difference for row in rows for score in row.scores.values() if score.difference]
    assert len(found) == 8
    assert [d.p_holm for d in found] == pytest.approx(holm([d.p for d in found]))


def test_no_difference_says_what_would_have_been_seen() -> None:
    base, same = model("base", draw(0.5, 1)), model("same", draw(0.5, 2))
    row = overall(compare([base, same], base))["same"]
    assert row.difference is not None and not row.difference.significant
    assert row.difference.detectable is not None and 0.05 < row.difference.detectable < 0.2
    assert "no difference; ≥ " in report.cells(row)[7] and " would show" in report.cells(row)[7]
    two = overall(compare([base, same, model("third", draw(0.5, 3))], base))["same"]
    assert two.difference is not None and two.difference.detectable > row.difference.detectable  # type: ignore[operator]


def test_the_same_answers_leave_an_interval_of_some_width() -> None:
    right = draw(0.5, 1)
    row = overall(compare([base := model("base", right), model("copy", right)], base))["copy"]
    assert row.difference is not None and row.difference.p == 1.0
    low, high = row.difference.interval
    assert low < 0 < high and row.difference.interval.method == "rule of three"
    assert row.group == "a"


def test_families_that_lean_together_are_not_taken_for_many_examples() -> None:
    """Ten families, of which seven lean one way with all their 40 examples: nothing for the families, all for McNemar."""
    lean = np.array([1.0] * 7 + [0.0] * 3)[np.arange(400) % 10]
    row = overall(compare([base := model("base", 1 - lean, families=10), model("leans", lean, families=10)], base))[
        "leans"
    ]
    assert row.difference is not None and row.difference.mcnemar is not None
    assert row.difference.mcnemar < 1e-9 and row.difference.p > 0.3 and not row.difference.significant


def test_too_few_families_are_said_to_be() -> None:
    base, better = model("base", draw(0.1, 1), families=4), model("better", draw(0.9, 2), families=4)
    row = overall(compare([base, better], base))["better"]
    assert row.difference is not None and row.difference.p == 2 / 2**4 and row.difference.detectable is None
    assert report.cells(row)[7] == "0.125; 4 families are too few to tell"


def test_groups_in_place_of_ranks() -> None:
    rates = {"best": 0.8, "next": 0.78, "base": 0.2}
    scored = [model(name, draw(rate, seed)) for seed, (name, rate) in enumerate(rates.items())]
    rows = overall(compare(scored, scored[-1]))
    assert sorted(rows) == ["base", "best", "next"] and list(rows)[-1] == "base"
    assert [row.group for row in rows.values()] == ["a", "a", "b"]


def test_a_metric_with_values_is_compared_where_it_applies() -> None:
    own, against = np.full(400, 0.6), np.full(400, 0.5)
    own[::4] += 0.2
    own[:8] = -1  # does not apply
    base, other = model("base", draw(0.5, 1), against), model("other", draw(0.5, 2), own)
    score = overall(compare([base, other], base, ["score"]))["other"].scores["score"]
    d = score.difference
    assert d is not None and d.n == 392 and d.mcnemar is None and d.of_score
    assert d.value == pytest.approx(0.15) and d.significant and "BCa bootstrap" in d.interval.method
    assert score.estimate.interval is not None and score.estimate.interval.method == "BCa bootstrap over families"


def test_a_corpus_metric_says_that_its_difference_is_of_examples() -> None:
    base, other = model("base", draw(0.5, 1), np.full(400, 0.2)), model("other", draw(0.5, 2), draw(0.5, 3))
    rows = overall(compare([base, other], base, ["corpus"]))
    score = rows["other"].scores["corpus"]
    assert score.estimate.interval is None and score.difference is not None and not score.difference.of_score
    assert "Δ (mean of examples)" in report.cells(rows["other"])[-1]
    assert report.headings(list(rows.values()))[-1] == "corpus ↓"
    assert "corpus: pooled|v:1" in report.methods(list(rows.values()))
    told = rows["other"].to_json()["metrics"]["corpus"]
    assert told["signature"] == "pooled|v:1" and told["better"] == "lower" and told["difference"]["of_score"] is False


def test_what_a_metric_needs_of_an_answer_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    measure = OwnScore.measure
    monkeypatch.setattr(
        OwnScore, "measure", lambda self, answers: (seen.append(len(answers)), measure(self, answers))[1]
    )
    models = [model("base", draw(0.3, 1), draw(0.3, 3)), model("other", draw(0.6, 2), draw(0.2, 4))]
    rows = compare(models, models[0], ["score"])
    assert {row.slice for row in rows} == {"a", "b", "all"} and seen == [400, 400]
    for row in rows:
        found = row.scores["score"].estimate.value
        assert found == metrics.get("score").score(row.answers).value
        assert all(row.slice in ("all", answer.example["meta"]["slice"]) for answer in row.answers)


def test_a_metric_that_applies_nowhere() -> None:
    nothing = np.full(6, np.nan)
    assert difference(nothing, nothing, None, "base") is None


def test_the_row_names_what_was_measured() -> None:
    base = model("base", draw(0.5, 1))
    other = replace(base, evaluation=base.evaluation.model_copy(update={"machine": "elsewhere"}))
    row = compare([other], other)[0].to_json()
    assert row["sampling"] == SAMPLING and row["machine"] == "elsewhere" and row["quantization"] is None
    assert report.decoding(SAMPLING) == "T 0.7, top-p 0.9, seed 3, ≤ 64"
    assert len(row["prompts_sha256"]) == 64


@pytest.mark.parametrize(
    ("format", "found"),
    [("gguf-q4_k_m", "q4_k_m"), ("lora-gguf-q8_0", "q8_0"), ("int8-w8a8", "int8-w8a8"), ("4bit", "4bit"), ("fp16", None), ("peft", None), ("gguf-f16", None), ("openai", None)],
)  # fmt: skip
def test_quantization(format: str, found: str | None) -> None:
    assert quantization(format) == found


def test_names_that_there_are_none_of() -> None:
    base = model("base", draw(0.5, 1, 20))
    with pytest.raises(UnknownName, match="did you mean 'score'"):
        compare([base], base, ["scores"])
    with pytest.raises(ModelNotFound, match="'other' was not evaluated"):
        find_baseline([base], "other")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.8333, "share", "83.3 %"), (31.44, "points", "31.4"), (0.0123, "seconds", "0.012 s"), (1234.5, "per_second", "1234.5/s"), (None, "share", "–")],
)  # fmt: skip
def test_numbers(value: float | None, unit: str, text: str) -> None:
    assert report.number(value, unit) == text
    assert report.points(-0.05) == "−5.0" and report.points(0.0001) == "0.0"
