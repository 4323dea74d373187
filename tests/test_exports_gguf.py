"""Everything llama.cpp in exports: k-quants and the importance matrix, Modelfiles, LoRA-GGUF's silent traps, and the bundle."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import domains
from exports import bundle, gguf, mark, modelfile, reference
from exports.go_template import NotAConcatenation, Pieces, pieces
from tests import tiny
from truemark import artifacts, chat, cli, embedded, gguf_convert, lora, models
from truemark.errors import CheckFailed, InvalidArtifact, StorageError, TruemarkError
from truemark.models import ModelRef
from truemark.runtimes import Sampling, open_runtime
from truemark.runtimes.llamacpp import adds_bos

# ---------------------------------------------------------------- tiny models


def make_base(path: Path, like: Path, **changes: Any) -> Path:
    """A tiny random Llama with the tokenizer of `like` and the config's `changes`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    shape = {
        "vocab_size": 49152, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 512, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 2, "initializer_range": 0.15,
    }  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**{**shape, **changes})).save_pretrained(path)
    copy_tokenizer(like, path)
    return path


def copy_tokenizer(source: Path, out: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(source / name, out / name)


def make_peft(path: Path, base: Path, **options: Any) -> Path:
    """A random PEFT adapter with any LoraConfig, its every trained tensor moved."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **options}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                weight.normal_(std=0.2)
    model.save_pretrained(path)
    copy_tokenizer(base, path)
    return path


IDS = [1, 4093, 198, 3725, 314, 216, 39, 43, 2, 198, 1, 520, 9531, 198, 504, 3575, 314, 216]


@pytest.fixture
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared(tmp_path_factory) / "base"


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test process's for converted models."""
    cache = tiny.shared(tmp_path_factory) / "cache"
    monkeypatch.setattr(gguf_convert, "cache_dir", lambda: cache)
    return cache


def distribution(ref: ModelRef, runtime: str) -> np.ndarray:
    with open_runtime(ref, runtime) as opened:
        return opened.logprobs(IDS)


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def lora_ref(adapter: Path, base: Path, out: Path) -> ModelRef:
    """The adapter as LoRA-GGUF on its base, as the runtime opens it."""
    gguf_convert.convert_lora(adapter, base, out)
    described = models.describe_base(models.resolve(base))
    manifest = artifacts.Manifest(kind="export", name="x", domain="math", format="lora-gguf", base=described)
    return ModelRef(str(out), "lora-gguf", path=out, artifact=artifacts.Artifact(base, manifest))


def peft_ref(adapter: Path, base: Path) -> ModelRef:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(base)}))
    return ModelRef(str(adapter), "adapter", path=adapter)


# ---------------------------------------------------------------- LoRA-GGUF

SCALINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"r": 8, "lora_alpha": 8, "use_rslora": True},
    "rank_pattern": {"rank_pattern": {"q_proj": 2, r"layers.1.mlp.up_proj": 8}},
    "alpha_pattern": {"alpha_pattern": {"down_proj": 32, "k_proj": 1}},
    "all": {"use_rslora": True, "rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 3, "gate_proj": 20}},
    "attention": {"target_modules": ["q_proj", "v_proj"]},
    "top layer": {"target_modules": ["q_proj", "v_proj", "up_proj"], "layers_to_transform": [1]},
}


@pytest.mark.parametrize("name", SCALINGS)
def test_a_lora_gguf_is_the_peft_adapter_whatever_its_scaling(
    name: str, tiny_base: Path, tmp_path: Path, own_cache: Path
) -> None:
    adapter = make_peft(tmp_path / "peft", tiny_base, **SCALINGS[name])
    wanted = distribution(peft_ref(adapter, tiny_base), "torch")
    base = distribution(models.resolve(tiny_base), "torch")
    found = distribution(lora_ref(adapter, tiny_base, tmp_path / "x.gguf"), "llamacpp")
    assert kl(wanted, base) > 0.01, "the adapter does something"
    assert kl(wanted, found) < 1e-4


