"""ROC-AUC of logic-coherence on pairs of known truth, beside BLEU, ROUGE-L, METEOR, BERTScore and embedding cosine on the same pairs.

python -m benchmarks.rewording --wordnet DIRECTORY
python -m benchmarks.rewording --ablation     the metric without what its word lists know of the test fields' own words; a minute

The pairs: sentences of the test split's subject fields, families and operations (the first 320 are the test split itself), their rewordings
(the reference, and one far from the source in form), and up to 450 negatives of every kind. The grammar knows the truth; the metrics see two
texts. Beside them benchmarks/rewording_pairs.yaml: pairs written by hand in other shapes. WordNet 3.0 (for METEOR) is the directory
with data.noun, e.g. of Debian's wordnet-base. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from domains.rewording import english, keys, tags
from domains.rewording.build import stream
from domains.rewording.coherence import logic_coherence
from domains.rewording.fields import subject_fields
from domains.rewording.negatives import KIND_LINES, hard_positives, negatives
from truemark.artifacts import machine
from truemark.files import write_json
from truemark.sentences import directory, load

HERE = Path(__file__).parent
SEED, SOURCES, POSITIVES, PER_KIND, ROUNDS = 7, 4000, 700, 450, 500


@dataclass(frozen=True)
class Pair:
    """A source and a text of known relation."""

    group: int
    """Pairs of one source are drawn together by the bootstrap."""
    source: str
    reference: str
    text: str
    kind: str
    """`reference` or `hard` for a rewording; else the kind of the negative."""
    operation: str

    @property
    def same(self) -> bool:
        return self.kind in ("reference", "hard")


def grammar_pairs() -> list[Pair]:
    """The held-out set, the same at every run."""
    rng, found, counts = Random(f"{SEED}.benchmark"), [], Counter[str]()
    for group, example in enumerate(islice(stream(SEED, "test"), SOURCES)):
        source, reference, operation = example["meta"]["source"], example["reference"], example["meta"]["operation"]
        texts = []
        if group < POSITIVES:
            texts = [("reference", reference), *(("hard", text) for text in hard_positives(example, rng, 1))]
        texts += [(kind, text) for kind, text in negatives(example, rng, 4) if counts[kind] < PER_KIND]
        for kind, text in texts:
            if kind in ("reference", "hard") or counts[kind] < PER_KIND:
                counts[kind] += 1
                found.append(Pair(group, source, reference, text, kind, operation))
    return found


def hand_pairs(part: str) -> list[Pair]:
    """The pairs of rewording_pairs.yaml."""
    rows = yaml.safe_load((HERE / "rewording_pairs.yaml").read_text(encoding="utf-8"))[part]
    listed = [(label, *row) for label in ("same", "different") for row in rows[label]]
    return [
        Pair(n, source, source, text, "reference" if label == "same" else about, about)
        for n, (label, about, source, text) in enumerate(listed)
    ]


Scorer = Callable[[list[str], list[str]], list[float]]
"""(what to compare with, texts) → scores."""


def scorers(wordnet: Path) -> dict[str, Scorer]:
    """Every metric by name, none of which sees more than two texts."""
    embed = load()
    return {
        "logic_coherence": lambda left, right: [logic_coherence(a, b).score for a, b in zip(left, right, strict=True)],
        "logic_coherence_with_embeddings": lambda left, right: _with_embeddings(left, right, embed),
        "bleu": _bleu,
        "rouge_l": _rouge,
        "meteor": _meteor(wordnet),
        "bertscore": _bertscore,
        "embedding_cosine": lambda left, right: [float(a @ b) for a, b in zip(embed(left), embed(right), strict=True)],
    }


def _with_embeddings(left: list[str], right: list[str], embed: Callable[[list[str]], np.ndarray]) -> list[float]:
    from domains.rewording.words import clean

    texts = sorted({clean(text) for text in (*left, *right)})
    table = dict(zip(texts, embed(texts), strict=True))
    return [
        logic_coherence(a, b, embed=lambda pair: [table[text] for text in pair]).score
        for a, b in zip(left, right, strict=True)
    ]


def _bleu(left: list[str], right: list[str]) -> list[float]:
    from sacrebleu.metrics import BLEU

    bleu = BLEU(effective_order=True)
    return [bleu.sentence_score(text, [against]).score for against, text in zip(left, right, strict=True)]


def _rouge(left: list[str], right: list[str]) -> list[float]:
    from rouge_score.rouge_scorer import RougeScorer

    rouge = RougeScorer(["rougeL"], use_stemmer=True)
    return [rouge.score(against, text)["rougeL"].fmeasure for against, text in zip(left, right, strict=True)]


def _meteor(wordnet: Path) -> Scorer:
    from nltk.translate.meteor_score import meteor_score

    from benchmarks.nltk_wordnet import open_reader

    opened = open_reader(wordnet)

    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    return lambda left, right: [
        meteor_score([words(against)], words(text), wordnet=opened) for against, text in zip(left, right, strict=True)
    ]


def _bertscore(left: list[str], right: list[str]) -> list[float]:
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=str(directory()), num_layers=6, device="cpu", batch_size=64)
    return [float(value) for value in scorer.score(right, left)[2]]


def auc(scores: np.ndarray, same: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Probability that a rewording scores above a negative, ties counted half; with weights per pair."""
    weights = np.ones(len(scores)) if weights is None else weights
    values, index = np.unique(scores, return_inverse=True)
    good = np.bincount(index, weights * same, len(values))
    bad = np.bincount(index, weights * ~same, len(values))
    below = np.concatenate([[0.0], np.cumsum(bad)[:-1]])
    total = good.sum() * bad.sum()
    return float((good * (below + bad / 2)).sum() / total) if total else float("nan")


