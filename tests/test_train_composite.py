"""The composite loss: each term is what it says, has the gradient it says, and is not there when its weight is 0."""

from __future__ import annotations

import json
import math
import shutil
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from domains import get
from domains.base import Example, negatives
from tests import tiny
from train import adapter, composite, contrast, sft
from train.composite import Options, composite_loss
from train.contrast import Contrasted, collate_contrasted, columns, contrasted, copies
from train.data import IGNORED
from truemark import adapters, recipe
from truemark.errors import InvalidConfig, InvalidData
from truemark.files import sha256_file, write_jsonl
from truemark.models import resolve

ROOM = get("rewording")
WEIGHTS = "adapter_model.safetensors"
TERMS = ("semantic", "equivalence", "diversity")


@cache
def rows() -> list[dict[str, Any]]:
    return [dict(row) for row in ROOM.build(5, 24)["train"]]


def options(**weights: float) -> Options:
    return Options.model_validate({**dict.fromkeys(TERMS, 0.0), **weights})


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from train.network import load_tokenizer

    return load_tokenizer(resolve(tiny.shared(tmp_path_factory) / "base"), ROOM.SYSTEM_PROMPT)


def laid(
    examples: list[Contrasted], wanted: slice | list[int], *, wrong: bool = True, pad: int = 2, occurrence: int = 0
) -> dict[str, Any]:
    """A batch as the trainer gets it."""
    chosen = examples[wanted] if isinstance(wanted, slice) else [examples[i] for i in wanted]
    more = columns(chosen * (occurrence + 1))
    found = [
        {
            "input_ids": row.ids,
            "labels": row.labels,
            "name": row.name,
            **{key: values[occurrence * len(chosen) + i] for key, values in more.items()},
        }
        for i, row in enumerate(chosen)
    ]
    if not wrong:
        found = [{**row, "negative": []} for row in found]
    batch = collate_contrasted(found, pad)
    batch.pop("names")
    return batch


