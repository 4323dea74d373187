"""What votes say: α as published, Bradley-Terry as derived, intervals that cover, and pairs for training."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import domains
from evalsuite import metrics
from evalsuite.agreement import LEVELS, Level, alpha
from evalsuite.bradley_terry import Comparison, probability, strengths
from evalsuite.judgement import judge
from evalsuite.metric_agreement import correlate
from evalsuite.metrics import Mean
from tests import evalsuite_helpers as toy
from truemark import cli, runtimes
from truemark.errors import InvalidData, ModelNotFound, UnknownName
from truemark.files import read_jsonl, write_jsonl
from truemark.votes import Answer, Choice, Item, Vote, open_store

pytest.importorskip("sqlalchemy", reason="needs the extra `votes`")

NAN = math.nan
# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): the data of sections A, B and C, observers by units
SECTION_A = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
SECTION_B = [["aabbdcccedda".index(v) for v in row] for row in ("aabbdcccedda", "babbbcccedddd"[:12])]
SECTION_C = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


@pytest.mark.parametrize(
    ("observers", "level", "expected"),
    [
        (SECTION_A, "nominal", 0.095),
        (SECTION_B, "nominal", 0.692),
        (SECTION_C, "nominal", 0.743),
        (SECTION_C, "ordinal", 0.815),
        (SECTION_C, "interval", 0.849),
    ],
)
def test_alpha_as_published(observers: list[list[float]], level: Level, expected: float) -> None:
    found = alpha(np.array(observers, dtype=float).T, level)
    assert found.value is not None and abs(found.value - expected) < 0.0005 + 1e-9


def by_definition(ratings: np.ndarray, level: Level) -> float | None:
    """α from pairs, one at a time: observed and expected disagreement, no coincidence matrix."""
    units = [[v for v in row if not math.isnan(v)] for row in ratings]
    units = [row for row in units if len(row) > 1]
    pool = [v for row in units for v in row]

    def distance(c: float, k: float) -> float:
        if level == "nominal":
            return float(c != k)
        if level == "interval":
            return (c - k) ** 2
        low, high = min(c, k), max(c, k)
        return (sum(low <= v <= high for v in pool) - (pool.count(c) + pool.count(k)) / 2) ** 2 if c != k else 0.0

    observed = sum(
        distance(row[i], row[j]) / (len(row) - 1)
        for row in units
        for i in range(len(row))
        for j in range(len(row))
        if i != j
    )
    expected = sum(distance(a, b) for a in pool for b in pool)
    return 1 - (len(pool) - 1) * observed / expected if expected else None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0, NAN]), min_size=3, max_size=3), min_size=1, max_size=12),
    st.sampled_from(LEVELS),
)
def test_alpha_is_what_its_definition_says(rows: list[list[float]], level: Level) -> None:
    found, expected = alpha(np.array(rows), level, resamples=20), by_definition(np.array(rows), level)
    assert (found.value is None) == (expected is None)
    if expected is not None:
        assert found.value == pytest.approx(expected, abs=1e-12)


def test_alpha_says_when_it_cannot_tell() -> None:
    assert alpha(np.full((20, 2), 3.0), "ordinal").value is None
    assert alpha(np.array([[1.0, NAN], [NAN, 2.0]]), "nominal") == alpha(np.empty((0, 2)), "nominal")
    few = alpha(np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 2.0]]), "nominal")
    assert few.value is not None and few.interval is None


def test_alpha_resamples_whole_questions() -> None:
    generator = np.random.default_rng(1)
    ratings = np.repeat(generator.integers(1, 6, (30, 1)), 2, axis=1) + (generator.random((30, 2)) < 0.3)
    once, copied = alpha(ratings, "interval"), np.repeat(ratings, 4, axis=0)
    naive, clustered = alpha(copied, "interval"), alpha(copied, "interval", clusters=np.repeat(np.arange(30), 4))
    assert once.interval and naive.interval and clustered.interval
    width = [one.interval.high - one.interval.low for one in (once, naive, clustered) if one.interval]
    assert width[1] < 0.7 * width[0] and width[2] == pytest.approx(width[0], rel=0.15)
    assert once.interval.low < (once.value or 0) < once.interval.high


def votes_of(counts: dict[tuple[str, str], tuple[int, int, int]]) -> list[Comparison]:
    """(a, b) → votes for a, for b, ties."""
    return [
        Comparison(a, b, choice, f"{a}{b}{choice}{n}")
        for (a, b), parts in counts.items()
        for choice, number in zip(("a", "b", "tie"), parts, strict=True)
        for n in range(number)
    ]


def test_two_models_have_davidsons_closed_form() -> None:
    found = strengths(votes_of({("x", "y"): (6000, 3000, 2000)}), resamples=10)
    assert found.scores[0] - found.scores[1] == pytest.approx(math.log(2), abs=0.001)
    assert found.tie_weight == pytest.approx(2000 / math.sqrt(6000 * 3000), rel=0.001)
    win, tie, loss = probability(math.log(2), found.tie_weight)
    assert (win, tie, loss) == pytest.approx((6 / 11, 2 / 11, 3 / 11), abs=0.001)
    assert sum(found.scores) == pytest.approx(0, abs=1e-12)


def test_the_order_of_a_and_b_does_not_matter() -> None:
    votes = votes_of({("x", "y"): (9, 4, 3), ("y", "z"): (5, 5, 5), ("z", "x"): (2, 9, 1)})
    other = {"a": "b", "b": "a", "tie": "tie"}
    turned = [Comparison(v.b, v.a, other[v.choice], v.question) for v in reversed(votes)]
    assert strengths(votes, resamples=5).scores == pytest.approx(strengths(turned, resamples=5).scores, abs=1e-9)


def test_the_fit_is_the_maximum() -> None:
    """Expected wins plus half the ties equal the observed ones, but for the prior's pull: the score equations."""
    votes = votes_of({("w", "x"): (30, 10, 9), ("x", "y"): (18, 12, 4), ("y", "w"): (3, 20, 2), ("y", "z"): (7, 8, 9)})
    found = strengths(votes, resamples=5)
    n = found.wins + found.wins.T + found.ties
    for i in range(4):
        expected = sum(
            n[i, j] * (win + tie / 2)
            for j in range(4)
            if j != i
            for win, tie, _ in [probability(found.scores[i] - found.scores[j], found.tie_weight)]
        )
        observed = found.wins[i].sum() + found.ties[i].sum() / 2
        assert observed - expected == pytest.approx(found.scores[i] / 9, abs=1e-6)