def interval(scores: np.ndarray, same: np.ndarray, groups: np.ndarray, rounds: int = ROUNDS) -> list[float]:
    """The AUC and its 95 % interval: a bootstrap over sources."""
    rng = np.random.default_rng(SEED)
    names, index = np.unique(groups, return_inverse=True)
    drawn = [
        auc(scores, same, rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[index].astype(float))
        for _ in range(rounds)
    ]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return [round(auc(scores, same), 4), round(float(low), 4), round(float(high), 4)]


def table(pairs: list[Pair], found: dict[str, list[float]]) -> dict[str, Any]:
    """AUC over all negatives and per kind, by metric."""
    same, groups = np.array([pair.same for pair in pairs]), np.array([pair.group for pair in pairs])
    kinds = [kind for kind in KIND_LINES if any(pair.kind == kind for pair in pairs)]
    result: dict[str, Any] = {}
    for name, values in found.items():
        scores = np.array(values)
        result[name] = {"all": interval(scores, same, groups)}
        for kind in kinds:
            chosen = np.array([pair.same or pair.kind == kind for pair in pairs])
            result[name][kind] = interval(scores[chosen], same[chosen], groups[chosen])
    return result


def decisions(pairs: list[Pair]) -> dict[str, Any]:
    """What the check itself says: rewordings that pass, negatives that do."""
    passed = [logic_coherence(pair.source, pair.text).passed for pair in pairs]
    good = [ok for ok, pair in zip(passed, pairs, strict=True) if pair.same]
    bad = [ok for ok, pair in zip(passed, pairs, strict=True) if not pair.same]
    through = Counter(pair.kind for ok, pair in zip(passed, pairs, strict=True) if ok and not pair.same)
    return {
        "rewordings_passed": f"{sum(good)} of {len(good)}",
        "negatives_passed": f"{sum(bad)} of {len(bad)}",
        "negatives_passed_by_kind": dict(through),
        "accuracy": round((sum(good) + len(bad) - sum(bad)) / len(pairs), 4),
    }


def own_words() -> set[str]:
    """Words (in their base form) of the test fields that no field of train or dev has."""
    found: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    for subject in subject_fields().values():
        found[subject.split] |= {
            form for word in re.findall(r"[a-z]+", str(subject.data).lower()) for form in (word, keys.base(word))
        }
    return found["test"] - found["train"] - found["dev"]