def tuned(base: Path) -> Any:
    """A model with a random adapter, in float64 throughout."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    for module in model.modules():  # Llama's norm computes in float32 whatever comes in
        if type(module).__name__ == "LlamaRMSNorm":
            module.forward = partial(_norm, module)
    return model.double()


def _norm(module: Any, x: Any) -> Any:
    return module.weight * x * (x.square().mean(-1, keepdim=True) + module.variance_epsilon).rsqrt()


def by_hand(model: Any, examples: list[Contrasted], option: Options) -> dict[str, float]:
    """The terms one text at a time, as the formulas stand in the papers; no shared prefix, no common rows, full logits."""
    import torch

    def read(ids: list[int]) -> tuple[Any, Any]:
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        return out.logits[0].log_softmax(-1), out.hidden_states[-1][0]

    ce, ahead, unlike, count, answers, sources = 0.0, [], 0.0, 0, [], []
    for row in examples:
        start = next(i for i, label in enumerate(row.labels) if label != IGNORED)
        gold = row.ids[start:]
        found, states = read(row.ids)
        likelihood = [found[start - 1 + t, token].item() for t, token in enumerate(gold)]
        ce -= sum(likelihood)
        count += len(gold)
        answers.append(states[start - 1 : len(row.ids) - 1].mean(0))
        unlike -= sum(math.log(1 - found[start - 1 + t, token].exp().item()) for t, token in row.copies)
        if row.negatives:
            wrong = row.negatives[0]
            other, _ = read(row.ids[:start] + wrong)
            ahead.append(
                sum(likelihood) / len(gold)
                - sum(other[start - 1 + t, token].item() for t, token in enumerate(wrong)) / len(wrong)
            )
        with model.disable_adapter():
            sources.append(read(row.source)[1][1:].mean(0))
    cosines = torch.nn.functional.cosine_similarity(torch.stack(answers)[:, None], torch.stack(sources)[None], dim=-1)
    own = (cosines / option.temperature).log_softmax(-1).diag()
    return {
        "ce": ce / count,
        "semantic": -own.mean().item(),
        "equivalence": sum(math.log1p(math.exp(option.margin - option.beta * value)) for value in ahead)
        / len(examples),
        "diversity": unlike / count,
    }


@pytest.mark.parametrize(
    "architecture",
    ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mistral", "qwen2", "gemma3"))],
)
def test_every_term_is_its_formula(
    architecture: str, tokenizer: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = tiny.shared(tmp_path_factory) / "base"
    model = tuned(shared if architecture == "llama" else tiny.checkpoint(tmp_path, architecture=architecture))
    examples = contrasted(rows()[:3], tokenizer, ROOM, 1, wrong=True, ngram=2)
    examples[1] = Contrasted(**{**vars(examples[1]), "negatives": []})
    option = options(semantic=0.3, equivalence=0.7, diversity=0.2)
    wanted = by_hand(model, examples, option)
    for share in (True, False):
        total, terms = composite_loss(model, laid(examples, slice(None)), options=option, share=share)
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-6)
        assert total.item() == pytest.approx(
            wanted["ce"] + 0.3 * wanted["semantic"] + 0.7 * wanted["equivalence"] + 0.2 * wanted["diversity"]
        )


@pytest.mark.parametrize("term", TERMS)
def test_gradients_are_those_of_finite_differences(
    term: str, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import torch

    model = tuned(tiny.shared(tmp_path_factory) / "base")
    examples = contrasted(rows()[:3], tokenizer, ROOM, 1, wrong=True, ngram=2)
    option, batch = options(**{term: 1.0}), laid(examples, slice(None), wrong=term == "equivalence")

    def value() -> Any:
        return composite.loss_terms(model, batch, options=option)[term]

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(value(), weights)
    assert sum(gradient.abs().sum().item() for gradient in gradients) > 1e-3
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        direction = [torch.randn(weight.shape, generator=generator, dtype=torch.float64) for weight in weights]
        slope = sum((gradient * step).sum().item() for gradient, step in zip(gradients, direction, strict=True))
        found = []
        for sign in (1, -2, 1):
            with torch.no_grad():
                for weight, step in zip(weights, direction, strict=True):
                    weight.add_(step, alpha=sign * 1e-5)
                found.append(value().item())
        assert (found[0] - found[1]) / 2e-5 == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_parts_of_a_step_add_up(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = tuned(tiny.shared(tmp_path_factory) / "base")
    examples = contrasted(rows()[:4], tokenizer, ROOM, 1, wrong=True, ngram=2)
    loss = partial(composite_loss, model, options=options(equivalence=1.0, diversity=1.0), examples=4)
    items = sum(label != IGNORED for row in examples for label in row.labels)
    whole = loss(laid(examples, slice(None)), items)[0].item()
    parts = [loss(laid(examples, part), items)[0].item() for part in (slice(0, 2), slice(2, 4))]
    assert sum(parts) == pytest.approx(whole)


def test_the_sources_target_is_the_frozen_base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    import torch

    base = tiny.shared(tmp_path_factory) / "base"
    model = tuned(base)
    model.train()
    batch = laid(contrasted(rows()[:3], tokenizer, ROOM, 1, wrong=False, ngram=0), slice(None))
    found = composite._sources(model, batch)
    assert not found.requires_grad and model.training
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(1.0)
    assert torch.equal(found, composite._sources(model, batch))


def test_a_wrong_answer_and_the_right_one_are_blind_to_each_other(
    tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = tuned(tiny.shared(tmp_path_factory) / "base")
    examples = contrasted(rows()[:3], tokenizer, ROOM, 1, wrong=True, ngram=0)
    wanted = composite_loss(model, laid(examples, slice(None)), options=options(equivalence=1.0))[1]
    plain = sft.completion_loss(model, laid(examples, slice(None), wrong=False)).item()
    assert wanted["ce"].item() == pytest.approx(plain, rel=1e-6)


def test_unlikelihood_is_exact_at_both_ends_and_always_has_a_gradient() -> None:
    import torch

    p = torch.tensor([1e-12, 1e-4, 0.3, 0.5, 0.7, 1 - 1e-5], dtype=torch.float64)
    for value in p:
        found = composite.unlikelihood(value.log().view(1)).item()
        assert found == pytest.approx(-math.log1p(-value.item()), rel=1e-9)
    likelihood = torch.tensor([0.0, -1e-9, -0.6931, -0.6930, -50.0, -1e4], requires_grad=True)
    composite.unlikelihood(likelihood).backward()
    assert likelihood.grad is not None and likelihood.grad.isfinite().all() and (likelihood.grad[2:5] > 0).all()


def test_what_counts_as_a_copy() -> None:
    a, b, c, d, e = range(5)
    assert copies([a, b, c], [a, b, c], 2) == []
    assert copies([a, b, c], [b, a, c], 2) == [(0, a), (1, c), (2, b)]  # begins as the source does; b → c; a → b
    assert copies([a, b, c], [d, e], 2) == [(0, a)]
    assert copies([a, b, a, c], [a, d], 2) == [(1, b), (1, c)]
    assert copies([a, b, c], [a, b, d], 3) == [(2, c)]
    assert copies([a, b], [b, c], 1) == [(0, a), (1, a)]
    assert copies([], [a], 2) == copies([a], [], 2) == []


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_copy_is_what_the_gold_says(n: int) -> None:
    random = Random(4)
    for _ in range(200):
        source, gold = ([random.randrange(4) for _ in range(random.randrange(8))] for _ in range(2))
        for t, token in copies(source, gold, n):
            gram = (*([-1] * (n - 1) + gold)[t : t + n - 1], token)
            padded = [-1] * (n - 1) + source
            assert gold[t] != token and gram in {tuple(padded[i : i + n]) for i in range(len(source))}


def test_negatives_are_made_once_and_all_of_them_come_up(tokenizer: Any) -> None:
    make = partial(contrasted, rows(), tokenizer, ROOM, wrong=True, ngram=2)
    first = make(1)
    assert first == make(1) != make(2)
    assert all(row.negatives for row in first), "the grammar knows a wrong answer to each"
    for row, made in zip(rows(), first, strict=True):
        texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in made.negatives]
        assert sorted(texts) == sorted(
            text
            for _, text in negatives(ROOM, row, Random(f"1.{row['id']}"))  # type: ignore[arg-type]
        )
        assert not any(ROOM.check(text, row).passed for text in texts)  # type: ignore[arg-type]
        assert all(ids[-1] == tokenizer.eos_token_id for ids in made.negatives)
    most = max(first, key=lambda made: len(made.negatives))
    assert sorted(columns([most] * len(most.negatives))["negative"]) == sorted(most.negatives)


def test_domains_without_negatives_have_none() -> None:
    typed: Example = {
        "id": "1",
        "messages": ROOM.messages("The dog slept."),
        "reference": "The dog was asleep.",
        "meta": {},
    }
    assert negatives(ROOM, typed, Random(1)) == [], "the grammar did not make it"
    assert negatives(get("math"), typed, Random(1)) == []


def test_what_stands_around_the_reference_stays(tokenizer: Any) -> None:
    row = rows()[0]
    answer = f"<reasoning>The verb goes first.</reasoning> {row['reference']}"
    tagged = {**row, "messages": [row["messages"][0], {"role": "assistant", "content": answer}]}
    [made] = contrasted([tagged], tokenizer, ROOM, 1, wrong=True, ngram=0)
    for ids in made.negatives:
        assert tokenizer.decode(ids).startswith("<reasoning>The verb goes first.</reasoning> ")
        assert row["reference"] not in tokenizer.decode(ids)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_that_is_off_is_not_computed(
    term: str, monkeypatch: pytest.MonkeyPatch, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def called(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed")

    model = tuned(tiny.shared(tmp_path_factory) / "base")
    others = options(**{other: 1.0 for other in TERMS if other != term})
    examples = contrasted(rows()[:2], tokenizer, ROOM, 1, wrong=term != "equivalence", ngram=2 * (term != "diversity"))
    needed = {"semantic": "_sources", "equivalence": "_additive", "diversity": "unlikelihood"}[term]
    monkeypatch.setattr(composite, needed, called)
    assert set(composite.loss_terms(model, laid(examples, slice(None)), options=others)) == {"ce", *TERMS} - {term}
    with pytest.raises(AssertionError, match="computed"):
        composite.loss_terms(
            model,
            laid(contrasted(rows()[:2], tokenizer, ROOM, 1, wrong=True, ngram=2), slice(None)),
            options=options(**{term: 1.0}),
        )


# ------------------------------------------------------------------------------------------------------------------- whole runs


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with data and a composite recipe for 6 steps on the tiny base."""
    write_jsonl(tmp_path / "train.jsonl", rows())
    values = {
        "name": "tiny",
        "domain": "rewording",
        "base": str(tiny.shared(tmp_path_factory) / "base"),
        "method": "composite",
        "lora": {"rank": 4, "alpha": 8},
        "optim": {"steps": 4, "batch_size": 4, "warmup_steps": 1},
        "run": {"save_every": 2, "track": "none"},
        "options": {"semantic": 0.2, "equivalence": 0.5, "diversity": 0.5},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def run(home: Path, out: str, *changes: str, **arguments: Any) -> Path:
    wanted = recipe.load(str(home / "tiny.yaml"), changes=changes)
    return adapter.train_adapter(wanted, home / "train.jsonl", home / "runs" / out, **arguments).path


def test_with_all_weights_0_it_is_sft(home: Path) -> None:
    composed = run(home, "composite", "optim.steps=2", *(f"options.{name}=0" for name in TERMS))
    values = yaml.safe_load((home / "tiny.yaml").read_text())
    (home / "tiny.yaml").write_text(yaml.safe_dump({**values, "method": "sft", "options": {}}))
    assert sha256_file(composed / WEIGHTS) == sha256_file(run(home, "sft", "optim.steps=2") / WEIGHTS)


def test_the_log_has_every_term_and_its_sum(home: Path) -> None:
    for accumulate in (1, 2):
        path = run(home, f"log{accumulate}", f"optim.accumulate={accumulate}", "optim.steps=2")
        report = json.loads((path / "training.json").read_text())
        assert report["negatives"] == 8 and report["copies"] > 8
        for entry in report["log"]:
            weights = {"loss_ce": 1.0, "loss_semantic": 0.2, "loss_equivalence": 0.5, "loss_diversity": 0.5}
            assert entry["loss"] == pytest.approx(sum(entry[key] * w for key, w in weights.items()), rel=1e-3)
        assert (path / "loss.png").stat().st_size > 10_000


def test_an_interrupted_run_continues_to_the_same_weights(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(home, "whole")
    real, calls = composite.composite_loss, 0

    def interrupted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(composite, "composite_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(home, "again")
    monkeypatch.setattr(composite, "composite_loss", real)
    assert sha256_file(run(home, "again", resume=True) / WEIGHTS) == sha256_file(whole / WEIGHTS)


def test_with_added_tokens_it_trains_loads_and_merges(home: Path) -> None:
    """Reasoning tags as special tokens: their embeddings are trained, saved, loaded, and in the merged model."""
    import torch

    tags = tiny.NEW_TOKENS
    tagged = [
        {**row, "messages": [row["messages"][0], {"role": "assistant", "content": f"{tags[0]}{row['meta']['operation']}{tags[1]}{row['reference']}"}]}
        for row in rows()
    ]  # fmt: skip
    write_jsonl(home / "train.jsonl", tagged)
    path = run(home, "tagged", "optim.steps=2", f"data.special_tokens={json.dumps(tags)}")
    base = resolve(recipe.load(str(home / "tiny.yaml")).base).local_path()
    model = adapters.load(base, path, dtype=torch.float32).eval()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    new = [int(str(tokenizer.convert_tokens_to_ids(tag))) for tag in tags]
    assert len(set(new)) == 2 and min(new) >= 49152 and tokenizer.unk_token_id not in new
    ids = torch.tensor([tokenizer(f"{tags[0]}passive{tags[1]}The dog slept.")["input_ids"]])
    assert set(new) <= set(ids[0].tolist())
    with torch.no_grad():
        tuned_ = model(input_ids=ids).logits
        with model.disable_adapter():
            plain = model(input_ids=ids).logits
        assert (tuned_ - plain).abs().max() > 1e-2, "the adapter is in it"
        merged = adapters.merge(model)
        assert torch.allclose(merged(input_ids=ids).logits, tuned_, atol=1e-4)
    assert merged.get_input_embeddings().weight.shape[0] == len(tokenizer)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["data.packing=true", "data.max_length=128"], "lays out a row by itself"),
        (["optim.batch_size=1"], "must be 2 or more"),
        (["optim.accumulate=4"], "must be 2 or more"),
        (["options.equivalence=-1"], "greater than or equal to 0"),
        (["options.sementic=1"], "did you mean `semantic`"),
        (["options.ngram=0"], "greater than or equal to 1"),
    ],
)
def test_recipes_that_are_refused(home: Path, changes: list[str], words: str) -> None:
    with pytest.raises(InvalidConfig, match=words):
        run(home, "refused", *changes)


