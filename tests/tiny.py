"""A tiny random Llama as a Hugging Face checkpoint with SmolLM2's tokenizer, and a random LoRA on it as an adapter artifact."""

from __future__ import annotations

from pathlib import Path

import pytest

import domains
from truemark import artifacts, embedded, models
from truemark.chat import read_template, with_default_system


def checkpoint(path: Path, seed: int = 0) -> Path:
    """Hidden size 64, 2 layers, tied embeddings, the real vocabulary."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source = embedded.SMOLLM2.gguf()
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=2, initializer_range=0.15,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def adapter(path: Path, base: Path, *, rank: int = 4, scale: float = 0.3, seed: int = 1) -> Path:
    """A random adapter of the math domain on `base`; `scale` 0 leaves B zero, so that it does nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=scale) if scale else weight.zero_()
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = with_default_system(read_template(base), domains.get("math").SYSTEM_PROMPT)
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
