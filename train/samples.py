"""Sampled answers of the model that training goes on from: by llama.cpp where it can hold the model, else by PyTorch.

Prompts are token ids of the tokenizer that is trained with, so that both engines read what is trained and served.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from domains.base import Example, asked
from domains.samples import Settings, draw
from train import network
from train.data import prompt_ids
from train.methods import Job
from truemark import adapters, compute, gguf_convert, toolchain
from truemark.console import say
from truemark.errors import InvalidConfig, MissingDependency, TruemarkError
from truemark.lora import not_in_gguf
from truemark.models import ModelRef
from truemark.runtimes.base import Runtime

FILE = "samples.jsonl"
Engine = Literal["auto", "llamacpp", "torch"]


def sample(job: Job, examples: Sequence[Example], settings: Settings, engine: Engine = "auto") -> list[dict[str, Any]]:
    """`settings.n` answers to each example, of the recipe's `start` adapter, or of the base where there is none.

    They are kept in `job.work`: a killed run goes on where it was, to the same answers. Raises InvalidConfig for an engine that cannot
    hold the model.
    """
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, job.recipe.data.special_tokens)
    longest = max(len(prompt_ids(tokenizer, asked(example))) for example in examples)
    with open_sampler(job, tokenizer, engine, context=longest + settings.max_tokens) as runtime:
        label = (job.start or job.base).label
        say(f"{settings.n} answers of {label} to each of {len(examples)} questions ({runtime.name})")
        return draw(
            runtime,
            examples,
            job.work / FILE,
            settings,
            model=f"{label} ({runtime.name})",
            prompt=lambda example: prompt_ids(tokenizer, asked(example)),
        )


def open_sampler(
    job: Job, tokenizer: Any, engine: Engine = "auto", *, model: Any = None, context: int = 1024
) -> Runtime:
    """A runtime of the recipe's start (or base); of the PEFT `model` in memory where one is given.

    `context` is the longest prompt and answer in tokens.
    """
    why = _not_for_llamacpp(job, model)
    if engine == "llamacpp" and why:
        raise InvalidConfig(f"options.engine: llama.cpp cannot sample here: {why}", mend="--set options.engine=torch")
    if engine == "torch" or why:
        return _torch(job, tokenizer, model)
    from truemark.runtimes.llamacpp import LlamaCppRuntime

    base = gguf_convert.base_gguf(job.base)
    if model is None and job.start is None:
        return LlamaCppRuntime(ModelRef(job.base.text, "gguf", path=base), context=context)
    if model is None:
        assert job.start is not None
        lora = gguf_convert.lora_gguf(job.start, job.base)
    else:
        lora = _saved(job, model)
    return LlamaCppRuntime(ModelRef(job.base.text, "gguf", path=base), context=context, lora=lora)


def _not_for_llamacpp(job: Job, model: Any) -> str:
    """Why llama.cpp cannot sample from the model, or is the slower one; empty where it is the one to take."""
    if compute.device() == "cuda":
        return "a CUDA device, which PyTorch computes on and this build of llama.cpp does not"
    try:
        import llama_cpp  # noqa: F401

        toolchain.converter("convert_lora_to_gguf.py")
    except (ImportError, MissingDependency):
        return "llama-cpp-python is not installed"
    if job.recipe.data.special_tokens:
        return "tokens that the base's GGUF does not have"
    if job.start is not None and model is None:
        return "; ".join(not_in_gguf(job.start.local_path(), job.base.local_path()))
    return ""


def _torch(job: Job, tokenizer: Any, model: Any) -> Runtime:
    from truemark.runtimes.torch import TorchRuntime

    if model is None:
        dtype = compute.training_dtype(compute.device())
        if job.start is None:
            model = adapters.plain(job.base.local_path(), dtype=dtype)
        else:  # merged: the pairs' own small products cost a fifth of the time of a token
            model = adapters.merge(adapters.load(job.base.local_path(), job.start.local_path(), dtype=dtype))
        compute.prepare()
        model = model.to(compute.device())
    return TorchRuntime.around(model, tokenizer, batch_size=32)


def _saved(job: Job, model: Any) -> Path:
    """The adapter in memory as a LoRA-GGUF in the work directory."""
    place = job.work / "sampler"
    shutil.rmtree(place, ignore_errors=True)
    model.save_pretrained(place, safe_serialization=True, save_embedding_layers=False, selected_adapters=["default"])
    try:
        gguf_convert.convert_lora(place, job.base.local_path(), place / gguf_convert.FILE)
    except TruemarkError as error:
        raise InvalidConfig(
            f"llama.cpp cannot hold this adapter: {error.message}", mend="--set options.engine=torch"
        ) from None
    return place / gguf_convert.FILE