def test_data_that_are_refused(home: Path) -> None:
    bare = [{"id": row["id"], "messages": row["messages"]} for row in rows()]
    write_jsonl(home / "train.jsonl", bare)
    with pytest.raises(InvalidData, match=r"options\.equivalence needs answers that are known to be wrong"):
        run(home, "bare")
    assert run(home, "without", "options.equivalence=0", "optim.steps=1").is_dir(), (
        "the other terms need a question alone"
    )
    write_jsonl(home / "train.jsonl", [{**row, "messages": row["messages"] * 2} for row in rows()])
    with pytest.raises(InvalidData, match="one answer, found several"):
        run(home, "several")


def test_rows_longer_than_a_sliding_window_are_refused(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = shutil.copytree(tiny.shared(tmp_path_factory) / "base", home / "windowed")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "sliding_window": 40}))
    with pytest.raises(InvalidConfig, match="attends to the last 40"):
        run(home, "long", f"base={base}")


def test_gradient_checkpointing_changes_nothing(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """transformers drops the cache of a layer then: a shared prefix would be lost."""
    model = tuned(tiny.shared(tmp_path_factory) / "base")
    model.train()
    batch = laid(contrasted(rows()[:3], tokenizer, ROOM, 1, wrong=True, ngram=2), slice(None))
    plain = composite_loss(model, batch, options=options(semantic=1.0, equivalence=1.0))[0].item()
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    found = composite_loss(model, batch, options=options(semantic=1.0, equivalence=1.0))[0]
    assert found.item() == pytest.approx(plain, rel=1e-6)
    found.backward()
    assert all(weight.grad is not None for name, weight in model.named_parameters() if "lora_B" in name)


def test_the_second_copy_of_trained_tokens_that_peft_saves_for_a_tied_head_is_let_pass(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny.shared(tmp_path_factory) / "base"
    network = AutoModelForCausalLM.from_pretrained(base)
    network.resize_token_embeddings(49154, mean_resizing=False)
    config = LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [49152, 49153]})
    model: Any = get_peft_model(network, config)
    model.save_pretrained(str(tmp_path), save_embedding_layers=True)
    assert any("lm_head.token_adapter" in name for name, _ in adapters.tensors(tmp_path)), "PEFT saves it once now"
    loaded = adapters.load(base, tmp_path, dtype=torch.float32)
    ids = torch.tensor([[1, 49152, 49153]])
    with torch.no_grad():
        assert torch.allclose(loaded(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-5)


def test_contrast_has_no_second_row_for_a_negative(tokenizer: Any) -> None:
    examples = contrasted(rows()[:4], tokenizer, ROOM, 1, wrong=True, ngram=2)
    batch, plain = laid(examples, slice(None)), laid(examples, slice(None), wrong=False)
    assert len(batch["input_ids"]) == 4 and {"mask", "position_ids"} <= set(batch)
    assert not {"mask", "position_ids", "negative_row"} & set(plain)
    assert (
        contrast.IGNORED in batch["labels"] and (batch["labels"] != IGNORED).sum() == (plain["labels"] != IGNORED).sum()
    )