def test_one_that_won_all_stays_finite_and_is_named() -> None:
    found = strengths(votes_of({("best", "x"): (40, 0, 0), ("best", "y"): (30, 0, 0), ("x", "y"): (20, 10, 0)}))
    assert found.models[0] == "best" and 2 < found.scores[0] < 12
    assert found.unbounded["best"] == "best" and found.intervals[0] is None
    assert found.tie_weight == 0.0 and found.connected


def test_groups_that_no_vote_connects() -> None:
    found = strengths(votes_of({("a", "b"): (20, 9, 3), ("b", "c"): (9, 9, 9), ("x", "y"): (5, 9, 0)}))
    assert found.groups == (("a", "b", "c"), ("x", "y")) and not found.connected
    assert found.scores[:3].sum() == pytest.approx(0, abs=1e-12) == found.scores[3:].sum()
    assert strengths([]).models == () and strengths([Comparison("a", "a", "tie", "q")]).models == ()


TRUE = np.array([0.8, 0.3, -0.2, -0.9])
TIE_WEIGHT = 0.4


def simulate(generator: np.random.Generator, questions: int) -> list[Comparison]:
    """Annotators with Davidson's chances: for each question two pairs of models, each seen by two annotators."""
    votes = []
    for question in range(questions):
        for _ in range(2):
            i, j = generator.choice(4, 2, replace=False)
            chances = probability(TRUE[i] - TRUE[j], TIE_WEIGHT)
            for choice in generator.choice(["a", "tie", "b"], size=2, p=chances):
                votes.append(Comparison(f"m{i}", f"m{j}", str(choice), str(question)))
    return votes


def coverage(simulations: int, questions: int = 60, resamples: int = 300) -> float:
    generator = np.random.default_rng(20)
    inside = []
    for number in range(simulations):
        found = strengths(simulate(generator, questions), seed=number, resamples=resamples)
        inside += [b is not None and b.low <= true <= b.high for b, true in zip(found.intervals, TRUE, strict=True)]
    return float(np.mean(inside))


