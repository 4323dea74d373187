"""Places, graphs and scorers: no look ahead, nothing from hostile text, the same weights after an interruption, and that each learns."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from domains import get
from domains.math.steps import first_wrong
from tests import tiny
from train import adapter as adapters
from train import gnn, scorers, scratch
from train.structure import places
from train.structure.changes import CHANGES, RIGHT, UNKNOWN, WRONG, Solution, conversation, solutions
from train.structure.graph import EDGES, graph
from train.structure.vocabulary import Vocabulary
from truemark import artifacts, models
from truemark import recipe as recipes
from truemark.errors import EngineError, InvalidArtifact, InvalidConfig, InvalidData, TruemarkError
from truemark.files import sha256_file, write_jsonl
from truemark.runtimes import open_runtime
from truemark.runtimes.base import Sampling

math = get("math")
QUESTION = "Solve for x: 3x + 7 = 22"
LINES = ("3x = 22 - 7 = 15", "x = 15 / 3 = 5", "Answer: x = 5")
HOSTILE = [
    "__import__('os').system('echo hi') = 1",
    "9" * 5000 + " + 1",
    "(" * 3000 + "x" + ")" * 3000,
    "9^9^9^9^9^9 = x",
    "x" + "^2" * 500,
    "sqrt" * 900,
    "\x00\ud800 \u202e 1 + 1 = 2",
    "+-" * 2000,
    "1 " * 2000,
    "a " * 300 + "= " + "b " * 300,
    "\\frac{" * 200,
    "",
    " \n ",
]


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Any]]:
    return math.build(3, 60)


@pytest.fixture(scope="module")
def vocabulary(splits: dict[str, list[Any]]) -> Vocabulary:
    return Vocabulary.of(message["content"] for row in splits["train"] for message in row["messages"])


# places and tokens ------------------------------------------------------------------------------------------------------------


def placed(vocabulary: Vocabulary, question: str) -> dict[str, list[Any]]:
    spans = vocabulary.pieces(question)
    found: dict[str, list[Any]] = {}
    for (_, piece), place in zip(spans, places.of_question(question, spans), strict=True):
        found.setdefault(piece.strip(), []).append((places.ROLES[place.role], *place[1:]))
    return found


def test_places_are_those_of_the_parse(vocabulary: Vocabulary) -> None:
    found = placed(vocabulary, "Solve 3z + 42 = -4z^2 for z.")
    assert found["Solve"] == [("text", 0, 0, 0)]
    assert found["3"] == [("coefficient", 3, 1, 1)] and found["+"] == [("plus", 1, 1, 1)]
    assert found["4"][0] == found["2"][0] == ("number", 2, 2, 1), "both digits of 42 have its place"
    assert found["="][0][0] == "relation" and found["-"] == [("negative", 2, 1, 2)]
    assert found["2"][1][0] == "exponent" and found["z"][1] == ("variable", 3, 1, 2)


def test_places_of_an_answer_never_look_ahead(vocabulary: Vocabulary, splits: dict[str, list[Any]]) -> None:
    rng = random.Random(2)
    for row in splits["train"]:
        pieces = [piece for _, piece in vocabulary.pieces(row["messages"][1]["content"])]
        whole = list(places.of_answer(pieces))
        for _ in range(4):
            cut = rng.randrange(len(pieces))
            other = pieces[:cut] + rng.sample(pieces, len(pieces))
            assert list(places.of_answer(other))[:cut] == whole[:cut]


def test_the_prompt_does_not_depend_on_the_answer(vocabulary: Vocabulary) -> None:
    ids, known = scratch.prompt(vocabulary, QUESTION)
    for answer in ("x = 5", "nonsense = (((", "Answer: x = 6"):
        row = scratch._whole(vocabulary, QUESTION, answer)
        assert row[0][: len(ids)] == ids and row[2][: len(ids)] == known
        assert set(row[1][: len(ids)]) == {-100}


def test_tokens_give_the_text_back(vocabulary: Vocabulary, splits: dict[str, list[Any]]) -> None:
    for row in splits["test"]:
        for message in row["messages"]:
            pieces = vocabulary.pieces(message["content"])
            assert vocabulary.decode(vocabulary.encode(piece for _, piece in pieces)) == message["content"]
            assert all(message["content"].startswith(piece, start) for start, piece in pieces)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_bounded_and_harmless(text: str, vocabulary: Vocabulary) -> None:
    for question in (text, f"Solve {text} for x."):
        ids, known = scratch.prompt(vocabulary, question)
        assert len(ids) == len(known)
        made = graph(question, [text, "x = 1"])
        assert len(made.lines) == 2 and len(made.kinds) < 2000
        assert max([*made.sources, *made.targets], default=0) < len(made.kinds) == len(made.numbers)
    list(places.of_answer([piece for _, piece in vocabulary.pieces(text)]))


# changed steps ----------------------------------------------------------------------------------------------------------------


def test_steps_are_labelled_by_the_check_or_by_the_change(splits: dict[str, list[Any]]) -> None:
    rows = splits["train"]
    found = solutions(rows, 5)
    assert found == solutions(rows, 5) != solutions(rows, 6)
    assert {row.change for row in found} == {"reference", *CHANGES}
    for row in found:
        wrong = [index for index, label in enumerate(row.labels) if label == WRONG]
        if row.change == "reference":
            assert set(row.labels) == {RIGHT}
            continue
        assert len(wrong) == 1 and set(row.labels[: wrong[0]]) <= {RIGHT} and set(row.labels[wrong[0] + 1 :]) <= {UNKNOWN}  # fmt: skip
        step = first_wrong("\n".join(row.lines[: wrong[0] + 1]), row.question)
        if row.change == "number":
            step = first_wrong(row.text, row.question)
            assert step is not None and step.number == wrong[0] + 1
        if row.change == "foreign":
            assert step is None, "the check cannot see it"


@pytest.mark.parametrize("row", [{}, {"messages": "x"}, {"messages": [{"role": "user", "content": "hi"}]}])
def test_rows_that_are_no_conversation(row: dict[str, Any]) -> None:
    with pytest.raises(InvalidData, match="example 3"):
        conversation(row, 3)


# graphs -----------------------------------------------------------------------------------------------------------------------


def scored(made: Any, model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(**gnn.batched([made]))


@pytest.fixture(scope="module")
def untrained() -> Any:
    import torch

    torch.manual_seed(0)
    return gnn.network()(16, 3).eval()


def test_the_network_does_not_see_how_nodes_are_numbered(untrained: Any) -> None:
    import torch

    made = graph(QUESTION, LINES)
    order = list(range(len(made.kinds)))
    random.Random(1).shuffle(order)  # order[new] = old
    new = {old: position for position, old in enumerate(order)}
    edges = list(range(len(made.edges)))
    random.Random(2).shuffle(edges)
    other = type(made)(
        [made.kinds[old] for old in order], [made.numbers[old] for old in order],
        [new[made.sources[edge]] for edge in edges], [new[made.targets[edge]] for edge in edges], [made.edges[edge] for edge in edges],
        [new[line] for line in made.lines],
    )  # fmt: skip
    assert torch.allclose(scored(made, untrained), scored(other, untrained), atol=1e-5)
    swapped = type(made)(**{**made.__dict__, "edges": [(kind + 1) % len(EDGES) for kind in made.edges]})
    assert not torch.allclose(scored(made, untrained), scored(swapped, untrained), atol=1e-5)


def test_a_line_is_scored_from_those_before_it_alone(untrained: Any) -> None:
    import torch

    whole = scored(graph(QUESTION, LINES), untrained)
    assert torch.allclose(scored(graph(QUESTION, LINES[:2]), untrained), whole[:2], atol=1e-5)
    other = scored(graph(QUESTION, (*LINES[:2], "15 * 3 = 22 + 7 and x < 5")), untrained)
    assert torch.allclose(other[:2], whole[:2], atol=1e-5) and not torch.allclose(other[2], whole[2], atol=1e-5)


def test_one_number_met_again_is_linked() -> None:
    made = graph("", ["2 + 3 = 5", "7 = 5"])
    linked = [(a, b) for a, b, kind in zip(made.sources, made.targets, made.edges, strict=True) if EDGES[kind] == "same number"]  # fmt: skip
    assert len(linked) == 2 and all(a < b for a, b in linked), "2 + 3 with its 5, and that 5 with the next line's"
    without = graph("", ["2 + 3 = 5"], values=False)
    assert "same number" not in {EDGES[kind] for kind in without.edges}


# training ---------------------------------------------------------------------------------------------------------------------


def recipe(home: Path, method: str, **sections: Any) -> recipes.Recipe:
    values = {
        "name": f"tiny-{method}",
        "domain": "math",
        "base": "none",
        "method": method,
        "optim": {"steps": 8, "batch_size": 4, "warmup_steps": 1, "learning_rate": 3e-3, **sections.pop("optim", {})},
        "run": {"save_every": 3, "track": "none", "precision": "fp32"},
        **sections,
    }
    (home / "r.yaml").write_text(yaml.safe_dump(values))
    return recipes.load(str(home / "r.yaml"))


SMALL = {"scratch": {"width": 32, "layers": 1, "heads": 2}, "gnn": {"width": 16, "rounds": 2}}


@pytest.mark.parametrize("method", SMALL)
def test_an_interruption_costs_nothing(
    method: str, tmp_path: Path, splits: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "train.jsonl"
    write_jsonl(data, splits["train"][:24])
    wanted = recipe(tmp_path, method, options=SMALL[method])
    whole = adapters.train_adapter(wanted, data, tmp_path / "whole")
    assert artifacts.open_artifact(whole.path).manifest.base.ref == "none"
    assert set(whole.manifest.files) >= {"model.safetensors", "config.json", "training.json"}
    assert models.resolve(whole.path).kind == ("model" if method == "scratch" else "scorer")

    from train.structure import fitting

    real, calls = fitting.run, 0

    def interrupted(trainer: Any, job: Any, steps: int) -> Any:
        inner = trainer.compute_loss

        def compute(*given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 6:
                raise KeyboardInterrupt
            return inner(*given, **more)

        trainer.compute_loss = compute
        return real(trainer, job, steps)

    monkeypatch.setattr(fitting, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        adapters.train_adapter(wanted, data, tmp_path / "again")
    monkeypatch.setattr(fitting, "run", real)
    again = adapters.train_adapter(wanted, data, tmp_path / "again", resume=True)
    assert sha256_file(again.path / "model.safetensors") == sha256_file(whole.path / "model.safetensors")
    assert again.sha == whole.sha


def test_a_model_from_scratch_learns_and_answers(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "messages": [{"role": "user", "content": f"What is {n} + 1?"}, {"role": "assistant", "content": f"{n} + 1 = {n + 1}\nAnswer: {n + 1}"}]}
        for n in range(2, 8)
    ]  # fmt: skip
    data = tmp_path / "train.jsonl"
    write_jsonl(data, rows)
    wanted = recipe(tmp_path, "scratch", options=SMALL["scratch"], optim={"steps": 160, "batch_size": 6, "learning_rate": 1e-2})  # fmt: skip
    made = adapters.train_adapter(wanted, data, tmp_path / "out")
    losses = [entry["loss"] for entry in json.loads((made.path / "training.json").read_text())["log"]]
    assert losses[-1] < 0.1 < losses[0]
    questions = ["What is 3 + 1?", "What is 7 + 1?", "Something else entirely?"]
    opened = scratch.Model(made.path)
    answers = opened.answers(questions, max_tokens=24)
    assert answers[:2] == ["3 + 1 = 4\nAnswer: 4", "7 + 1 = 8\nAnswer: 8"]
    assert [opened.answers([question], max_tokens=24)[0] for question in questions] == answers, "a batch changes nothing"  # fmt: skip
    assert scratch.answer(made.path, questions[0]) == answers[0]
    with open_runtime(str(made.path)) as runtime:
        [(_, done)] = runtime.generate([[{"role": "user", "content": questions[0]}]], Sampling(max_tokens=24))
        [(_, cut)] = runtime.generate([[{"role": "user", "content": questions[0]}]], Sampling(max_tokens=3))
        assert (done.text, done.finish_reason, cut.finish_reason) == (answers[0], "stop", "length")
        with pytest.raises(EngineError, match="temperature"):
            list(runtime.generate([[{"role": "user", "content": "?"}]], Sampling(temperature=1.0)))
    with pytest.raises(InvalidArtifact, match="expected a scorer"):
        scorers.open_scorer(made.path)


def test_with_and_without_places_training_starts_from_the_same_weights() -> None:
    import torch

    from train.structure.transformer import Shape, network

    models_of = {}
    for features in (True, False):
        torch.manual_seed(4)
        models_of[features] = network()(
            Shape(vocabulary=50, width=32, layers=1, heads=2, features=features)
        ).state_dict()
    extra = set(models_of[True]) - set(models_of[False])
    assert len(extra) == 4 and all(not models_of[True][name].any() for name in extra)
    assert all(torch.equal(weight, models_of[True][name]) for name, weight in models_of[False].items())


def test_what_is_written_has_the_places_that_training_gave_it(vocabulary: Vocabulary) -> None:
    """One pass over a whole conversation and one token at a time see the same, so the states are equal."""
    import torch

    from train.structure.transformer import Shape, network

    torch.manual_seed(0)
    model = network()(Shape(vocabulary=len(vocabulary), width=32, layers=2, heads=2))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    ids, _, known = scratch._whole(vocabulary, QUESTION, "3x = 22 - 7 = 15\nx = 5")
    whole = model.hidden(torch.tensor([ids]), torch.tensor([known]))
    prompt, _ = scratch.prompt(vocabulary, QUESTION)
    scanner, caches = places.Scanner(), [[] for _ in model.blocks]
    state = model.hidden(torch.tensor([ids[: len(prompt)]]), torch.tensor([known[: len(prompt)]]), 0, None, caches)
    for at in range(len(prompt), len(ids) - 1):
        place = scanner.feed(vocabulary.tokens[ids[at]])
        assert place == known[at]
        one_seen = torch.ones(1, 1, 1, at + 1, dtype=torch.bool)
        state = model.hidden(torch.tensor([[ids[at]]]), torch.tensor([[place]]), at, one_seen, caches)
        assert torch.allclose(state[:, -1], whole[:, at], atol=1e-4)
    changed = [place._replace(role=(place.role + 1) % 5) for place in known]
    assert not torch.allclose(model.hidden(torch.tensor([ids]), torch.tensor([changed])), whole, atol=1e-3)


def sums(count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        a, b = rng.randint(2, 60), rng.randint(2, 60)
        content = f"{a} + {b} = {a + b}\nAnswer: {a + b}"
        rows.append({"id": f"{seed}-{number}", "messages": [{"role": "user", "content": f"What is {a} + {b}?"}, {"role": "assistant", "content": content}]})  # fmt: skip
    return rows


def test_the_graph_network_learns_sums(tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    write_jsonl(data, sums(160, 1))
    wanted = recipe(tmp_path, "gnn", options={"width": 24, "rounds": 3}, optim={"steps": 120, "batch_size": 32, "learning_rate": 1e-2})  # fmt: skip
    made = adapters.train_adapter(wanted, data, tmp_path / "out")
    opened = scorers.open_scorer(made.path)
    rows = solutions(sums(40, 2), 2, by_check=False)
    right = [p for row, found in zip(rows, opened.score_many(rows), strict=True) for p, label in zip(found, row.labels, strict=True) if label == RIGHT]  # fmt: skip
    wrong = [p for row, found in zip(rows, opened.score_many(rows), strict=True) for p, label in zip(found, row.labels, strict=True) if label == WRONG]  # fmt: skip
    assert sum(p > 0.5 for p in right) / len(right) > 0.9 and sum(p < 0.5 for p in wrong) / len(wrong) > 0.7
    assert len(scorers.score(made.path, QUESTION, "\n".join(LINES))) == 3 and opened.score("", " \n") == []
    with pytest.raises(EngineError, match="writes no answers"):
        open_runtime(str(made.path))
    (made.path / "config.json").write_text("{}")
    with pytest.raises(InvalidArtifact):
        gnn.Scorer(made.path)


# reward models ----------------------------------------------------------------------------------------------------------------


def pairs(count: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    for number, row in enumerate(sums(count, seed)):
        question, answer = conversation(row, number)
        rows.append({"prompt": [{"role": "user", "content": question}], "chosen": answer, "rejected": "I do not know, sorry!"})  # fmt: skip
    return rows


def test_a_reward_model_prefers_what_was_chosen(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tiny.shared(tmp_path_factory) / "base"
    write_jsonl(tmp_path / "pairs.jsonl", pairs(16, 1))
    wanted = recipe(tmp_path, "reward", base=str(base), lora={"rank": 4, "alpha": 8}, optim={"steps": 12, "batch_size": 4, "learning_rate": 5e-3})  # fmt: skip
    made = adapters.train_adapter(wanted, tmp_path / "pairs.jsonl", tmp_path / "whole")
    assert (made.manifest.kind, made.manifest.format) == ("scorer", "peft-reward")
    opened = scorers.open_scorer(made.path)
    for row in pairs(6, 2):
        question = row["prompt"][0]["content"]
        [chosen], [rejected] = opened.score(question, row["chosen"]), opened.score(row["prompt"], row["rejected"])
        assert chosen > rejected
    write_jsonl(tmp_path / "pairs.jsonl", [{"prompt": [{"role": "user", "content": "?"}], "chosen": "a", "rejected": "a"}])  # fmt: skip
    with pytest.raises(InvalidData, match="one answer"):
        adapters.train_adapter(wanted, tmp_path / "pairs.jsonl", tmp_path / "bad")


def test_a_step_reward_model_reads_each_line_at_its_end(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:  # fmt: skip
    base = tiny.shared(tmp_path_factory) / "base"
    rows = sums(24, 1)
    write_jsonl(tmp_path / "train.jsonl", rows)
    wanted = recipe(tmp_path, "reward", base=str(base), lora={"rank": 4, "alpha": 8}, options={"level": "step"})
    made = adapters.train_adapter(wanted, tmp_path / "train.jsonl", tmp_path / "whole")
    opened = scorers.open_scorer(made.path)
    whole = opened.score(QUESTION, "\n".join(LINES))
    assert len(whole) == 3 and all(0 <= p <= 1 for p in whole)
    assert opened.score(QUESTION, "\n\n".join(LINES[:2])) == pytest.approx(whole[:2], abs=1e-4)
    assert opened.score(QUESTION, "\n".join((*LINES[:2], "x"))) [:2] == pytest.approx(whole[:2], abs=1e-4)  # fmt: skip
    many = opened.score_many([Solution("", QUESTION, LINES, (), ""), Solution("", "1?", ("1",), (), "")])
    assert many[0] == pytest.approx(whole, abs=1e-4)


def test_each_level_reads_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    base = str(tiny.shared(tmp_path_factory) / "base")
    with pytest.raises(TruemarkError, match=r"pairs\.jsonl") as error:
        adapters.train_adapter(recipe(tmp_path, "reward", base=base), None, tmp_path / "out")
    assert "truemark data pairs math" in str(error.value.mend)
    with pytest.raises(TruemarkError, match=r"train\.jsonl"):
        adapters.train_adapter(recipe(tmp_path, "reward", base=base, options={"level": "step"}), None, tmp_path / "out")
    with pytest.raises(InvalidConfig, match="options"):
        adapters.train_adapter(recipe(tmp_path, "gnn", options={"widht": 3}), None, tmp_path / "out")