def test_scaling_is_pefts_own(tiny_base: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer
    from transformers import AutoModelForCausalLM

    adapter = make_peft(tmp_path / "peft", tiny_base, **SCALINGS["all"])
    config = lora.read_config(adapter)
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), adapter)
    checked = 0
    for name, module in network.named_modules():
        if isinstance(module, LoraLayer):
            key = name.removeprefix("base_model.model.")
            assert lora.scaling(config, key, module.r["default"]) == pytest.approx(module.scaling["default"])
            assert lora.stated_rank(config, key) == module.r["default"]
            checked += 1
    assert checked == 14


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_lora_on_embedding_or_head_works_untied_and_is_refused_tied(
    target: str, tiny_base: Path, tmp_path: Path, own_cache: Path
) -> None:
    untied = make_base(tmp_path / "untied", tiny_base, tie_word_embeddings=False)
    adapter = make_peft(tmp_path / "peft", untied, target_modules=["q_proj", target])
    wanted = distribution(peft_ref(adapter, untied), "torch")
    assert kl(wanted, distribution(models.resolve(untied), "torch")) > 0.01
    assert kl(wanted, distribution(lora_ref(adapter, untied, tmp_path / "x.gguf"), "llamacpp")) < 1e-4
    tied = make_peft(tmp_path / "tied", tiny_base, target_modules=["q_proj", target])
    with pytest.raises(InvalidArtifact, match=f"LoRA on .*{target} of a base with tied embeddings"):
        gguf_convert.convert_lora(tied, tiny_base, tmp_path / "y.gguf")
    assert not (tmp_path / "y.gguf").exists()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "dora": ({"use_dora": True}, "DoRA"),
    "modules_to_save": ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    "saved norm": ({"modules_to_save": ["norm"]}, "modules_to_save"),
    "tokens": ({"trainable_token_indices": [5, 6]}, "trainable_token_indices"),
    "bias": ({"bias": "lora_only", "lora_bias": False}, "bias=lora_only"),
    "pissa": ({"init_lora_weights": "pissa_niter_2"}, "init_lora_weights=pissa"),
    "olora": ({"init_lora_weights": "olora"}, "init_lora_weights=olora"),
    "alora": ({"alora_invocation_tokens": [1, 2]}, "aLoRA"),
    "replication": ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_lora_gguf_cannot_hold_is_refused_by_name(name: str, tiny_base: Path, tmp_path: Path) -> None:
    options, words = REFUSED[name]
    adapter = make_peft(tmp_path / "peft", tiny_base, **options)
    with pytest.raises(InvalidArtifact, match=words) as refused:
        gguf_convert.convert_lora(adapter, tiny_base, tmp_path / "x.gguf")
    assert "--to gguf" in str(refused.value)
    assert not (tmp_path / "x.gguf").exists()


