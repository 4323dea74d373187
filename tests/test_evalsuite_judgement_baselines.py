"""The baselines that need no adapter, and models that were trained on what they are asked."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import domains
from domains.contamination import overlap
from tests import evalsuite_helpers as toy
from truemark import artifacts, cli, runtimes
from truemark.artifacts import Parent
from truemark.errors import EngineError, InvalidData, ModelNotFound
from truemark.files import sha256_file, write_jsonl
from truemark.models import describe_base, resolve
from truemark.runtimes import open_runtime
from truemark.runtimes.base import Sampling
from truemark.runtimes.nearest import Nearest


def row(id: str, question: str, answer: str = "", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}] + ([{"role": "assistant", "content": answer}] if answer else [])
    return {"id": id, "messages": messages, "reference": answer, "meta": {}, **more}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(domains.DOMAINS, toy.NAME, toy.__name__)
    monkeypatch.setitem(runtimes.RUNTIMES, toy.RUNTIME, f"{toy.__name__}:ToyRuntime")
    toy.write_data(Path("data/toy/test.jsonl"))
    write_jsonl(Path("data/toy/train.jsonl"), [row(f"t{n}", f"{n} + {n} + 1", str(2 * n)) for n in range(100, 140)])
    toy.checkpoint(Path("base"), rate=0.1)
    return tmp_path


def test_nearest_answers_as_the_nearest_example(tmp_path: Path) -> None:
    rows = [
        row("1", "How many apples has Ada?", "three"),
        row("2", "How many pears has Bob?", "four"),
        {**row("3", "Solve x + 2 = 5"), "reference": "x = 3"},
        row("4", "How many apples has Ada?", "never: the first of equals"),
    ]
    write_jsonl(tmp_path / "train.jsonl", rows)
    rule = Nearest(tmp_path / "train.jsonl")
    assert (
        rule("how many apples has Eve") == "three" and rule("pears?") == "four" and rule("Solve x + 7 = 5") == "x = 3"
    )
    assert rule("") == rule("zzz") == "three"


def test_nearest_is_the_highest_cosine(tmp_path: Path) -> None:
    """Against the whole matrix, computed in the plain way."""
    generator = np.random.default_rng(3)
    words = [f"w{n}" for n in range(30)]
    texts = [" ".join(generator.choice(words, generator.integers(1, 12))) for _ in range(60)]
    write_jsonl(tmp_path / "train.jsonl", [row(str(n), text, str(n)) for n, text in enumerate(texts)])
    rule = Nearest(tmp_path / "train.jsonl")

    def terms(text: str) -> list[str]:
        found = text.split()
        return found + [f"{a} {b}" for a, b in pairwise(found)]

    known = sorted({term for text in texts for term in terms(text)})
    counts = np.array([[terms(text).count(term) for term in known] for text in texts], dtype=float)
    idf = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1

    def vectors(tf: np.ndarray) -> np.ndarray:
        weights = np.where(tf > 0, 1 + np.log(np.maximum(tf, 1)), 0) * idf
        result: np.ndarray = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-12)
        return result

    for _ in range(40):
        query = " ".join(generator.choice(words, 8))
        likeness = vectors(counts) @ vectors(np.array([[terms(query).count(t) for t in known]], dtype=float))[0]
        assert likeness[int(rule(query))] == pytest.approx(likeness.max(), abs=1e-6)


def test_nearest_in_an_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(Path("data/toy/train.jsonl"), [row("t", "7 + 1", "14"), row("u", "1 and 2 and 3", "6")])
    assert cli.run(["eval", "toy", "--model", "rule:nearest", "--model", "rule:copy", "--json"]) == 0
    first = {r["ref"]: r for r in json.loads(capsys.readouterr().out)["rows"]}["rule:nearest"]
    assert first["contamination"]["state"] == "clean" and first["accuracy"]["value"] == pytest.approx(2 / 40)
    write_jsonl(Path("data/toy/train.jsonl"), [row("t", "7 + 1", "16")])
    assert cli.run(["eval", "toy", "--model", "rule:nearest", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["rows"][-1]
    assert again["sha256"] != first["sha256"]  # other training data, other answers: nothing old is shown
    Path("data/toy/train.jsonl").rename("elsewhere.jsonl")
    assert cli.run(["eval", "toy", "--model", "rule:nearest", "--model", "rule:nearest:elsewhere.jsonl"]) == 2
    assert "there are none at" in capsys.readouterr().err
    with pytest.raises(ModelNotFound, match="truemark data build"):
        open_runtime("rule:nearest")
    write_jsonl(Path("bad.jsonl"), [{"messages": [3]}])
    with pytest.raises(InvalidData, match=r"bad\.jsonl: example 1"):
        open_runtime("rule:nearest:bad.jsonl")


WORDS = "the farmer in the north sells seven crates of red apples to two shops in town on monday"


def test_overlap_is_found_between_the_two_sets_alone() -> None:
    test: Any = [
        row("a", "2 + 2?"),
        row("b", "2 + 2 ?"),
        row("c", f"Today {WORDS}"),
        row("d", "3 + 3"),
        row("e", "3 + 3"),
    ]
    train: Any = [row("x", "2 + 2?"), row("y", "2 + 2?"), row("z", f"Yesterday {WORDS} he rests")]
    found = {finding.left: (finding.kind, finding.right) for finding in overlap(train, test)}
    assert found == {
        "test:a": ("exact", "train:x"),
        "test:b": ("normalised", "train:x"),
        "test:c": ("13-gram", "train:z"),
    }


def trained(path: str, data: Path | None, parent: Path | None = None) -> Path:
    """An adapter whose manifest names `data`."""
    with artifacts.create(
        Path(path),
        kind="adapter",
        name=Path(path).name,
        domain="toy",
        format="peft",
        base=describe_base(resolve("base")),
    ) as draft:
        (draft.path / "adapter_model.safetensors").write_bytes(path.encode())
        (draft.path / "skill.json").write_text(json.dumps({"rate": 0.8, "seed": 1}))
        draft.manifest.data_sha256 = sha256_file(data) if data else None
        if parent:
            made_from = artifacts.open_artifact(parent)
            draft.manifest.parents = [Parent(name=parent.name, sha256=made_from.sha, path=str(parent.absolute()))]
    return Path(path)


def state(capsys: pytest.CaptureFixture[str], ref: Path, *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert cli.run(["eval", "toy", "--runtime", "toy", "--model", str(ref), "--json", *words]) == code
    rows = json.loads(capsys.readouterr().out)["rows"]
    return rows[-1]["contamination"] if rows else None


def test_a_model_that_was_trained_on_the_test_set_is_refused_or_marked(capsys: pytest.CaptureFixture[str]) -> None:
    train = Path("data/toy/train.jsonl")
    assert state(capsys, trained("runs/clean", train))["state"] == "clean"
    leaked = [*toy.examples(3), row("t", "900 + 1", "901")]
    write_jsonl(Path("data/toy/leaked.jsonl"), [dict(r) for r in leaked])
    adapter = trained("runs/leaked", Path("data/toy/leaked.jsonl"))
    assert state(capsys, adapter, code=1) is None
    assert not list(Path("results").rglob("predictions/leaked*"))  # refused before anything is asked
    assert cli.run(["eval", "toy", "--runtime", "toy", "--model", str(adapter)]) == 1
    err = capsys.readouterr().err
    assert (
        "was trained on 3 of the 40 test examples (3 exact; toy-0 is train:toy-0" in err
        and "--allow-contaminated" in err
    )
    found = state(capsys, adapter, "--allow-contaminated")
    assert (found["state"], found["examples"], found["kinds"]) == ("contaminated", 3, {"exact": 3})
    assert cli.run(["leaderboard"]) == 0
    assert "CONTAMINATED" in Path("leaderboard/LEADERBOARD.md").read_text()
    assert "CONTAMINATED" in Path("leaderboard/index.html").read_text()
    assert state(capsys, trained("runs/onward", train, adapter), code=1) is None  # what it was trained on from


def test_what_cannot_be_told_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    train = Path("data/toy/train.jsonl")
    assert state(capsys, trained("runs/none", None))["state"] == "unknown"
    adapter = trained("runs/a", train)
    onward = trained("runs/onward", train, adapter)
    assert state(capsys, onward)["state"] == "clean"
    adapter.rename("elsewhere")
    assert state(capsys, onward)["state"] == "unknown"
    write_jsonl(train, [row("t", "something else")])
    assert state(capsys, Path("elsewhere"))["state"] == "unknown"
    assert state(capsys, Path("base"))["state"] == "unknown"


def test_preference_data_counts_as_training_data(capsys: pytest.CaptureFixture[str]) -> None:
    prompt = toy.examples(6)[5]["messages"][:1]
    write_jsonl(Path("data/toy/pairs.jsonl"), [{"id": "p", "prompt": prompt, "chosen": "10", "rejected": "9"}])
    assert state(capsys, trained("runs/dpo", Path("data/toy/pairs.jsonl")), code=1) is None


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random T5 with one layer and a byte-level vocabulary."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    path = tmp_path_factory.mktemp("t5")
    alphabet = ["<pad>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE({piece: n for n, piece in enumerate(alphabet)}, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>")
    fast.save_pretrained(path)
    torch.manual_seed(4)
    config = transformers.T5Config(
        vocab_size=len(alphabet), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    network = transformers.T5ForConditionalGeneration(config)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.6)
    network.save_pretrained(path)
    return path


def test_t5_answers_as_transformers_does(t5: Path) -> None:
    import torch

    questions = ["2 + 2?", "What is the capital of France, and why?", "é 🙂"]
    prompts = [[{"role": "system", "content": "Add."}, {"role": "user", "content": q}] for q in questions]
    with open_runtime(f"t5:{t5}") as runtime:
        together = dict(runtime.generate(prompts, Sampling(max_tokens=12)))
        alone = [next(runtime.generate([p], Sampling(max_tokens=12)))[1] for p in prompts]
        for index, q in enumerate(questions):
            ids = runtime.prompt_ids(prompts[index])
            assert runtime.tokenizer.decode(ids) == f"Add.\n\n{q}</s>"  # type: ignore[attr-defined]
            expected = runtime.network.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0].tolist()  # type: ignore[attr-defined]
            tokens = [*together[index].token_ids, 1][: len(expected) - 1]
            assert tokens == expected[1:]
            assert together[index].text == alone[index].text and together[index].prompt_tokens == len(ids)
        drawn = [
            dict(runtime.generate(prompts, Sampling(max_tokens=12, temperature=1.0, seed=s)))[0].text for s in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]
        assert "".join(runtime.stream(prompts[0], Sampling(max_tokens=12))).strip("�") in together[0].text
        with pytest.raises(EngineError, match="no distribution over its prompt"):
            runtime.logprobs([1])


def test_t5_in_an_evaluation(t5: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "toy", "--model", f"t5:{t5}", "--limit", "3", "--max-tokens", "4", "--json"]
    assert cli.run(words) == 0
    [found] = [r for r in json.loads(capsys.readouterr().out)["rows"] if r["slice"] == "all"]
    assert (found["kind"], found["engine"], found["n"]) == ("t5", "seq2seq", 3)


def test_what_is_no_t5(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run(["eval", "toy", "--model", "t5:nobody/nothing", "--limit", "3"]) == 2
    assert "truemark models pull" in capsys.readouterr().err
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelNotFound, match="is no encoder-decoder: expected a T5, found llama"):
        open_runtime(f"t5:{tmp_path / 'llama'}")
    with pytest.raises(ModelNotFound, match="cannot be loaded"):
        open_runtime(f"t5:{Path('base').absolute()}")
