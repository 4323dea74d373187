"""BLEU, chrF, TER, ROUGE, METEOR and BERTScore are those of the reference packages; what is ours beneath them holds by property."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.nltk_wordnet import open_reader
from evalsuite import metrics
from evalsuite.metrics import lcs, wordnet
from evalsuite.metrics.bleu import overlap, words
from tests.evalsuite_texts import WORDS, answer, pairs, write_wordnet
from truemark.errors import MissingDependency

PAIRS = pairs(600)
ANSWERS = [answer(text, gold, id=str(number)) for number, (text, gold) in enumerate(PAIRS)]
TOLERANCE = 1e-9
TOKENS = st.lists(st.sampled_from("abcde"), max_size=24)
LINES = st.lists(st.sampled_from([*WORDS, "\n", ".", "'"]), max_size=20).map(" ".join)


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_sacrebleu(name: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    answers = (
        ANSWERS if name != "ter" else [one for one in ANSWERS[:120] if len(one.text) < 4000]
    )  # it searches all shifts
    kind = {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF, "ter": sacrebleu.TER}[name]
    corpus, single = kind(), kind(effective_order=True) if name == "bleu" else kind()
    texts, golds = [one.text for one in answers], [one.gold for one in answers]
    found = metrics.get(name).score(answers)
    assert found.value == pytest.approx(corpus.corpus_score(texts, [golds]).score, abs=TOLERANCE)
    assert found.signature == str(corpus.get_signature())
    wanted = [single.sentence_score(text, [gold]).score for text, gold in zip(texts, golds, strict=True)]
    np.testing.assert_allclose(metrics.get(name).values(answers), wanted, atol=TOLERANCE, rtol=0)


def test_rouge() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    kinds = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL", "rouge_lsum": "rougeLsum"}
    answers = [one for one in ANSWERS if len(one.text) < 4000]  # its table of 1,200² cells takes a second a pair
    wanted = [scorer.RougeScorer(list(kinds.values())).score(one.gold, one.text) for one in answers]
    for name, kind in kinds.items():
        values = metrics.get(name).values(answers)
        np.testing.assert_allclose(values, [one[kind].fmeasure for one in wanted], atol=TOLERANCE, rtol=0)
        assert metrics.get(name).score(answers).value == pytest.approx(np.mean(values), abs=TOLERANCE)


@pytest.mark.slow
def test_rouge_of_very_long_texts() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL", "rougeLsum"])
    answers = [one for one in ANSWERS if len(one.text) >= 4000]
    assert answers
    for one in answers:
        wanted = scorer.score(one.gold, one.text)
        assert metrics.get("rouge_l").score([one]).value == pytest.approx(wanted["rougeL"].fmeasure, abs=TOLERANCE)
        assert metrics.get("rouge_lsum").score([one]).value == pytest.approx(
            wanted["rougeLsum"].fmeasure, abs=TOLERANCE
        )


@pytest.fixture
def dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))  # the reader adds the place it reads from
    monkeypatch.setenv("TRUEMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRUEMARK_WORDNET", str(tmp_path / "dict"))
    return write_wordnet(tmp_path / "dict")


def _equals_nltk(source: Path) -> None:
    from nltk import word_tokenize
    from nltk.translate.meteor_score import single_meteor_score

    reader = open_reader(source)
    wanted = [
        single_meteor_score(
            word_tokenize(gold, preserve_line=True), word_tokenize(text, preserve_line=True), wordnet=reader
        )
        for text, gold in PAIRS
    ]
    np.testing.assert_allclose(metrics.get("meteor").values(ANSWERS), wanted, atol=TOLERANCE, rtol=0)


def test_meteor(dictionary: Path) -> None:
    _equals_nltk(dictionary)
    similar = answer("running dogs quickly ran", "the big dog runs rapidly")
    assert metrics.get("meteor").score([similar]).value == pytest.approx(10 / 49)  # a stem, a synonym: two chunks


@pytest.mark.slow
def test_meteor_with_the_whole_wordnet() -> None:
    pytest.importorskip("nltk")
    try:
        source = wordnet.directory()
    except MissingDependency as error:
        pytest.skip(str(error))
    reader = open_reader(source)
    forms = random.Random(0).sample(sorted(reader.all_lemma_names()), 400)
    for form in [
        *forms,
        *(f"{form}{ending}" for form in forms for ending in ("s", "es", "ing", "men", "est")),
        "ran",
        "better",
        "ready",
        "dowier",
        "",
        "s",
        "état",
        "日本",
    ]:
        names = {lemma.name() for synset in reader.synsets(form) for lemma in synset.lemmas()}
        assert wordnet.synonyms(source, form) == {name for name in names if "_" not in name} | {form}, form
    _equals_nltk(source)


def test_without_a_dictionary_meteor_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nltk")
    monkeypatch.setenv("TRUEMARK_WORDNET", str(tmp_path))
    with pytest.raises(MissingDependency, match="apt install wordnet-base") as caught:
        metrics.get("meteor").score(ANSWERS[:1])
    assert str(tmp_path) in caught.value.message
    (tmp_path / "data.noun").touch()
    with pytest.raises(MissingDependency, match=r"not a whole WordNet: it lacks index\.noun"):
        metrics.get("meteor").score(ANSWERS[29:30])


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_nltk_words(text: str) -> None:
    pytest.importorskip("nltk")
    from nltk import word_tokenize

    from evalsuite.metrics.nltk_words import tokens

    assert list(tokens(text)) == word_tokenize(text, preserve_line=True)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aT'\"`.,:;?!*-()<> \n5sdl&$"), max_size=30))
def test_nltk_words_of_marks(text: str) -> None:
    for one in (text, text.replace("'", "").replace('"', "").replace("`", "")):
        test_nltk_words.hypothesis.inner_test(one)


@settings(max_examples=300, deadline=None)
@given(LINES, st.text(st.sampled_from("a5 .,-\n\t&;<>'\"/:[`{~é。quotamp"), max_size=30))
def test_words_of_bleu(line: str, marks: str) -> None:
    tokenizer = pytest.importorskip("sacrebleu.metrics").BLEU().tokenizer
    for text in (line, marks, f"{line}{marks}", "<skipped> &amp;lt; 3.-\n5"):
        assert words(text) == tokenizer(text.rstrip()).split()


@settings(max_examples=300, deadline=None)
@given(TOKENS, TOKENS)
def test_subsequences(a: list[str], b: list[str]) -> None:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a, 1):
        for j, other in enumerate(b, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if one == other else max(table[i - 1][j], table[i][j - 1])
    assert lcs.length(a, b) == table[-1][-1]
    places = lcs.positions(a, b, lcs.masks(b))
    assert len(places) == table[-1][-1] and places == sorted(set(places))
    rest = iter(b)
    assert all(a[place] in rest for place in places)


@settings(max_examples=300, deadline=None)
@given(TOKENS, TOKENS)
def test_overlap(a: list[str], b: list[str]) -> None:
    for n in (1, 2, 3):
        left, right = (["".join(text[i : i + n]) for i in range(len(text) - n + 1)] for text in (a, b))
        assert overlap(a, b, n) == sum(min(left.count(one), right.count(one)) for one in set(left))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=6))
def test_any_text_has_a_score_in_range_and_itself_is_best(drawn: list[tuple[str, str]]) -> None:
    for name, best in (("bleu", 100.0), ("chrf", 100.0), ("rouge_1", 1.0), ("rouge_l", 1.0), ("rouge_lsum", 1.0)):
        metric = metrics.get(name)
        values = metric.values([answer(text, gold) for text, gold in drawn])
        assert values is not None and ((values >= 0) & (values <= best + 1e-9)).all()
        own = metric.values([answer(gold, gold) for _, gold in drawn if len(gold.split()) > 8 and "dog" in gold])
        assert own is not None and np.allclose(own, best)


def test_self_bleu_is_each_against_all_others() -> None:
    sacrebleu = pytest.importorskip("sacrebleu.metrics").BLEU(effective_order=True)
    texts = [text for text, _ in PAIRS if len(text) < 400][:70]
    wanted = [sacrebleu.sentence_score(text, texts[:i] + texts[i + 1 :]).score for i, text in enumerate(texts)]
    found = metrics.get("self_bleu").score([answer(text, id=str(i)) for i, text in enumerate(texts)])
    assert found.value == pytest.approx(np.mean(wanted), abs=TOLERANCE)
    assert "texts:70" in found.signature
    assert metrics.get("self_bleu").score([answer("the same five words here", id=str(i)) for i in range(3)]).value == pytest.approx(100)  # fmt: skip
    assert metrics.get("self_bleu").score([answer("alone")]).value is None


def test_self_bleu_takes_the_same_sample_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu")
    monkeypatch.setattr("evalsuite.metrics.self_bleu.SAMPLE", 20)
    metric = metrics.get("self_bleu")
    assert metric.score(ANSWERS[27:90]).value == metric.score(ANSWERS[89:26:-1]).value


def test_syntactic_diversity_sees_form_and_not_words() -> None:
    source = "The alarm sounded because the pump failed."
    texts = [source, "The siren sounded because the motor failed.", "Because the pump failed, the alarm sounded."]
    same, synonyms, turned = metrics.get("syntactic_diversity").values([answer(text, meta={"source": source}) for text in texts])  # fmt: skip
    assert same == synonyms == 0 < turned <= 1
    assert np.isnan(metrics.get("syntactic_diversity").values([answer("no source")])[0])


@pytest.mark.slow
def test_bertscore() -> None:
    from truemark.sentences import directory

    bert_score = pytest.importorskip("bert_score")
    scorer = bert_score.BERTScorer(model_type=str(directory()), num_layers=6, device="cpu", batch_size=64)
    full = [i for i, (text, gold) in enumerate(PAIRS) if text.strip() and gold.strip()]
    texts, golds = [PAIRS[i][0] for i in full], [PAIRS[i][1] for i in full]
    found = metrics.get("bertscore").values(ANSWERS)
    np.testing.assert_allclose(found[full], scorer.score(texts, golds)[2].numpy(), atol=TOLERANCE, rtol=0)
    assert len(full) < len(PAIRS) and not np.delete(found, full).any()
    cosines = metrics.get("embedding_similarity").values([answer("The dog sleeps.", gold) for gold in ("The dog sleeps.", "The dog is asleep.", "Taxes rose.")])  # fmt: skip
    assert cosines[0] == pytest.approx(1, abs=1e-6) and cosines[1] > 0.9 and cosines[2] < 0.5
