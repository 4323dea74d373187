"""What an export is measured against: the PEFT adapter in fp32 on held-out prompts of its domain, and its base on the same tokens.

Both are run once for an adapter and kept in the cache under the hash of adapter, base and prompts; all its exports share them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import domains
from domains.base import Example, asked
from exports.measures import Distributions, nll
from truemark.chat import read_template
from truemark.console import progress
from truemark.errors import TruemarkError
from truemark.files import publish_directory, sha256_json, write_json
from truemark.models import ModelRef
from truemark.runtimes import Sampling
from truemark.runtimes.torch import TorchRuntime
from truemark.settings import cache_dir

PROMPTS = 64
"""Of a mark when no other number is asked for."""
MORE_PROMPTS = 256
"""At most, of a mark whose first PROMPTS leave the score undecided. Its interval is not widened for the second look."""
SEED = 7
MAX_TOKENS = 96
SAMPLING = Sampling(max_tokens=MAX_TOKENS)
_VERSION = 2
"""Raise it when what is kept changes."""


@dataclass(frozen=True)
class Reference:
    """Adapter and base on the same prompts; the i-th entries belong to `examples[i]`."""

    examples: list[Example]
    prompts_sha256: str
    prompt_ids: list[list[int]]
    answers: list[list[int]]
    """The adapter's greedy answers, with the end-of-turn token where it was reached."""
    scores: list[float]
    adapter: Distributions
    """Of the adapter, over all answer tokens of all prompts, end to end."""
    base: Distributions
    """Of the base at the same positions."""
    nll: np.ndarray
    """Of the adapter, nats per answer token."""
    template: str
    vocabulary: list[str]
    eos_ids: set[int]
    width: int
    """V: columns of the adapter's logits; more than the vocabulary where the base pads its embeddings."""


def held_out_size(domain: str, levels: Sequence[str] = ()) -> int:
    """How many prompts there are."""
    return len(domains.get(domain).build(SEED, 1, levels)["test"])


def held_out(domain: str, prompts: int, levels: Sequence[str] = ()) -> list[Example]:
    """`prompts` examples of the domain's test split, spread evenly over its slices and kinds. Raises TruemarkError when it has fewer."""
    test = domains.get(domain).build(SEED, 1, levels)["test"]
    if not 1 <= prompts <= len(test):
        raise TruemarkError(f"expected 1 to {len(test)} prompts, the test split of {domain}, found {prompts}")
    return [test[index * len(test) // prompts] for index in range(prompts)]


def reference(adapter: ModelRef, base: ModelRef, domain: str, prompts: int = PROMPTS) -> Reference:
    """The reference of an adapter, from the cache or measured now (about a minute on 2 cores for 64 prompts)."""
    examples = held_out(domain, prompts, adapter.levels)
    prompts_sha = sha256_json([[*asked(example), example["reference"]] for example in examples])
    key = sha256_json(
        {
            "version": _VERSION,
            "adapter": adapter.weights_sha256(),
            "base": base.weights_sha256(),
            "prompts": prompts_sha,
            "max_tokens": MAX_TOKENS,
        }
    )
    out = cache_dir() / "references" / key[:16]
    if not (out / "reference.json").is_file():
        _measure(adapter, domain, examples, out)
    return _read(out, examples, prompts_sha)


def _measure(adapter: ModelRef, domain: str, examples: list[Example], out: Path) -> None:
    check = domains.get(domain).check
    with progress("reference: adapter and base", total=3 * len(examples)) as advance, TorchRuntime(adapter) as runtime:
        prompts = [runtime.prompt_ids(asked(example)) for example in examples]
        answers: list[list[int]] = [[] for _ in examples]
        scores = [0.0] * len(examples)
        end = min(runtime.eos_ids())
        for index, completion in runtime.generate(prompts, SAMPLING):
            answers[index] = [*completion.token_ids, *([end] if completion.finish_reason == "stop" else [])]
            scores[index] = check(completion.text, examples[index]).score
            advance()
        of_adapter, loss = answer_distributions(runtime, prompts, answers, advance)
        words = {
            "vocabulary": runtime.vocabulary(),
            "eos_ids": sorted(runtime.eos_ids()),
            "width": runtime.logprobs(prompts[0][:1]).shape[1],
        }
        # the same weights with the adapter switched off: the base, with a row for each token that the adapter added
        with runtime.without_adapter():
            of_base, _ = answer_distributions(runtime, prompts, answers, advance)
    with publish_directory(out) as tmp:
        arrays: dict[str, Any] = {"nll": loss}
        for name, distributions in (("adapter", of_adapter), ("base", of_base)):
            arrays |= {
                f"{name}_ids": distributions.ids,
                f"{name}_logprobs": distributions.logprobs,
                f"{name}_tail": distributions.tail,
            }
        np.savez(tmp / "distributions.npz", **arrays)
        write_json(
            tmp / "reference.json",
            {
                "prompt_ids": prompts,
                "answers": answers,
                "scores": scores,
                "template": read_template(adapter.local_path()),
                **words,
            },
        )


def answer_distributions(
    runtime: Any, prompts: list[list[int]], answers: list[list[int]], advance: Callable[[], None]
) -> tuple[Distributions, np.ndarray]:
    """Teacher-forced distributions and negative log-likelihoods (nats) over all answer tokens, end to end."""
    kept, losses = [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        rows = answer_logprobs(runtime, prompt, answer)
        kept.append(Distributions.of(rows))
        losses.append(nll(rows, answer))
        advance()
    return Distributions.joined(kept), np.concatenate(losses)


def answer_logprobs(runtime: Any, prompt: list[int], answer: list[int]) -> np.ndarray:
    """`[len(answer), V]` log-probabilities that predict the tokens of `answer` after `prompt`."""
    rows: np.ndarray = runtime.logprobs([*prompt, *answer])[len(prompt) - 1 : -1]
    return rows


def _read(out: Path, examples: list[Example], prompts_sha: str) -> Reference:
    words = json.loads((out / "reference.json").read_text(encoding="utf-8"))
    with np.load(out / "distributions.npz", allow_pickle=False) as arrays:
        adapter, base = (
            Distributions(arrays[f"{name}_ids"], arrays[f"{name}_logprobs"], arrays[f"{name}_tail"])
            for name in ("adapter", "base")
        )
        loss = arrays["nll"]
    return Reference(
        examples,
        prompts_sha,
        words["prompt_ids"],
        words["answers"],
        words["scores"],
        adapter,
        base,
        loss,
        words["template"],
        words["vocabulary"],
        set(words["eos_ids"]),
        words["width"],
    )