def forget(gone: set[str]) -> int:
    """Take every entry with one of these words out of the metric's open-class lists, for this process. Returns how many went."""
    count = 0
    for name in ("nominalisations", "synonyms", "opposites"):
        entries = english.table(name)
        for first in [first for first, others in entries.items() if gone & {first, *others}]:
            del entries[first]
            count += 1
    verbs = english.words("verbs") | english.words("noun_verbs")
    known, rows = english.words, keys._rows
    for module in (keys, tags):
        setattr(module, "words", lambda name: known(name) - gone)  # noqa: B010
    keys._rows = lambda name, mark: [row for row in rows(name, mark) if name != "scales" or not gone & set(row.split())]
    count += len(verbs & gone) + sum(bool(gone & set(row.split())) for row in rows("scales", ","))
    for cached in (
        keys.base,
        keys.stem,
        keys.key,
        keys._canonical,
        keys._gradable,
        keys.antonyms,
        keys.scales,
        keys.scale_names,
    ):
        cached.cache_clear()
    return count


def ablation() -> None:
    """Write benchmarks/results/rewording_ablation.json."""
    pairs = grammar_pairs()
    gone = own_words()
    before = [logic_coherence(pair.source, pair.text).score for pair in pairs]
    known = decisions(pairs)
    entries = forget(gone)
    after = [logic_coherence(pair.source, pair.text).score for pair in pairs]
    write_json(
        HERE / "results" / "rewording_ablation.json",
        {
            "command": "python -m benchmarks.rewording --ablation",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "words_of_test_fields_alone": len(gone),
            "entries_forgotten": entries,
            "auc": table(pairs, {"all_word_lists": before, "without_words_of_test_fields": after}),
            "decisions": {"all_word_lists": known, "without_words_of_test_fields": decisions(pairs)},
        },
    )


def main() -> None:
    """Score all pairs and write benchmarks/results/rewording.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, help="directory with WordNet's data.noun")
    parser.add_argument("--ablation", action="store_true", help="write rewording_ablation.json instead")
    options = parser.parse_args()
    if options.ablation:
        return ablation()
    if options.wordnet is None:
        parser.error("METEOR needs --wordnet")
    metrics = scorers(options.wordnet)
    pairs = grammar_pairs()
    against_source = {
        name: score([p.source for p in pairs], [p.text for p in pairs]) for name, score in metrics.items()
    }
    others = [pair for pair in pairs if pair.kind != "reference"]
    reference_based = {name: score for name, score in metrics.items() if not name.startswith("logic")}
    against_reference = {
        name: score([p.reference for p in others], [p.text for p in others]) for name, score in reference_based.items()
    }
    hand = {}
    for part in ("tuned", "held_out"):
        rows = hand_pairs(part)
        scores = {name: score([p.source for p in rows], [p.text for p in rows]) for name, score in metrics.items()}
        same, groups = np.array([pair.same for pair in rows]), np.arange(len(rows))
        hand[part] = {"pairs": len(rows), "auc": {name: interval(np.array(values), same, groups) for name, values in scores.items()}, "decisions": decisions(rows)}  # fmt: skip
    write_json(
        HERE / "results" / "rewording.json",
        {
            "command": "python -m benchmarks.rewording --wordnet DIRECTORY",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "versions": {name: version(name) for name in ("torch", "transformers", "sacrebleu", "rouge-score", "nltk", "bert-score", "numpy")},
            "encoder": "all-MiniLM-L6-v2 (fp32), for embedding cosine and, with num_layers=6 and no idf or rescaling, for BERTScore",
            "wordnet": "3.0",
            "auc_is": "[AUC, low, high]; 95 % interval of a bootstrap over sources",
            "pairs": dict(Counter(pair.kind for pair in pairs)),
            "against_source": table(pairs, against_source),
            "against_reference": table(others, against_reference),
            "decisions": decisions(pairs),
            "decisions_by_slice": {
                name: decisions([pair for pair in pairs if (pair.operation in ("cleft", "dative", "apposition")) == (name == "operation")])
                for name in ("sentences", "operation")
            },
            "by_hand": hand,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
