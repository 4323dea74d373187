"""The embedded base and a PEFT adapter on it, behind the real gateway: conversion, proof, one base in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from serve import catalog, engines, server
from serve.engines.llamacpp import LlamaCppEngine
from tests.serve_helpers import SYSTEM
from truemark import artifacts, chat
from truemark.models import describe_base, resolve

pytestmark = pytest.mark.slow
QUESTION: Any = [{"role": "user", "content": "What is 2 + 2?"}]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEFT adapter artifact of rank 4 with a random B."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = resolve("smollm2-135m")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base.local_path(), dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    tokenizer = AutoTokenizer.from_pretrained(base.local_path())
    tokenizer.chat_template = chat.with_default_system(tokenizer.chat_template, SYSTEM)
    path = tmp_path_factory.mktemp("runs") / "random"
    with artifacts.create(
        path, kind="adapter", name="random", domain="math", format="peft", base=describe_base(base)
    ) as draft:
        peft.save_pretrained(draft.path)
        tokenizer.save_pretrained(draft.path)
    return path


@pytest.fixture(scope="module")
def served(adapter: Path) -> Iterator[tuple[str, LlamaCppEngine]]:
    models = catalog.read([f"math={adapter}"])
    engine = engines.create("llamacpp", models.base.ref, models.adapters)
    assert isinstance(engine, LlamaCppEngine)
    with server.background(models, engine) as (url, _):
        yield url, engine


def test_base_and_adapter_are_two_models(served: tuple[str, LlamaCppEngine]) -> None:
    client = openai.OpenAI(base_url=served[0], api_key="none")
    assert [row.id for row in client.models.list()] == ["math", "smollm2-135m"]
    texts = [
        client.chat.completions.create(model=name, messages=QUESTION, temperature=0, max_tokens=24)
        .choices[0]
        .message.content
        for name in ("math", "smollm2-135m", "math")
    ]
    assert texts[0] == texts[2] != texts[1]
    assert "4" in (texts[1] or "")  # the base is itself


def test_one_base_in_memory(served: tuple[str, LlamaCppEngine]) -> None:
    """98 MB of weights (once), 16 slots of 2,048 tokens at 23 KB (755 MB) and buffers."""
    status = Path(f"/proc/{served[1].pid}/status").read_text()
    resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
    assert resident < 1150, f"{resident:.0f} MiB"


def test_the_adapter_answers_as_peft_does(served: tuple[str, LlamaCppEngine], adapter: Path) -> None:
    """The next token that the served adapter finds likeliest is the one that PEFT finds likeliest (4-bit base: of its top 5)."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(adapter)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(resolve("smollm2-135m").local_path()), adapter
    )
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        expected = model(**ids).logits[0, -1].topk(5).indices.tolist()
    client = openai.OpenAI(base_url=served[0], api_key="none")
    answer = client.chat.completions.create(model="math", messages=QUESTION, temperature=0, max_tokens=1)
    assert answer.usage is not None and answer.usage.prompt_tokens == ids["input_ids"].shape[1]
    assert answer.choices[0].message.content in [
        tokenizer.decode(token, skip_special_tokens=True) for token in expected
    ]