@pytest.mark.slow
def test_intervals_cover() -> None:
    assert 0.93 <= coverage(500) <= 0.97


def test_intervals_cover_roughly() -> None:
    assert 0.9 <= coverage(60, resamples=200) <= 0.99


def vote(
    n: int,
    choice: Choice,
    annotator: str = "ada",
    *,
    left: str = "a",
    ratings: tuple[int | None, int | None] = (None, None),
) -> Vote:
    answers = Answer(f"a{n}", "runs/a", "aa", "a@1"), Answer(f"b{n}", "base", "bb", "base")
    item = Item("toy", [{"role": "user", "content": f"{n}?"}], *answers, f"e{n}")
    return Vote(item, annotator, choice, left, *ratings, created="2030-01-01")  # type: ignore[arg-type]


def test_a_judgement_says_what_it_is_worth() -> None:
    choices: list[Choice] = ["a", "a", "a", "b", "tie"]
    votes = [
        vote(n, choices[n % 5], name, left="ab"[n % 2], ratings=(4, 2)) for n in range(40) for name in ("ada", "bob")
    ]
    found = judge("toy", 50, votes)
    assert (found.items, found.judged, found.enough, found.votes, found.annotators) == (50, 40, 40, 80, 2)
    assert found.alpha.value == 1.0 and found.rating_alpha and found.rating_alpha.value == 1.0
    first, second = found.standings
    assert (first.model, first.sha256, first.wins, first.ties, first.losses) == ("a@1", "aa", 48, 16, 16)
    assert first.interval and first.interval.low > 0 > second.score and found.ratings == {"a@1": 4.0, "base": 2.0}
    assert found.left_share == 0.5 and found.notes == []
    json.dumps(found.to_json())


def test_a_judgement_of_too_little_says_so() -> None:
    assert judge("toy", 3, []).notes == ["no votes on toy yet: nothing can be said"]
    notes = "\n".join(judge("toy", 3, [vote(1, "a"), vote(2, "a")]).notes)
    assert "0 items have 2 annotators" in notes and "never lost" in notes and "never won" in notes
    mixed = [vote(n, "a" if n % 2 else "b", left="ab"[(n + 1) % 2]) for n in range(30)]
    assert any("100 % went to the left" in note for note in judge("toy", 30, mixed).notes)
    random = np.random.default_rng(2)
    noise = [vote(n, str(random.choice(["a", "b"])), name) for n in range(60) for name in ("ada", "bob")]  # type: ignore[arg-type]
    assert any("α may be below 0.667" in note for note in judge("toy", 60, noise).notes)


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which a base and an adapter were evaluated and their answers judged by two people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
    monkeypatch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{toy.__name__}:ToyRuntime")
    toy.write_data(Path("data/toy/test.jsonl"), 60)
    toy.checkpoint(Path("base"), rate=0.2)
    toy.adapter(Path("runs/a"), Path("base"), rate=0.7, seed=1)
    assert cli.run(["eval", "toy", "--runtime", "toy", "--model", "base", "--model", "runs/a"]) == 0
    return tmp_path


