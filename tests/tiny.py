"""A tiny random Llama as a Hugging Face checkpoint with SmolLM2's tokenizer, and a random LoRA on it as an adapter artifact."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import domains
from truemark import artifacts, embedded, models
from truemark.chat import read_template, with_default_system

TEMPLATES = Path(__file__).parent / "templates"
FAMILIES: dict[str, dict[str, Any]] = {
    "llama3": {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "end": "<|eot_id|>", "more": ["<|start_header_id|>", "<|end_header_id|>"]},
    "llama32": {"bos": "<|begin_of_text|>", "eos": "<|eot_id|>", "end": "<|eot_id|>", "more": ["<|start_header_id|>", "<|end_header_id|>"]},
    "mistral": {"bos": "<s>", "eos": "</s>", "end": "</s>", "more": []},
    "mistral3": {"bos": "<s>", "eos": "</s>", "end": "</s>", "more": ["[INST]", "[/INST]"]},
    "qwen2": {"bos": None, "eos": "<|im_end|>", "end": "<|im_end|>", "more": []},
}  # fmt: skip
"""What the tokenizers of released models do otherwise: file of `templates/` → its special tokens, and the one that ends a turn."""

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3", "gemma3")
NEW_TOKENS = ["<reasoning>", "</reasoning>"]
VARIANTS: dict[str, dict[str, Any]] = {
    "all-linear": {},
    "attention-only": {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    "top-layers": {"target_modules": ["q_proj", "v_proj", "down_proj"], "layers_to_transform": [1]},
    "rslora": {"use_rslora": True},
    "rank-pattern": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 32}},
    "new-tokens": {},  # the vocabulary grows, PEFT saves the resized embeddings whole
    "trainable-tokens": {"trainable_token_indices": {"embed_tokens": [0, 4, 9]}},
    "trained-head": {"modules_to_save": ["lm_head"]},
    "trained-embeddings": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "lora-head": {"target_modules": ["q_proj", "v_proj", "lm_head"]},
    "lora-embeddings": {"target_modules": ["q_proj", "v_proj", "embed_tokens"]},
    "dora": {"use_dora": True},
}
"""What people train, as arguments of PEFT's LoraConfig."""


def checkpoint(
    path: Path,
    seed: int = 0,
    *,
    architecture: str = "llama",
    tied: bool = True,
    layers: int = 2,
    family: str | None = None,
) -> Path:
    """Hidden size 64, 2 layers, the real vocabulary; with a `family` its template and special tokens, and biases that are not zero."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = copy.deepcopy(_tokenizer())
    ends = _dress(tokenizer, family) if family else [2]
    torch.manual_seed(seed)
    kind = {"gemma3": "gemma3_text"}.get(architecture, architecture)
    special: dict[str, Any] = {"head_dim": 32} if architecture in ("qwen3", "gemma3") else {}
    if architecture == "gemma3":  # as in the released ones: llama.cpp takes the head's size for it without reading it
        special["query_pre_attn_scalar"] = 32
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=512, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=ends[0], pad_token_id=2, initializer_range=0.15, **special,
    )  # fmt: skip
    network = AutoModelForCausalLM.from_config(config)
    if family:
        network.generation_config.eos_token_id = ends
        for name, weight in network.named_parameters():
            if name.endswith(".bias"):
                torch.nn.init.normal_(weight, std=0.2)
    network.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@lru_cache
def _tokenizer() -> Any:
    """SmolLM2's, read from its GGUF file once per process: that takes five seconds."""
    from transformers import AutoTokenizer

    source = embedded.SMOLLM2.gguf()
    return AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)


def _dress(tokenizer: Any, family: str) -> list[int]:
    """Give the tokenizer a family's template and special tokens, and take its padding token away; the ids of its end tokens."""
    marks = FAMILIES[family]
    named = {"bos_token": marks["bos"], "eos_token": marks["eos"]}
    tokenizer.add_special_tokens({name: token for name, token in named.items() if token})
    tokenizer.add_special_tokens({"additional_special_tokens": [marks["end"], *marks["more"]]})
    tokenizer.chat_template = (TEMPLATES / f"{family}.jinja").read_text()
    tokenizer.pad_token = None
    if family.startswith(
        "llama"
    ):  # theirs keeps line breaks together, so that an answer does not change the prompt's last token
        from tokenizers import Regex, pre_tokenizers

        backend = tokenizer.backend_tokenizer
        breaks = pre_tokenizers.Split(Regex(r"\s*[\r\n]+"), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([breaks, backend.pre_tokenizer])
    ends: list[int] = tokenizer.convert_tokens_to_ids(list(dict.fromkeys([marks["eos"], marks["end"]])))
    return ends


def adapter(
    path: Path, base: Path, *, rank: int = 4, scale: float = 0.3, seed: int = 1, variant: str = "all-linear"
) -> Path:
    """A random adapter of the math domain on `base`; `scale` 0 leaves B zero, so that it does nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    network = AutoModelForCausalLM.from_pretrained(base)
    if variant == "new-tokens":
        tokenizer.add_special_tokens({"additional_special_tokens": NEW_TOKENS})
        network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    config = {"r": rank, "lora_alpha": 2 * rank, "target_modules": "all-linear", **VARIANTS[variant]}
    model = get_peft_model(network, LoraConfig(**config))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name or "lora_embedding_B" in name or "lora_embedding_A" in name:
                weight.normal_(std=scale) if scale else weight.zero_()
            elif weight.requires_grad and scale and "lora_" not in name:  # whole modules and new tokens
                weight.add_(torch.randn_like(weight) * 0.05)
    tags = "".join(NEW_TOKENS) if variant == "new-tokens" else ""  # so that every prompt has tokens that the base lacks
    tokenizer.chat_template = with_default_system(read_template(base), domains.get("math").SYSTEM_PROMPT + tags)
    described = models.describe_base(models.resolve(base))
    with artifacts.create(path, kind="adapter", name=path.name, domain="math", format="peft", base=described) as draft:
        model.save_pretrained(draft.path)
        tokenizer.save_pretrained(draft.path)
    return path


def shared(factory: pytest.TempPathFactory) -> Path:
    """A directory with `base` and the adapter `tuned` on it, made once per test process."""
    home = factory.getbasetemp() / "tiny"
    if not home.is_dir():
        home.mkdir()
        checkpoint(home / "base")
        adapter(home / "tuned", home / "base")
    return home