def test_fields_of_tomorrow_and_strange_tensors_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    adapter = make_peft(tmp_path / "peft", tiny_base)
    config = json.loads((adapter / "adapter_config.json").read_text())
    for change in ({"use_tomorrow": True}, {"peft_type": "LOHA"}, {"fan_in_fan_out": True}, {"lora_bias": True}):
        (adapter / "adapter_config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(InvalidArtifact, match=f"{next(iter(change))}"):
            gguf_convert.convert_lora(adapter, tiny_base, tmp_path / "x.gguf")
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    norm = "base_model.model.model.norm.weight"  # the converter takes it, llama.cpp leaves it out
    tensors = load_file(adapter / "adapter_model.safetensors")
    save_file({**tensors, norm: np.ones(64, np.float32)}, adapter / "adapter_model.safetensors")
    with pytest.raises(InvalidArtifact, match=r"no LoRA pair.*norm"):
        gguf_convert.convert_lora(adapter, tiny_base, tmp_path / "x.gguf")


def test_other_tokens_and_a_resized_vocabulary_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapter = make_peft(tmp_path / "peft", tiny_base)
    tokenizer = json.loads((adapter / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "content": "<think>", "id": 49152})
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InvalidArtifact, match=r"not the base's, e.g. '<think>' as 49152"):
        gguf_convert.convert_lora(adapter, tiny_base, tmp_path / "x.gguf")
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_pretrained(tiny_base)
    network.resize_token_embeddings(49160, mean_resizing=False)
    model = get_peft_model(network, LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(tmp_path / "resized", save_embedding_layers=True)
    with pytest.raises(InvalidArtifact, match="no LoRA pair"):
        gguf_convert.convert_lora(tmp_path / "resized", tiny_base, tmp_path / "x.gguf")


def test_a_base_is_converted_once(tiny_base: Path, own_cache: Path) -> None:
    first = gguf_convert.base_gguf(models.resolve(tiny_base))
    assert first.is_relative_to(own_cache / "gguf-bases")
    before = first.stat().st_mtime_ns
    assert gguf_convert.base_gguf(models.resolve(tiny_base)) == first
    assert first.stat().st_mtime_ns == before
    assert gguf_convert.base_gguf(models.resolve("smollm2-135m")) == embedded.SMOLLM2.gguf()


# ---------------------------------------------------------------- k-quants


@pytest.fixture
def quick(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Marks with few and short answers; a fresh copy of the tiny adapter in the directory that is returned."""
    kept = tiny.shared(tmp_path_factory)
    shutil.copytree(kept / "tuned", tmp_path / "tuned")
    short = Sampling(max_tokens=12)
    monkeypatch.setattr(reference, "PROMPTS", 6)
    monkeypatch.setattr(reference, "SAMPLING", short)
    monkeypatch.setattr(mark, "SAMPLING", short)
    monkeypatch.setattr(reference, "cache_dir", lambda: kept / "cache")
    monkeypatch.setattr(gguf_convert, "cache_dir", lambda: kept / "cache")
    monkeypatch.setattr(gguf, "CHUNKS", 4)
    return tmp_path


@pytest.mark.slow
def test_k_quants_fall_back_where_rows_are_short_and_say_so(quick: Path) -> None:
    """Hidden 64: no matrix has rows of 256, so every one falls back, and the account names each."""
    run = ["export", str(quick / "tuned"), "--to", "gguf", "--quant", "q6_k,q5_k_m,q4_k_m", "--keep-failed"]
    try:
        cli.run(run)
    except CheckFailed:  # random weights of standard deviation 0.15 suffer more from 4 bits than trained ones
        pass
    for quant in ("q6_k", "q5_k_m", "q4_k_m"):
        export = artifacts.open_artifact(quick / f"tuned.gguf-{quant}")
        account = json.loads((export.path / "quantization.json").read_text())
        assert (
            account["fallback_count"] == len(account["fallbacks"]) == 14
        )  # llama.cpp chooses 8 bits for the tied embedding itself
        assert not {"Q6_K", "Q5_K", "Q4_K"} & set(account["types"])
        made_of = account["importance_matrix"]
        assert (made_of is not None) == (quant == "q4_k_m")
        if made_of:
            assert made_of["tokens"] == 4 * 512 and "training split of math" in made_of["text"]
        assert str(Path.home()) not in (export.path / f"tuned.{quant}.gguf").read_bytes()[:4_000_000].decode("latin-1")


@pytest.mark.slow
def test_k_quants_are_real_where_rows_are_long(quick: Path, tiny_base: Path) -> None:
    base = make_base(
        quick / "wide", tiny_base, hidden_size=256, intermediate_size=512, num_attention_heads=4, initializer_range=0.04
    )
    tiny.adapter(quick / "wider", base, scale=0.1)
    try:
        cli.run(["export", str(quick / "wider"), "--to", "gguf", "--quant", "q4_k_m,q6_k", "--keep-failed"])
    except CheckFailed:
        pass
    for quant, type in (("q4_k_m", "Q4_K"), ("q6_k", "Q6_K")):
        account = json.loads((quick / f"wider.gguf-{quant}" / "quantization.json").read_text())
        assert account["fallback_count"] == 0 and account["types"][type] >= 8
    marks = [json.loads((quick / f"wider.gguf-{quant}" / "mark.json").read_text()) for quant in ("q6_k", "q4_k_m")]
    q6, q4 = ({check["name"]: check["value"] for check in mark["checks"]}["kl"] for mark in marks)
    assert q6 < 0.02 and q6 < q4 / 3


def test_the_importance_matrix_sees_training_text_only(quick: Path) -> None:
    from exports.source import opened

    with opened(quick / "tuned") as source:
        text = gguf.training_text(source)
        kept = source.artifact.manifest.seed or 0
    splits = domains.get("math").build(kept, gguf.EXAMPLES)
    question, answer = (message["content"] for message in splits["train"][0]["messages"])
    assert question in text and answer in text and domains.get("math").SYSTEM_PROMPT in text
    held_out = [*reference.held_out("math", reference.PROMPTS), *splits["dev"], *splits["test"]]
    assert not [example["id"] for example in held_out if f"\n{example['messages'][0]['content']}<|im_end|>" in text]


# ---------------------------------------------------------------- Modelfile

CHATML = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}"
    "{% else %}{% set first = '' %}{% endif %}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ first if loop.first else '' }}{{ m['content'] }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system here') }}{% elif m['role'] == 'user' %}"
    "[INST] {{ m['content'] }} [/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
BRACES = CHATML.replace("<|im_start|>", "{{ '{{role}}' }}").replace("\n{{ m['content']", "\n{{ '{' }}{{ m['content']")
TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "braces": BRACES,
    "chatml with a prompt": chat.with_default_system(CHATML, 'Be "brief".\nAlways.'),
    "gemma with a prompt": chat.with_default_system(GEMMA, "Be brief."),
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def go(source: str, messages: Sequence[dict[str, str]]) -> str:
    """Render the part of Go's text/template that we write: range over .Messages, if/else if with eq and and, .Role, .Content, one variable."""
    parts = re.split(r"\{\{ (.*?) \}\}", source)
    tokens = [("text" if i % 2 == 0 else "do", part) for i, part in enumerate(parts)]
    variables = {"$before": ""}

    def value(word: str, message: dict[str, str]) -> str:
        if word.startswith('"'):
            return str(json.loads(word))
        return message[word[1:].lower()] if word.startswith(".") else variables[word]

    def true(condition: str, message: dict[str, str]) -> bool:
        pairs = re.findall(r'eq (\S+) ("[^"]*")', condition)
        assert pairs and re.fullmatch(r'(and (\(eq \S+ "[^"]*"\) ?)+)|(eq \S+ "[^"]*")', condition), condition
        return all(value(left, message) == value(right, message) for left, right in pairs)

    def run(begin: int, end: int, message: dict[str, str]) -> str:
        out, state = "", "on"  # of the one if at a time: on, off (no branch taken yet), done
        for kind, text in tokens[begin:end]:
            word = text.partition(" ")[0]
            if kind == "text":
                out += text if state == "on" else ""
            elif word == "if":
                state = "on" if true(text[3:], message) else "off"
            elif text.startswith("else if "):
                state = "done" if state in ("on", "done") else "on" if true(text[8:], message) else "off"
            elif text == "end":
                state = "on"
            elif state == "on":
                if match := re.fullmatch(r"(\$\w+) :?= (\S+)", text):
                    variables[match[1]] = value(match[2], message)
                else:
                    out += value(text, message)
        return out

    start = next(i for i, token in enumerate(tokens) if token == ("do", "range .Messages"))
    depth, stop = 1, start
    while depth:
        stop += 1
        kind, text = tokens[stop]
        depth += (kind == "do") * ((text.partition(" ")[0] in ("if", "range")) - (text == "end"))
    middle = "".join(run(start + 1, stop, message) for message in messages)
    return run(0, start, {}) + middle + run(stop + 1, len(tokens), {})


TALKS = [
    [("user", "What is 1/2 + {{x}}?")],
    [("system", "Be kind."), ("user", "ä\nb")],
    [("user", "one"), ("assistant", "two"), ("user", "three")],
    [
        ("system", "s"),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
        ("assistant", "four"),
        ("user", "five"),
    ],
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_go_template_renders_what_the_chat_template_renders(name: str) -> None:
    template = TEMPLATES[name]
    found = pieces(template, **SPECIAL)
    assert found.trims == (name == "llama3")
    assert (found.system is not None) == ("prompt" in name)
    assert (found.plain is None) == ("gemma" in name), "the plain way to write it is taken where there is one"
    for talk in TALKS:
        messages = [{"role": role, "content": content} for role, content in talk]
        if name == "mistral" and talk[0][0] == "system":
            continue
        wanted = chat.render(template, messages, **SPECIAL)
        assert ollama(found, messages) == wanted == found.render(talk)
        without = found.without_bos("<s>")
        assert (without is None) == ("chatml" in name or name == "braces")
        if without is not None:
            assert "<s>" + ollama(without, messages) == wanted


def ollama(found: Pieces, messages: list[dict[str, str]]) -> str:
    """As Ollama's server: SYSTEM goes before messages that bring no system message."""
    if found.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": found.system}, *messages]
    return go(found.go(), messages)


@pytest.mark.parametrize(("template", "why"), [
    (CHATML + "{{ strftime_now('%d') }}", "date"),
    ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "do not appear"),
    ("{% for m in messages | reverse %}{{ m['content'] }}{% endfor %}", "in order|do not appear"),
    ("{% for m in messages %}{{ loop.index }}{{ m['content'] }}{% endfor %}", "changes"),
    (CHATML + "{{ messages | length }}", "depends|other places"),
    ("{{ raise_exception('never') }}", "never"),
])  # fmt: skip
def test_a_template_that_is_no_concatenation_is_refused(template: str, why: str) -> None:
    with pytest.raises(NotAConcatenation, match=why):
        pieces(template)


def test_modelfiles_of_a_merged_and_a_lora_export(quick: Path) -> None:
    assert cli.run(["export", str(quick / "tuned"), "--to", "gguf,lora-gguf", "--quant", "f16"]) == 0
    merged = (quick / "tuned.gguf-f16" / "Modelfile").read_text()
    assert "FROM ./tuned.f16.gguf\n" in merged and "ADAPTER" not in merged
    alone = (quick / "tuned.lora-gguf" / "Modelfile").read_text()
    assert "FROM ./base.f16.gguf\nADAPTER ./adapter.gguf\n" in alone and "Put the base here" in alone
    for text in (merged, alone):
        assert 'SYSTEM """Solve step by step."""' in text and 'PARAMETER stop "<|im_end|>"' in text
        assert {"PARAMETER temperature 0", "PARAMETER repeat_penalty 1.0", "PARAMETER num_ctx 512"} <= set(
            text.splitlines()
        )
        source = re.findall(r'TEMPLATE """(.*?)"""', text, re.DOTALL)[0]
        template = chat.read_template(quick / "tuned")
        for talk in TALKS:
            messages = [{"role": role, "content": content} for role, content in talk]
            sent = (
                messages
                if talk[0][0] == "system"
                else [{"role": "system", "content": "Solve step by step."}, *messages]
            )
            assert go(source, sent) == chat.render(template, messages, **chat.special_tokens(quick / "tuned"))


@pytest.mark.parametrize("adds", [False, True])
def test_bos_is_written_once(adds: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the file makes the engine add BOS, the template leaves it out; where it has none to leave out, a comment says so."""
    monkeypatch.setattr(modelfile, "adds_bos", lambda path: adds)
    [template] = modelfile._template(LLAMA3, SPECIAL, tmp_path)[-1:]
    assert template.startswith('TEMPLATE """') and ("<s>" in template) != adds
    assert bool([line for line in modelfile._template(CHATML, SPECIAL, tmp_path) if "adds <s>" in line]) == adds
    refused = modelfile._template(CHATML + "{{ strftime_now('%d') }}", SPECIAL, tmp_path)
    assert "no TEMPLATE" in refused[0] and all(line.startswith("#") for line in refused)


def test_the_vocabulary_says_whether_bos_is_added() -> None:
    assert adds_bos(embedded.SMOLLM2.gguf()) is False


# ---------------------------------------------------------------- the bundle

ALONE = ("llama_cpp", "numpy", "numpy.libs", "jinja2", "markupsafe", "diskcache", "typing_extensions.py")


def device(tmp_path: Path) -> dict[str, str]:
    """An environment in which only llama-cpp-python and what it requires can be imported (with `python -S`)."""
    import sysconfig

    site = tmp_path / "device-site"
    site.mkdir()
    for name in ALONE:
        there = Path(sysconfig.get_paths()["purelib"]) / name
        if there.exists():
            (site / name).symlink_to(there)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TRUEMARK"))}
    return {**kept, "PYTHONPATH": str(site), "PYTHONNOUSERSITE": "1"}


def on_device(
    environment: dict[str, str], *arguments: str, cwd: Path, text: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", *arguments], env=environment, cwd=cwd, input=text, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def test_a_bundle_answers_where_torch_and_transformers_are_absent(quick: Path) -> None:
    out = quick / "edge"
    assert cli.run(["export", str(quick / "tuned"), "--to", "gguf", "--quant", "f16", "--bundle", str(out)]) == 0
    names = {file.name for file in out.iterdir()}
    assert {
        "tuned.f16.gguf",
        "tokenizer.json",
        "chat_template.jinja",
        "mark.json",
        "NOTICE",
        "bundle.json",
        "run.py",
        "engine.py",
    } <= names
    assert len((out / "run.py").read_text().splitlines()) < 120
    moved = quick / "elsewhere"
    out.rename(moved)
    environment = device(quick)
    for module in ("torch", "transformers", "truemark"):
        assert "ModuleNotFoundError" in on_device(environment, "-c", f"import {module}", cwd=quick).stderr
    question = "Solve for x: 3x + 7 = 22"
    with open_runtime(models.resolve(quick / "tuned.gguf-f16")) as runtime:
        [(_, wanted)] = runtime.generate([[{"role": "user", "content": question}]], Sampling(max_tokens=16))
    told = on_device(environment, str(moved / "run.py"), "--max-tokens", "16", question, cwd=quick)
    assert (told.returncode, told.stdout) == (0, wanted.text + "\n"), told.stderr
    piped = on_device(
        environment, str(moved / "run.py"), "--max-tokens", "16", cwd=quick, text=f"{question}\n\n{question}\n"
    )
    assert piped.stdout == 2 * (wanted.text + "\n")
    content = bytearray((moved / "tuned.f16.gguf").read_bytes())
    content[-1000] ^= 1
    (moved / "tuned.f16.gguf").write_bytes(content)
    changed = on_device(environment, str(moved / "run.py"), question, cwd=quick)
    assert changed.returncode == 1 and "tuned.f16.gguf" in changed.stderr and not changed.stdout


def test_a_bundle_says_what_it_lacks(quick: Path) -> None:
    assert (
        cli.run(["export", str(quick / "tuned"), "--to", "gguf", "--quant", "f16", "--bundle", str(quick / "edge")])
        == 0
    )
    bare = {"PYTHONPATH": "", "PATH": os.environ["PATH"]}
    told = on_device(bare, str(quick / "edge" / "run.py"), "hello", cwd=quick)
    assert told.returncode == 3 and "pip install llama-cpp-python==0.3.36" in told.stderr


def test_bundle_usage(quick: Path) -> None:
    tuned = str(quick / "tuned")
    with pytest.raises(TruemarkError, match="one export"):
        cli.run(["export", tuned, "--to", "gguf", "--bundle", str(quick / "edge")])
    with pytest.raises(TruemarkError, match="no runner starts fp16"):
        cli.run(["export", tuned, "--to", "fp16", "--bundle", str(quick / "edge")])
    with pytest.raises(StorageError, match="no bundle"):
        cli.run(["export", tuned, "--bundle", tuned])
    assert sorted(path.name for path in quick.iterdir()) == ["tuned"], "refused before any work"
    assert bundle.one_format(["gguf-q4_k_m"]) == "gguf-q4_k_m"
