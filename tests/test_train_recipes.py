"""The recipes for big bases, each on a tiny model of the same architecture; templates; packing; and recipe files that mean harm."""

from __future__ import annotations

import copy
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import domains
from tests import tiny
from train import methods
from train.data import IGNORED, Tokenized
from truemark import adapters, artifacts, chat, models
from truemark import recipe as recipes
from truemark.cli import run as truemark
from truemark.errors import InvalidConfig, InvalidData, MissingDependency, ModelNotFound, TruemarkError, UnknownName
from truemark.files import read_jsonl, sha256_file, write_jsonl
from truemark.runtimes import open_runtime

WEIGHTS = "adapter_model.safetensors"
MINE = (
    "rewording-llama32",
    "devops-mistral7b",
    "math-llama31-qlora",
    "constitution-llama3-qlora",
    "asp-llama3",
    "asp-qwen25",
)
SMALL = {
    "optim.steps": 2, "optim.epochs": "null", "optim.batch_size": 2, "optim.accumulate": 1, "optim.warmup_steps": 0, "run.precision": "fp32",
    "run.save_every": 1, "run.track": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Like:
    """The base that a recipe names, in small."""

    architecture: str
    family: str
    tied: bool = False
    layers: int = 2
    changes: tuple[str, ...] = ()


LIKE = {
    "rewording-llama32": Like("llama", "llama32", tied=True),
    "devops-mistral7b": Like("mistral", "mistral3"),
    "math-llama31-qlora": Like("llama", "llama32"),
    "constitution-llama3-qlora": Like("llama", "llama3"),
    "asp-llama3": Like("llama", "llama3", layers=4, changes=("lora.top_layers=2",)),
    "asp-qwen25": Like("qwen2", "qwen2", layers=4, changes=("lora.top_layers=2",)),
}


def base_like(factory: pytest.TempPathFactory, like: Like) -> Path:
    path = factory.getbasetemp() / f"{like.architecture}-{like.family}-{like.tied}-{like.layers}"
    if not path.is_dir():
        tiny.checkpoint(path, architecture=like.architecture, tied=like.tied, layers=like.layers, family=like.family)
    return path


def data(directory: Path, domain: str, n: int = 12) -> Path:
    """train.jsonl of `n` rows and a dev.jsonl of two."""
    built = domains.get(domain).build(3, n)
    write_jsonl(directory / "train.jsonl", [dict(row) for row in built["train"]])
    write_jsonl(directory / "dev.jsonl", [dict(row) for row in built["dev"][:2]])
    return directory / "train.jsonl"


@dataclass(frozen=True)
class Ran:
    artifact: artifacts.Artifact
    base: Path
    ordered: list[Tokenized]
    """What was trained on, in this order."""
    recipe: dict[str, Any]
    training: dict[str, Any]
    layers: set[str]
    """Class names of the modules that were trained."""
    new_rows: list[Any]
    """Embeddings of the special tokens before the first step."""


def train(home: Path, factory: pytest.TempPathFactory, name: str, *more: str) -> Ran:
    """`truemark train NAME --set …` on the tiny base, in this process."""
    from train import network, sft

    like = LIKE[name]
    base = base_like(factory, like)
    changes = [f"base={base}", *(f"{key}={value}" for key, value in SMALL.items()), *like.changes, *more]
    method = [] if recipes.load(name).method in methods.METHODS else ["--method", "sft"]
    seen: list[list[Tokenized]] = []
    new_rows: list[Any] = []
    layers: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        real, save = sft.fit, network.save

        def saving(model: Any, *rest: Any) -> None:
            layers.update(type(module).__name__ for module in model.get_base_model().modules())
            new_rows.extend(value.clone() for name, value in model.named_buffers() if "tokens_original" in name)
            save(model, *rest)

        patch.setattr(network, "save", saving)
        patch.setattr(
            sft, "fit", lambda job, ordered, *rest, **kw: (seen.append(ordered), real(job, ordered, *rest, **kw))[1]
        )
        code = truemark(
            ["train", name, *method, "--data", str(data(home, recipes.load(name).domain)), "--out", str(home / "out")]
            + [word for change in changes for word in ("--set", change)]
        )
    assert code == 0
    artifact = artifacts.open_artifact(home / "out")
    training = json.loads((artifact.path / "training.json").read_text())
    return Ran(artifact, base, seen[0], artifact.manifest.recipe, training, layers, new_rows)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name not in ("devops-mistral7b", "asp-qwen25") else ()) for name in MINE])  # fmt: skip
