"""Training on a tiny model: what carries loss, what a recipe may say, and that an interruption costs nothing."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import yaml

from domains import get
from tests import tiny
from train import adapter as adapters
from train.data import IGNORED, Tokenized, collate, in_training_order, tokenize
from truemark import artifacts
from truemark import recipe as recipes
from truemark.adapters import tensors
from truemark.errors import InvalidConfig, InvalidData, StorageError, TruemarkError, UnknownName
from truemark.files import sha256_file, write_jsonl
from truemark.runtimes import open_runtime

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with data and a recipe for 12 steps on the tiny base."""
    base = tiny.shared(tmp_path_factory) / "base"
    rows = get("math").build(3, 24)["train"]
    write_jsonl(tmp_path / "train.jsonl", [dict(row) for row in rows])
    values = {
        "name": "tiny",
        "domain": "math",
        "base": str(base),
        "lora": {"rank": 4, "alpha": 8},
        "optim": {"steps": 12, "batch_size": 2, "warmup_steps": 2},
        "run": {"save_every": 3},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def run(home: Path, out: str = "tiny", **options: Any) -> artifacts.Artifact:
    return adapters.train_adapter(
        recipes.load(str(home / "tiny.yaml")), home / "train.jsonl", home / "runs" / out, **options
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from train.network import load_tokenizer
    from truemark.models import resolve

    return load_tokenizer(resolve(tiny.shared(tmp_path_factory) / "base"), get("math").SYSTEM_PROMPT)


def test_only_the_assistants_words_carry_loss(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}, {"role": "user", "content": "and 3?"},
                {"role": "assistant", "content": "7"}]  # fmt: skip
    [example] = tokenize([{"messages": messages}], tokenizer)
    assert tokenizer.decode([token for token in example.labels if token != IGNORED]) == "4<|im_end|>7<|im_end|>"
    assert all(label in (IGNORED, token) for token, label in zip(example.ids, example.labels, strict=True))


def test_what_is_trained_is_what_is_served(home: Path, tokenizer: Any) -> None:
    artifact = run(home)
    question = [{"role": "user", "content": "Solve for x: 3x + 7 = 22"}]
    [example] = tokenize([{"messages": [*question, {"role": "assistant", "content": "Answer: x = 5"}]}], tokenizer)
    prompt = example.ids[: example.labels.index(next(label for label in example.labels if label != IGNORED))]
    with open_runtime(str(artifact.path)) as runtime:
        assert runtime.prompt_ids(question) == prompt
    assert {"loss.png", "training.json", "chat_template.jinja", "tokenizer.json", WEIGHTS} <= set(
        artifact.manifest.files
    )
    assert str(home) not in (artifact.path / "adapter_config.json").read_text().replace(artifact.manifest.base.ref, "")


def test_loss_where_labels_are_equals_the_full_loss(tmp_path_factory: pytest.TempPathFactory) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from train.loss import completion_loss

    place = tiny.shared(tmp_path_factory)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(place / "base"), place / "tuned", is_trainable=True
    )
    rows = [{"input_ids": [1, 5, 6, 7, 8, 9, 2], "labels": [-100, -100, -100, 7, 8, 9, 2]}, {"input_ids": [1, 5, 6, 4, 3], "labels": [-100, -100, -100, 4, 3]},
            {"input_ids": [1, 5, 9, 4, 3], "labels": [-100, -100, -100, -100, 3]}]  # fmt: skip
    for chosen in (rows, rows[:2], rows[:1]):
        batch = collate(chosen, pad=2)
        mask = torch.tensor(
            [
                [1] * len(row["input_ids"]) + [0] * (batch["input_ids"].shape[1] - len(row["input_ids"]))
                for row in chosen
            ]
        )
        model.zero_grad()
        batch.pop("names")
        full = model(**batch, attention_mask=mask).loss
        full.backward()
        wanted = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
        model.zero_grad()
        ours = completion_loss(model, batch)
        ours.backward()
        assert ours.item() == pytest.approx(full.item(), abs=1e-5)
        for name, weight in model.named_parameters():
            if weight.grad is not None:
                assert torch.allclose(weight.grad, wanted[name], atol=1e-5), name


