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
from truemark.errors import InvalidConfig, MissingDependency
from truemark.models import ModelRef
from truemark.runtimes.base import Runtime

FILE = "samples.jsonl"
TOKENS = 32_768
"""Of the key/value cache of all answers that llama.cpp grows side by side: 24 at most, fewer where they are long."""
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
    why = _not_for_llamacpp()
    if engine == "llamacpp" and why:
        raise InvalidConfig(f"options.engine: llama.cpp cannot sample here: {why}", mend="--set options.engine=torch")
    if engine == "torch" or why:
        return _torch(job, tokenizer, model)
    from truemark.runtimes.llamacpp import LlamaCppRuntime

    own = model is None and job.start is None
    path = gguf_convert.base_gguf(job.base) if own else _merged(job, tokenizer, model)
    return LlamaCppRuntime(
        ModelRef(job.base.text, "gguf", path=path), context=context, parallel=max(4, min(24, TOKENS // context))
    )


def _not_for_llamacpp() -> str:
    """Why llama.cpp is not the one to sample with; empty where it is."""
    if compute.device() == "cuda":
        return "a CUDA device, which PyTorch computes on and this build of llama.cpp does not"
    try:
        import llama_cpp  # noqa: F401

        toolchain.converter("convert_hf_to_gguf.py")
    except (ImportError, MissingDependency):
        return "llama-cpp-python is not installed"
    return ""


def _torch(job: Job, tokenizer: Any, model: Any) -> Runtime:
    import torch

    from truemark.runtimes.torch import TorchRuntime

    if model is None:
        compute.prepare()
        dtype = compute.training_dtype(compute.device())
        if job.start is None:
            model = adapters.plain(job.base.local_path(), dtype=dtype)
        else:
            model = adapters.load(job.base.local_path(), job.start.local_path(), dtype=dtype)
            if (
                dtype == torch.float32
            ):  # the pairs' own small products cost a fifth of the time of a token; 16 bits would lose them
                model = adapters.merge(model)
        model = model.to(compute.device())
    return TorchRuntime.around(model, tokenizer, batch_size=32)


def _merged(job: Job, tokenizer: Any, model: Any) -> Path:
    """The adapter (on disk, or of the PEFT `model` in memory) merged into its base, as an f16 GGUF in the work directory; made once.

    Merged, because a LoRA-GGUF on the embedded base's own file took 1.6 times as long for a token (train/README.md).
    """
    import torch

    place = job.work / "sampler"
    out = place / "merged.f16.gguf"
    if out.is_file() and model is None:
        return out
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if model is None:
        assert job.start is not None
        adapter = job.start.local_path()
    else:
        adapter = place / "adapter"
        network.save(model, tokenizer, job.recipe, job.base, adapter)
    merged = adapters.merge(adapters.load(job.base.local_path(), adapter, dtype=torch.float32))
    merged.save_pretrained(place / "merged", safe_serialization=True)
    tokenizer.save_pretrained(place / "merged")
    del merged
    compute.release()
    say("converting the merged model to GGUF, to sample from it (once)")
    partial = place / "partial.gguf"
    gguf_convert.convert_checkpoint(place / "merged", partial, outtype="f16", name=job.recipe.name)
    shutil.rmtree(place / "merged")
    partial.replace(out)
    return out
