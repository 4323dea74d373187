"""Group relative policy optimisation with TRL's GRPOTrainer: the domain's check is the reward (reinforcement from verifiable rewards).

Source: Shao et al. 2024, https://arxiv.org/abs/2402.03300, equation 3. To each question a group of answers is sampled from the model as it
is; an answer's advantage is its score against its group's mean. `optim.batch_size` counts answers, so it is a multiple of `options.group`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from domains.base import Domain, asked
from train import dev, methods, network
from train.data import prompt_ids
from train.methods import Job, Trained
from train.trainer import arguments
from truemark import compute
from truemark.errors import InvalidConfig, MissingDependency
from truemark.runtimes.base import Sampling

DATA = "train.jsonl"


class Options(methods.Options):
    """How answers are sampled and what they are worth."""

    group: int = Field(8, ge=2)
    """Answers to each question."""
    temperature: float = Field(1.0, gt=0, le=5)
    max_tokens: int = Field(256, ge=1)
    """Longest answer; a longer one is cut, and judged as it is."""
    beta: float = Field(0.0, ge=0)
    """Weight of the KL divergence from the model that training began with. Above 0 it costs one more forward pass."""
    clip: float = Field(0.2, gt=0)
    """How far the ratio of new to old probability counts (PPO's ε). Of use with `updates` above 1: at the first update the ratio is 1."""
    clip_high: float | None = Field(None, gt=0)
    """Another bound upward (clip-higher, DAPO, https://arxiv.org/abs/2503.14476, section 3.1)."""
    updates: int = Field(1, ge=1)
    """Optimizer steps on the same answers."""
    loss: Literal["grpo", "dapo", "dr_grpo"] = "dapo"
    """How tokens are averaged: by answer (the paper), over the batch (DAPO, section 3.3), or by `max_tokens` (https://arxiv.org/abs/2503.20783)."""
    scale: Literal["group", "batch", "none"] = "group"
    """What an advantage is divided by: the standard deviation of its group's rewards, of the batch's, or nothing (dr_grpo)."""
    ends: float = Field(0.0, ge=0, le=1)
    """Shaping, off by default: added to the reward of an answer that ends by itself within `max_tokens`."""
    questions: int | None = Field(None, ge=1)
    """The first so many questions alone. None is all."""
    use_vllm: bool = False
    """Sample with vLLM in the same process: a CUDA machine with `trl[vllm]`. Else the model in memory is asked."""


def train(job: Job) -> Trained:
    """Raises InvalidConfig for a batch that is no number of groups, MissingDependency for vLLM where there is none."""
    from datasets import Dataset

    options: Options = job.options(Options)
    recipe = job.recipe
    _refuse(job, options)
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, recipe.data.special_tokens)
    steps = recipe.optim.steps
    chosen = _questions(job, options, tokenizer)
    if recipe.optim.epochs is not None:
        steps = max(1, round(recipe.optim.epochs * len(chosen) * options.group / recipe.optim.batch_size))
    order = _order(len(chosen), -(-steps // options.updates) * recipe.optim.batch_size // options.group, recipe.seed)
    examples = [chosen[place] for place in order]
    model = network.load(recipe, job.base, tokenizer, job.start)
    # `rollout_func` is called experimental; TRL's version is pinned
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl import GRPOTrainer

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=_reward(job.domain, examples, options, tokenizer),
        args=_arguments(job, options, steps),
        train_dataset=Dataset.from_dict(
            {"prompt": [asked(row) for row in examples], "row": list(range(len(examples)))}
        ),
        processing_class=tokenizer,
        rollout_func=None if options.use_vllm else _rollout(model, tokenizer, options, recipe.seed),
    )
    log = [_plainly(entry) for entry in dev.run(trainer, job, steps, model, tokenizer)]
    if "ref" in model.peft_config:  # it would be saved beside the adapter
        model.delete_adapter("ref")
    return Trained(
        save=lambda path: network.save(model, tokenizer, recipe, job.base, path),
        log=log,
        report={"examples": len(examples) * options.group, "questions": len(set(order)), **_summary(log)},
    )


def _refuse(job: Job, options: Options) -> None:
    batch, recipe = job.recipe.optim.batch_size, job.recipe
    if batch % options.group:
        raise InvalidConfig(
            f"optim.batch_size counts answers: expected a multiple of options.group = {options.group}, found {batch}"
        )
    if recipe.run.save_every % options.updates:
        raise InvalidConfig(
            f"run.save_every {recipe.run.save_every} is not a multiple of options.updates {options.updates}: a checkpoint between two "
            "updates would lose the answers that the second one needs"
        )
    if options.use_vllm:
        import importlib.util

        if compute.device() != "cuda":
            raise InvalidConfig(
                f"options.use_vllm needs a CUDA device, found {compute.device()}", mend="--set options.use_vllm=false"
            )
        if importlib.util.find_spec("vllm") is None:
            raise MissingDependency("options.use_vllm: vLLM is not installed", mend="pip install 'trl[vllm]'")


def _questions(job: Job, options: Options, tokenizer: Any) -> list[Any]:
    """The rows whose prompts leave room in `data.max_length`."""
    limit = job.recipe.data.max_length
    rows: list[Any] = job.rows[: options.questions]
    fits = [
        row for row in rows if limit is None or len(prompt_ids(tokenizer, asked(row))) + options.max_tokens <= limit
    ]
    if not fits:
        raise InvalidConfig(f"no prompt leaves {options.max_tokens} tokens for its answer in data.max_length = {limit}")
    return fits


def _order(count: int, wanted: int, seed: int) -> list[int]:
    """`wanted` places in 0 … count - 1: all of them, shuffled, again and again."""
    rng, order = random.Random(seed), list[int]()
    while len(order) < wanted:
        order += rng.sample(range(count), count)
    return order[:wanted]


def _reward(domain: Domain, examples: Sequence[Any], options: Options, tokenizer: Any) -> Any:
    """TRL's reward function: the check's score in [0, 1], and the shaping that was asked for."""
    end = tokenizer.eos_token_id

    def check(completions: list[Any], completion_ids: list[list[int]], row: list[int], **_: Any) -> list[float]:
        scores = []
        for completion, ids, place in zip(completions, completion_ids, row, strict=True):
            text = completion[0]["content"].encode("utf-8", "replace").decode("utf-8")
            score = domain.check(text, examples[place]).score
            scores.append(score + options.ends * (bool(ids) and ids[-1] == end))
        return scores

    return check


def _rollout(model: Any, tokenizer: Any, options: Options, seed: int) -> Any:
    """TRL's hook for sampling: `truemark.runtimes` on the model in memory instead of `model.generate`.

    It reads a group's prompt once, lets go of answers that have ended, and draws with a seed of the step, so that a resumed run samples what
    the uninterrupted one did. Measured figures in train/README.md.
    """

    def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        from truemark.runtimes.torch import TorchRuntime

        ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
        training = model.training
        runtime = TorchRuntime.around(model, tokenizer, batch_size=64)
        first = seed + trainer.state.global_step * len(ids)
        answers = runtime.continuations(ids, Sampling(options.max_tokens, options.temperature, seed=first))
        model.train(training)
        return {"prompt_ids": ids, "completion_ids": answers, "logprobs": None}

    return rollout


def _arguments(job: Job, options: Options, steps: int) -> Any:
    from trl import GRPOConfig

    return GRPOConfig(
        **arguments(job.recipe, steps, job.work),
        num_generations=options.group,
        max_completion_length=options.max_tokens,
        temperature=options.temperature,
        shuffle_dataset=False,  # laid out in training order
        num_iterations=options.updates,
        beta=options.beta,
        epsilon=options.clip,
        epsilon_high=options.clip_high,
        loss_type=options.loss,
        scale_rewards=options.scale,
        use_vllm=options.use_vllm,
    )


NAMES = {
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "no_signal",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "cut",
    "kl": "kl",
    "entropy": "entropy",
}
"""TRL's names of what is reported, and this project's. `no_signal`: share of answers whose group all got one score, which teach nothing."""


def _plainly(entry: dict[str, float]) -> dict[str, float]:
    kept: dict[str, float] = {
        key: entry[key] for key in ("step", "loss", "learning_rate", "grad_norm", "dev_score") if key in entry
    }
    return {**kept, **{ours: entry[theirs] for theirs, ours in NAMES.items() if theirs in entry}}


def _summary(log: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means over the first and the last fifth of the steps."""
    size = max(len(log) // 5, 1)
    return {
        when: {
            name: round(sum(entry[name] for entry in part) / len(part), 4)
            for name in ("reward", "reward_std", "no_signal", "length")
            if all(name in entry for entry in part)
        }
        for when, part in (("first", log[:size]), ("last", log[-size:]))
        if part
    }