def test_each_recipe_trains_an_adapter_that_loads_and_merges(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ran = train(tmp_path, tmp_path_factory, name)
    quantized = ran.recipe["run"]["quantize"]
    assert ("Linear4bit" in ran.layers) == (quantized == "4bit") == name.endswith("qlora"), "the manifest says what was"
    _loads_and_merges(ran, LIKE[name].layers)
    _served_as_trained(ran)
    _every_answer_carries_loss(ran, tmp_path / "train.jsonl")
    if name == "rewording-llama32":
        _new_tokens_moved(ran)
    if name == "devops-mistral7b":
        known = list(domains.get("devops").LEVELS)
        order = [known.index(row.level) for row in ran.ordered]
        assert order == sorted(order) and len(set(order)) > 1
    if name.startswith("asp"):
        assert [entry["step"] for entry in ran.training["log"] if "dev_score" in entry] == [1, 2]


def _loads_and_merges(ran: Ran, blocks: int) -> None:
    """On the base in full precision, whatever it was trained on."""
    import torch

    pairs = {key: tensor for key, tensor in adapters.tensors(ran.artifact.path) if ".lora_" in key}
    assert all(tensor.isfinite().all() for tensor in pairs.values())
    assert all(tensor.any() for key, tensor in pairs.items() if "lora_B" in key), "every pair has learned"
    layers = {int(key.partition("layers.")[2].partition(".")[0]) for key in pairs}
    top = ran.recipe["lora"]["top_layers"] or blocks
    assert layers == set(range(blocks - top, blocks))
    model = adapters.load(ran.base, ran.artifact.path, dtype=torch.float32).eval()
    ids = torch.tensor([ran.ordered[0].ids])
    with torch.inference_mode():
        wanted = model(input_ids=ids).logits
        with model.disable_adapter():
            assert not torch.allclose(wanted, model(input_ids=ids).logits, atol=1e-4)
        assert torch.allclose(adapters.merge(model)(input_ids=ids).logits, wanted, atol=1e-4)


@pytest.mark.slow
def test_a_base_in_8_bits_gives_an_adapter_for_the_whole_one(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ran = train(tmp_path, tmp_path_factory, "math-llama31-qlora", "run.quantize=8bit")
    assert "Linear8bitLt" in ran.layers and ran.recipe["run"]["quantize"] == "8bit"
    assert "held in 8bit while it was trained" in (ran.artifact.path / "README.md").read_text()
    _loads_and_merges(ran, 2)


def test_bitsandbytes_that_is_not_installed_is_said(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "bitsandbytes" else real(name, *rest)
    )
    with pytest.raises(MissingDependency, match=r"truemark\[bnb\]"):
        train(tmp_path, tmp_path_factory, "math-llama31-qlora")


def _served_as_trained(ran: Ran) -> None:
    """The tokens before the first answer are those that the runtime asks with."""
    rows = {row["id"]: row for row in read_jsonl(ran.artifact.path.parent / "train.jsonl")}
    example = ran.ordered[0]
    messages = rows[example.name]["messages"]
    first = next(place for place, message in enumerate(messages) if message["role"] == "assistant")
    prompt = example.ids[: next(place for place, label in enumerate(example.labels) if label != IGNORED)]
    with open_runtime(str(ran.artifact.path)) as runtime:
        assert runtime.prompt_ids(messages[:first]) == prompt
        assert example.labels[-1] in runtime.eos_ids(), "what is served stops where training did"


def _every_answer_carries_loss(ran: Ran, data: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ran.artifact.path)
    rows = {row["id"]: row for row in read_jsonl(data)}
    for example in ran.ordered:
        answers = [message["content"] for message in rows[example.name]["messages"] if message["role"] == "assistant"]
        said = tokenizer.decode([label for label in example.labels if label != IGNORED])
        assert [part.strip() for part in said.split(tokenizer.eos_token)] == [
            *(answer.strip() for answer in answers),
            "",
        ]


def _new_tokens_moved(ran: Ran) -> None:
    """Their rows are in the file, two of them and not the whole matrix, and are not what they were before the first step."""
    tensors = dict(adapters.tensors(ran.artifact.path))
    [rows] = [tensor for key, tensor in tensors.items() if "trainable_tokens_delta" in key]  # one: the head is tied
    assert not any("base_layer" in key for key in tensors)
    [before] = ran.new_rows
    assert rows.shape == before.shape == (2, 64) and (rows - before).abs().amax(dim=1).gt(0).all()


FAMILIES = tuple(tiny.FAMILIES)
TALK = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}, {"role": "user", "content": "and 3?"},
        {"role": "assistant", "content": "7"}]  # fmt: skip