def test_votes_from_predictions_to_a_report(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidData, match=r"no votes at results/votes\.sqlite"):
        cli.run(["votes", "toy"])
    cli.run(["votes", "toy", "--offer", "base", "--offer", "runs/a"])
    assert "answers are the same in both: not offered" in capsys.readouterr().err
    random = np.random.default_rng(0)
    with open_store() as store:
        for name in ("ada", "bob"):
            for task in store.queue(name, 99):
                good = [side for side in ("left", "right") if any(c.isdigit() for c in getattr(task, side))]
                choice = str(random.choice(["left", "right"])) if random.random() < 0.2 else good[0]
                store.add(name, task.item, choice)  # type: ignore[arg-type]
    cli.run(["votes", "toy", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["standings"][0]["ref"] == "runs/a" and found["alpha"]["value"] > 0.2  # a fifth of the votes are noise
    [row] = [row for row in found["correlation"]["metrics"] if row["metric"] == "accuracy"]
    assert (
        0.8 < row["agreement"] < 1
        and row["interval"][0] > 0.5
        and row["tau"] == pytest.approx(2 * row["agreement"] - 1)
    )
    assert found["correlation"]["people"]["agreement"] < 0.95
    assert found["correlation"]["found"] == found["correlation"]["items"] == found["judged"]
    cli.run(["votes", "toy"])
    out = capsys.readouterr().out
    for text in ("Krippendorff's α (votes, nominal)", "a@", "another annotator", "accuracy", "left side"):
        assert text in out


class Length(Mean):
    title, unit, better = "length", "points", "higher"
    batches: ClassVar[list[int]] = []

    def measure(self, answers: Sequence[metrics.Answer]) -> np.ndarray:
        self.batches.append(len(answers))
        return np.array([len(answer.text) for answer in answers], dtype=float)


def test_metrics_read_all_judged_answers_in_one_go(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "METRICS", {"length": f"{__name__}:Length", "self_bleu": metrics.METRICS["self_bleu"]})
    cli.run(["votes", "toy", "--offer", "base", "--offer", "runs/a"])
    with open_store() as store:
        for task in store.queue("ada", 20):
            store.add("ada", task.item, "left" if len(task.left) < len(task.right) else "right")
        votes = store.votes("toy")
    found = correlate(Path("results"), "toy", votes)
    assert Length.batches == [2 * found.found], "each answer once, and all together"
    assert [(row.metric, row.agreement) for row in found.metrics] == [("length", 0.0)], "the shorter was preferred"
    assert found.left_out == {"self_bleu": "has no value for one answer alone"}


def test_what_cannot_be_offered(evaluated: Path) -> None:
    with pytest.raises(ModelNotFound, match="no test set of toy has scores of both base and other"):
        cli.run(["votes", "toy", "--offer", "base", "--offer", "other"])
    with pytest.raises(InvalidData, match="expected --offer REF twice, found 1"):
        cli.run(["votes", "toy", "--offer", "base"])
    with pytest.raises(UnknownName, match="did you mean 'toy'"):
        cli.run(["votes", "tpy"])
    assert not Path("results/votes.sqlite").exists()


def test_votes_become_pairs_but_never_those_on_the_test_set(
    evaluated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def item(n: int, example: str | None) -> Item:
        prompt = [{"role": "user", "content": f"{n} + {n}"}]
        return Item("toy", prompt, Answer("yes", "runs/a", "aa"), Answer(f"no {n}", "base", "bb"), example)

    with open_store() as store:
        ids = store.offer([item(500, None), item(501, "train-1"), item(3, None), item(502, "toy-2"), item(503, None)])
        for name, choices in (("ada", "aabaa"), ("bob", "atbab"), ("eve", "aaaat")):
            for id, choice in zip(ids, choices, strict=True):
                left = store.task(name, id).left == "yes"
                store.add(name, id, "tie" if choice == "t" else "left" if (choice == "a") == left else "right")
    for words in (
        ["--from", "votes"],
        ["--votes", "results/votes.sqlite"],
        ["--votes", "sqlite:///results/votes.sqlite"],
    ):
        cli.run(["data", "pairs", "toy", *words, "--out", "pairs.jsonl"])
        rows = read_jsonl(Path("pairs.jsonl"))
        assert {row["id"].split("/")[0]: row["meta"]["margin"] for row in rows} == {"asked": 3, "train-1": 2}
        assert all(row["chosen"] == "yes" and row["rejected"].startswith("no 50") for row in rows)
    err = capsys.readouterr().err
    assert "left out: 2 judged items of the test set" in err and "left out: 1 ties" in err
    write_jsonl(
        Path("votes.jsonl"),
        [{"id": "v", "prompt": [{"role": "user", "content": "hi"}], "a": "x", "b": "y", "vote": "b"}],
    )
    cli.run(["data", "pairs", "toy", "--from", "votes", "--votes", "votes.jsonl", "--out", "pairs.jsonl"])
    assert [row["chosen"] for row in read_jsonl(Path("pairs.jsonl"))].count("y") == 1
    Path("data/toy/test.jsonl").unlink()
    with pytest.raises(InvalidData, match="which votes are on it, and must not be trained on, cannot be told"):
        cli.run(["data", "pairs", "toy", "--from", "votes"])