def test_order_is_a_function_of_the_seed() -> None:
    examples = [Tokenized([i] * (1 + i % 7), [i] * (1 + i % 7)) for i in range(50)]
    one = in_training_order(examples, 4, 30, seed=1)
    assert one == in_training_order(examples, 4, 30, seed=1) != in_training_order(examples, 4, 30, seed=2)
    assert len(one) == 120 and len({example.ids[0] for example in one}) == 50


def test_resumed_weights_are_the_uninterrupted_ones(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(home)
    assert run(home).sha == whole.sha, "the second run finds it done"

    from train import sft

    real = sft.completion_loss
    calls = 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(sft, "completion_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(home, "again")
    assert not (home / "runs" / "again").exists()
    monkeypatch.setattr(sft, "completion_loss", real)
    again = run(home, "again", resume=True)
    assert sha256_file(again.path / WEIGHTS) == sha256_file(whole.path / WEIGHTS)


def test_resume_without_a_checkpoint_and_training_without_data(home: Path) -> None:
    with pytest.raises(TruemarkError, match="nothing to resume"):
        run(home, resume=True)
    (home / "train.jsonl").unlink()
    with pytest.raises(TruemarkError, match="truemark data build math"):
        run(home)


def test_a_loss_that_is_not_finite_stops_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from train import sft

    real = sft.completion_loss
    monkeypatch.setattr(
        sft, "completion_loss", lambda *arguments, **options: real(*arguments, **options) * float("nan")
    )
    with pytest.raises(TruemarkError, match="loss at step 1 is nan"):
        run(home)
    assert not (home / "runs" / "tiny").exists()


def test_a_full_disk_is_said_and_keeps_the_checkpoints(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(adapters, "_describe", full)
    with pytest.raises(StorageError, match="no space left"):
        run(home)
    assert list((home / "runs" / ".work" / "tiny").glob("checkpoint-*")) and not (home / "runs" / "tiny").exists()


@pytest.mark.parametrize(
    "row",
    [
        {"messages": []},
        {"messages": "x"},
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "user"}]},
        {},
    ],
)
def test_rows_that_cannot_be_trained_on(row: dict[str, Any], tokenizer: Any) -> None:
    with pytest.raises(InvalidData, match="expected"):
        tokenize([row], tokenizer)


def test_all_errors_of_a_recipe_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: Bad Name\ndomain: math\nbase: smollm2-135m\noptim: {learning_rat: 1}\nlora: {rank: 0}\n")
    with pytest.raises(InvalidConfig) as error:
        recipes.load(str(path))
    for words in ("3 errors", "did you mean `learning_rate`", "rank: ", "name: "):
        assert words in str(error.value)
    for content in ("- a\n- b\n", "a: [", ""):
        path.write_text(content)
        with pytest.raises(InvalidConfig):
            recipes.load(str(path))
    with pytest.raises(UnknownName, match="math-smollm2"):
        recipes.load("math-smolm2")
    with pytest.raises(InvalidConfig, match="no recipe file"):
        recipes.load("nowhere.yaml")


@pytest.mark.parametrize("name", recipes.names())
def test_shipped_recipes_are_valid(name: str) -> None:
    assert recipes.load(name).name == name
    get(recipes.load(name).domain)


def test_the_published_pairs_are_in_half_precision_unless_asked_otherwise(home: Path) -> None:
    import torch

    kinds = {weight.dtype for _, weight in tensors(run(home).path)}
    assert kinds == {torch.float16}
    recipe = recipes.load(str(home / "tiny.yaml"), changes=["run.save=fp32"])
    full = adapters.train_adapter(recipe, home / "train.jsonl", home / "runs" / "full")
    assert {weight.dtype for _, weight in tensors(full.path)} == {torch.float32}