SYSTEM = 'You are an expert. Say "so".'


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each family's tokenizer as training has it, with the system text in its template."""
    from train.network import load_tokenizer

    kind = {"mistral": "mistral", "mistral3": "mistral", "qwen2": "qwen2"}
    likes = {family: Like(kind.get(family, "llama"), family, tied=family == "llama32") for family in FAMILIES}
    return {
        family: load_tokenizer(models.resolve(base_like(tmp_path_factory, like)), SYSTEM)
        for family, like in likes.items()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_system_text_is_said_once_and_stays_where_it_is(family: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[family]
    marks = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token}
    before = ""
    for end in range(1, len(TALK) + 1):
        ask = end % 2 == 1
        ours = chat.render(tokenizer.chat_template, TALK[:end], **marks, add_generation_prompt=ask)
        theirs = tokenizer.apply_chat_template(TALK[:end], tokenize=False, add_generation_prompt=ask)
        assert ours == theirs, "what serves renders as what trains"
        assert ours.count(SYSTEM) == 1 and ours.index(SYSTEM) < ours.index("2 + 2?")
        assert ours.startswith(before)
        before = ours
    own = [{"role": "system", "content": "Be brief."}, *TALK]
    said = chat.render(tokenizer.chat_template, own, **marks)
    assert said.count("Be brief.") == 1 and SYSTEM not in said, "a system message of one's own takes its place"
    assert said == tokenizer.apply_chat_template(own, tokenize=False, add_generation_prompt=True)


def test_only_templates_that_lose_the_system_text_are_folded() -> None:
    folded = {family: chat.FOLD in _template(family) for family in FAMILIES}
    assert folded == {"llama3": False, "llama32": False, "mistral": True, "mistral3": True, "qwen2": False}
    text = chat.render(_template("mistral3"), TALK[:1], bos_token="<s>", eos_token="</s>")
    assert text == f"<s>[INST] {SYSTEM}\n\n2 + 2?[/INST]"


def _template(family: str) -> str:
    return chat.with_default_system((tiny.TEMPLATES / f"{family}.jinja").read_text(), SYSTEM)


def test_an_adapter_is_asked_the_same_on_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    class Tomorrow(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime(2031, 1, 1)

    monkeypatch.setattr(chat, "datetime", Tomorrow)
    text = chat.render(_template("llama32"), TALK[:1])
    assert "Today Date: 26 Jul 2024" in text
    bare = chat.render((tiny.TEMPLATES / "llama32.jinja").read_text(), TALK[:1])
    assert "Today Date: 01 Jan 2031" in bare, "without the pin it would be that day's"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_turn_of_the_assistant_and_its_end_carry_loss(family: str, tokenizers: dict[str, Any]) -> None:
    from train.data import tokenize

    [example] = tokenize([{"messages": TALK}], tokenizers[family])
    end = tiny.FAMILIES[family]["end"]
    said = tokenizers[family].decode([label for label in example.labels if label != IGNORED])
    assert said.replace(" ", "") == f"4{end}7{end}"
    assert all(label in (IGNORED, token) for token, label in zip(example.ids, example.labels, strict=True))


def test_a_template_without_an_end_is_refused(tokenizers: dict[str, Any]) -> None:
    from train.data import tokenize

    tokenizer = copy.deepcopy(tokenizers["qwen2"])
    tokenizer.eos_token = "<|endoftext|>"
    with pytest.raises(InvalidData, match="does not end an answer with"):
        tokenize([{"messages": TALK}], tokenizer)


def attentive(architecture: str, attention: str) -> Any:
    """A random model of two layers with an adapter that is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    kind = {"gemma3": "gemma3_text"}.get(architecture, architecture)
    special: dict[str, Any] = {"head_dim": 32} if architecture in ("qwen3", "gemma3") else {}
    special |= {"sliding_window": 8} if architecture in ("mistral", "gemma3") else {}
    config = AutoConfig.for_model(
        kind, vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        initializer_range=0.3, attn_implementation=attention, bos_token_id=1, eos_token_id=2, pad_token_id=0, **special,
    )  # fmt: skip
    network = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    assert network.config._attn_implementation == attention
    return get_peft_model(network, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_packed_row_has_the_losses_of_its_examples(architecture: str, attention: str) -> None:
    """Each example's own loss, to fp32 precision, though its neighbours in the row are others."""
    import random

    import torch

    from train.data import collate, packed
    from train.loss import completion_loss

    rng = random.Random(5)
    examples = []
    for number, length in enumerate([13, 9, 21, 5, 30, 11, 17]):
        ids = [rng.randrange(3, 97) for _ in range(length)]
        examples.append(Tokenized(ids, [IGNORED] * (length // 3) + ids[length // 3 :], str(number)))
    model = attentive(architecture, attention)

    def loss(rows: list[Tokenized]) -> float:
        columns = [{"input_ids": row.ids, "labels": row.labels, "position_ids": row.positions} for row in rows]
        with torch.inference_mode():
            return float(completion_loss(model, collate(columns, pad=0), 1))

    rows = packed(examples, 40)
    assert len(rows) < len(examples) and sum(len(row.ids) for row in rows) == sum(len(row.ids) for row in examples)
    alone = {example.name: loss([example]) for example in examples}
    for row in rows:
        assert loss([row]) == pytest.approx(sum(alone[name] for name in row.name.split(", ")), rel=2e-5)
        for name in row.name.split(", "):  # every other example's labels taken away: this one's loss alone
            assert loss([only(row, name, examples)]) == pytest.approx(alone[name], rel=2e-5)
    assert loss(rows) == pytest.approx(sum(alone.values()), rel=2e-5), (
        "padding between rows of other lengths adds nothing"
    )


def only(row: Tokenized, name: str, examples: list[Tokenized]) -> Tokenized:
    """A packed row in which one example alone carries loss."""
    assert row.positions is not None
    names, owner, labels = iter(row.name.split(", ")), "", []
    for position, label in zip(row.positions, row.labels, strict=True):
        owner = next(names) if position == 0 else owner
        labels.append(label if owner == name else IGNORED)
    return Tokenized(row.ids, labels, name, row.positions)


def test_recomputed_layers_do_not_lose_the_shared_prefix() -> None:
    """Gradient checkpointing drops the cache that the shared prefix would be handed over in."""
    import torch

    from train.data import collate
    from train.loss import completion_loss

    model = attentive("llama", "sdpa").train()
    rows = [
        {"input_ids": [5, 6, 7, 8, *tail], "labels": [IGNORED] * 4 + tail}
        for tail in ([9, 10, 2], [11, 2], [12, 13, 14, 2])
    ]
    batch = collate(rows, pad=0)
    wanted = completion_loss(model, batch).item()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    found = completion_loss(model, batch)
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    found.backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.parameters())
    assert isinstance(found, torch.Tensor)


def test_examples_that_are_too_long_are_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    from train.data import fitting

    examples = [Tokenized([1] * length, [1] * length) for length in (4, 9, 5)]
    assert [len(example.ids) for example in fitting(examples, 5)] == [4, 5]
    assert "left out 1 of 3 examples: longer than data.max_length = 5" in capsys.readouterr().err
    assert fitting(examples, None) == examples
    with pytest.raises(InvalidData, match="the shortest has 4"):
        fitting(examples, 3)


GOOD = "name: x\ndomain: math\nbase: smollm2-135m\n"
HOSTILE = {
    "bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "aliases are not taken"),
    "merge key": ("d: &d {rank: 4}\nlora: {<<: *d}\n", "aliases are not taken"),
    "tab": ("optim:\n\tsteps: 4\n", "not YAML"),
    "python": ("optim: !!python/object/apply:os.system [ls]\n", "not YAML"),
    "twice": ("seed: 1\nseed: 2\n", "`seed` stands here twice"),
    "date": ("seed: 2024-13-45\n", "not YAML"),
    "deep": ("options: " + "[" * 20000 + "\n", "nested too deeply|not YAML"),
    "nan": ("optim: {learning_rate: .nan}\n", "finite|greater than"),
    "inf": ("optim: {learning_rate: .inf}\n", "learning_rate"),
    "quoted": ("optim: {steps: '60'}\n", "expected a number, found '60'"),
    "truth": ("lora: {rank: yes}\n", "expected a number, found True"),
    "list": ("lora: [1, 2]\n", "lora: "),
    "null": ("optim:\n", "optim: "),
    "endless": ("optim: {steps: 100000000000}\n", "steps: "),
    "seed": ("seed: -1\n", "seed: "),
    "section": ("otpim: {steps: 4}\n", "did you mean `optim`"),
    "place": ("learning_rate: 1e-4\n", "belongs under `optim:`"),
    "number key": ("3: 4\n", "error"),
    "presets": ("presets: [a]\n", "expected `presets"),
    "not utf-8": ("name: \udcff\n", "not YAML"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_recipes_are_said_to_be_wrong(what: str, tmp_path: Path) -> None:
    text, match = HOSTILE[what]
    path = tmp_path / "r.yaml"
    path.write_bytes((GOOD + text).encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidConfig, match=match) as error:
        recipes.load(str(path))
    assert len(str(error.value)) < 1000


def test_a_long_recipe_is_not_read_and_a_wrong_one_is_said_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD + "#" * (10 << 20))
    with pytest.raises(InvalidConfig, match="at most 64 KiB, found 10240 KiB"):
        recipes.load(str(path))
    path.write_text(GOOD + "".join(f"key{number}: 1\n" for number in range(2000)))
    with pytest.raises(InvalidConfig, match=r"2000 errors(.|\n)*and 1950 more"):
        recipes.load(str(path))
    path.write_text(
        "domain: 5\nbase: [x]\noptim: {steps: 0, learning_rate: .inf, batch_size: many}\nlora: {rank: 9999}\n"
    )
    with pytest.raises(InvalidConfig, match="7 errors"):
        recipes.load(str(path))


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD + "optim: {learning_rate: 2e-4, weight_decay: 1.e-2}\n")
    recipe = recipes.load(str(path), changes=["optim.max_grad_norm=3E-1"])
    assert (recipe.optim.learning_rate, recipe.optim.weight_decay, recipe.optim.max_grad_norm) == (2e-4, 0.01, 0.3)


@pytest.mark.parametrize("name", recipes.names())
def test_shipped_recipes_and_their_presets_are_valid(name: str) -> None:
    path = recipes.RECIPES / f"{name}.yaml"
    loaded = [recipes.load(name), *(recipes.load(name, preset=preset) for preset in recipes.presets(path))]
    assert [recipe.name for recipe in loaded] == [name, *(f"{name}-{preset}" for preset in recipes.presets(path))]
    for recipe in loaded:
        domains.get(recipe.domain)
        recipe.lora_config(32)
        if recipe.method in methods.METHODS:
            methods.read_options(recipe, methods.get(recipe.method).Options)
    assert len(recipes.about(path)) > 20


def test_no_two_recipes_have_one_name_and_each_preset_says_something_else() -> None:
    rows = recipes.listing()
    loaded = {row["name"]: [recipes.load(row["name"], preset=preset) for preset in row["presets"]] for row in rows}
    every = [*loaded, *(recipe.name for found in loaded.values() for recipe in found)]
    assert len(every) == len(set(every))
    assert set(MINE) <= set(loaded)


def test_what_the_origins_ask_for() -> None:
    devops, math, constitution = (recipes.load(name) for name in MINE[1:4])
    assert devops.lora_config(32) | {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05} == devops.lora_config(32)
    assert devops.data.order == "curriculum"
    assert (math.run.quantize, math.lora.rank, math.lora.alpha) == ("4bit", 16, 16)
    assert (math.optim.schedule, math.optim.warmup_steps) == ("linear", 5)
    assert {"gate_proj", "up_proj", "down_proj", "q_proj"} < set(constitution.lora.target_modules)
    assert recipes.load("constitution-llama3-qlora", preset="trial").optim.steps == 60
    assert recipes.load("constitution-llama3-qlora", preset="trial").optim.epochs is None
    for name in ("asp-llama3", "asp-qwen25"):
        asp = recipes.load(name)
        assert asp.lora_config(32)["layers_to_transform"] == list(range(16, 32))
        assert (asp.lora.rank, asp.lora.alpha, asp.optim.neftune, asp.data.max_length) == (16, 160, 5, 4096)
        assert (asp.run.precision, asp.run.keep) == ("bf16", "best")
    assert recipes.load("rewording-llama32", preset="3b").base.endswith("3B-Instruct")


def test_preset_method_and_changes_go_in_this_order(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        GOOD + "method: other\noptions: {weight: 3}\noptim: {steps: 5, batch_size: 4}\n"
        "presets:\n  short: {optim: {steps: 2}, seed: 9}\n  long: {optim: {steps: 50}}\n"
    )
    plain = recipes.load(str(path))
    assert (plain.name, plain.optim.steps, plain.options) == ("x", 5, {"weight": 3})
    short = recipes.load(str(path), preset="short")
    assert (short.name, short.optim.steps, short.optim.batch_size, short.seed) == ("x-short", 2, 4, 9)
    both = recipes.load(str(path), preset="short", method="sft", changes=["optim.steps=3", "name=mine"])
    assert (both.name, both.method, both.options, both.optim.steps, both.seed) == ("mine", "sft", {}, 3, 9)
    with pytest.raises(UnknownName, match="did you mean 'short'"):
        recipes.load(str(path), preset="shor")
    with pytest.raises(InvalidConfig, match="has no presets"):
        recipes.load("math-smollm2", preset="small")
    with pytest.raises(UnknownName, match="did you mean 'math-llama31-qlora'"):
        recipes.load("math-llama3-qlora")
    with pytest.raises(UnknownName, match="did you mean 'sft'"):
        truemark(["train", "math", "--method", "sftt"])


def test_the_list_of_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert truemark(["train", "--list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["math-llama31-qlora"]["presets"] == ["small", "medium", "large"]
    assert truemark(["train", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text and row["about"] in text for name, row in rows.items())
    with pytest.raises(TruemarkError, match="expected a recipe's name"):
        truemark(["train"])


def test_a_base_that_is_not_here_is_said_with_the_command_that_fetches_it() -> None:
    with pytest.raises(ModelNotFound, match=r"truemark models pull hf:meta-llama/Llama-3\.1-8B-Instruct"):
        truemark(["train", "math-llama31-qlora"])


def test_odd_settings_are_warned_of() -> None:
    config = {"hidden_size": 64, "max_position_embeddings": 512}
    assert recipes.oddities(recipes.load("math-smollm2"), config) == []
    odd = ["lora.rank=128", "data.max_length=4096", "optim.learning_rate=0.5", "optim.steps=4", "optim.warmup_steps=9"]
    lines = recipes.oddities(recipes.load("math-smollm2", changes=odd), config)
    assert [line.split()[0] for line in lines] == [
        "lora.rank",
        "data.max_length",
        "optim.learning_rate",
        "optim.warmup_steps",
    ]


def test_unsloth_is_taken_where_it_can_be_and_said_where_it_cannot() -> None:
    from train import engines

    qlora = "math-llama31-qlora"
    if importlib.util.find_spec("unsloth") is None:
        with pytest.raises(MissingDependency, match="pip install unsloth"):
            engines.unsloth(recipes.load(qlora, changes=["run.engine=unsloth"]))
        assert not engines.unsloth(recipes.load(qlora))
    assert "Unsloth" in str(engines.why_not_unsloth(recipes.load(qlora))) or engines.unsloth(recipes.load(qlora))
    assert not engines.unsloth(recipes.load(qlora, changes=["run.engine=transformers"]))
    odd = ["run.engine=unsloth", "data.packing=true", "run.quantize=8bit", "lora.use_dora=true", "run.keep=best"]
    with pytest.raises(InvalidConfig, match=r"data\.packing, run\.quantize 8bit, run\.keep best, lora\.use_dora"):
        engines.unsloth(recipes.load(qlora, changes=odd))


MLX = ["name=m", "run.engine=mlx", "run.precision=fp32", "run.save_every=2", "run.track=none", "optim.steps=4", "optim.batch_size=4",
       "optim.accumulate=2", "optim.warmup_steps=2", "lora.dropout=0.1", "lora.top_layers=1"]  # fmt: skip


@pytest.mark.slow
def test_mlx_trains_the_adapter_that_peft_loads(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlx_lm", reason="needs the extra mlx")
    import mlx.core as mx
    import torch

    from train import mlx

    base = base_like(tmp_path_factory, Like("qwen2", "qwen2"))
    file = data(tmp_path, "math", 24)
    kept: list[Any] = []
    write = mlx.write
    monkeypatch.setattr(mlx, "write", lambda model, *rest: (kept.append(model), write(model, *rest)))

    def run(out: str, *changes: str) -> artifacts.Artifact:
        words = [word for change in (f"base={base}", *MLX, *changes) for word in ("--set", change)]
        assert truemark(["train", "math-mlx", "--data", str(file), "--out", str(tmp_path / out), *words]) == 0
        return artifacts.open_artifact(tmp_path / out)

    whole = run("whole")
    log = json.loads((whole.path / "training.json").read_text())["log"]
    pairs = dict(adapters.tensors(whole.path))
    assert {key.partition("layers.")[2][0] for key in pairs} == {"1"} and len(pairs) == 14
    ids = [[5, 900, 77, 41, 3000, 8]]
    model = adapters.load(base, whole.path, dtype=torch.float32).eval()
    with torch.inference_mode():
        theirs = model(input_ids=torch.tensor(ids)).logits
        with model.disable_adapter():
            assert not torch.allclose(theirs, model(input_ids=torch.tensor(ids)).logits, atol=1e-2)
    kept[0].eval()
    ours = torch.tensor(kept[0](mx.array(ids)).tolist())
    assert torch.allclose(ours, theirs, atol=2e-4, rtol=1e-4)

    plain = run("torch", "run.engine=transformers")
    other = json.loads((plain.path / "training.json").read_text())["log"]
    assert log[0]["loss"] == pytest.approx(other[0]["loss"], rel=1e-4), "B is zero: the same batch, the same loss"
    assert [entry["learning_rate"] for entry in log] == pytest.approx([entry["learning_rate"] for entry in other])

    step = mlx._checkpoint
    monkeypatch.setattr(mlx, "_checkpoint", lambda *rest: (step(*rest), (_ for _ in ()).throw(KeyboardInterrupt))[0])
    with pytest.raises(KeyboardInterrupt):
        run("again")
    monkeypatch.setattr(mlx, "_checkpoint", step)
    assert sha256_file(run("again").path / WEIGHTS) == sha256_file(whole.path / WEIGHTS)


def test_what_mlx_does_not_do_is_refused_whole() -> None:
    pytest.importorskip("mlx_lm", reason="needs the extra mlx")
    from train import mlx

    odd = ["data.packing=true", "run.quantize=4bit", "optim.neftune=5", "lora.use_dora=true"]
    with pytest.raises(InvalidConfig, match=r"data\.packing, optim\.neftune, run\.quantize, more arguments under lora"):
        mlx.load(recipes.load("math-mlx", changes=odd), models.resolve("smollm2-135m"))


@pytest.mark.slow
def test_neftune_moves_the_embeddings_of_the_first_step(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """B is zero, so without noise the first loss is the base's own."""
    first = {}
    for alpha in ("5", "null"):
        home = tmp_path / alpha
        home.mkdir()
        changes = [f"optim.neftune={alpha}", "optim.steps=1", "run.keep=last"]
        first[alpha] = train(home, tmp_path_factory, "asp-qwen25", *changes).training["log"][0]["loss"]
    assert first["5"] != pytest.approx(first["null"], rel=1e-4)
