"""Reward models on the recipe's base: LoRA and a linear head that gives one number.

    level: answer    one reward an answer, from preferences (pairs.jsonl), with TRL's RewardTrainer: -log σ(r_chosen - r_rejected)
                     (Ouyang et al. 2022, https://arxiv.org/abs/2203.02155, equation 1)
    level: step      P(right) of each step, read at its last token, from steps labelled by the math step check (Lightman et al. 2023,
                     https://arxiv.org/abs/2305.20050, section 2.5). TRL 1.16 has no trainer for it (its PRMTrainer is gone): transformers'
                     Trainer with binary cross entropy, through `structure.fitting`.

A row of pairs.jsonl is {"prompt": messages, "chosen": answer, "rejected": answer}, an answer a text or a list of messages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from train import distributed, methods, network
from train.methods import Job, Trained
from train.structure.changes import UNKNOWN, Solution, solutions
from train.structure.fitting import fit, laid_out
from train.trainer import arguments, in_order, run
from truemark import chat, compute
from truemark.console import say
from truemark.errors import InvalidArtifact, InvalidConfig, InvalidData
from truemark.files import write_json

FORMATS = {"answer": "peft-reward", "step": "peft-step-reward"}
HEAD = "reward.json"


class Options(methods.Options):
    """What is judged."""

    level: Literal["answer", "step"] = "answer"
    """A whole answer, or each of its steps."""
    labels: Literal["check", "change"] = "check"
    """level step: who says that a changed number is wrong: the step check, or that it was changed."""
    center: float = Field(0.01, ge=0)
    """level answer: weight of (r_chosen + r_rejected)², which keeps the mean reward at zero (https://arxiv.org/abs/2312.09244, equation 2)."""


def DATA(options: Options) -> str:
    """Preferences for whole answers; steps are made from the training file itself."""
    return "pairs.jsonl" if options.level == "answer" else "train.jsonl"


def train(job: Job) -> Trained:
    """Train the head and the adapter. Raises InvalidData for rows that cannot be trained on, InvalidConfig for what the method lacks."""
    options: Options = job.options(Options)
    if job.start is not None:
        raise InvalidConfig("method reward starts a new adapter: `start` (--from) must be absent")
    if options.level == "step" and job.recipe.domain != "math":
        raise InvalidConfig(f"options.level: step needs the math domain's step check, found domain {job.recipe.domain}")
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, job.recipe.data.special_tokens)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model, log, report = (_answers if options.level == "answer" else _steps)(job, options, tokenizer)
    return Trained(
        save=lambda path: save(model, tokenizer, job, options, path),
        log=log,
        report=report,
        kind="scorer",
        format=FORMATS[options.level],
    )


def load(job: Job, level: str, tokenizer: Any) -> Any:
    """The PEFT model with its head, both trainable; LoRA's weights and the head are drawn from the recipe's seed."""
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    recipe = job.recipe
    compute.prepare()
    say(network.describe(recipe))
    if recipe.run.quantize != "none":
        raise InvalidConfig(
            f"run.quantize: {recipe.run.quantize} is not for reward models here", mend="--set run.quantize=none"
        )
    if recipe.data.special_tokens:
        raise InvalidConfig("data.special_tokens is not for reward models: their tokenizer is the base's")
    set_seed(recipe.seed)
    model = _plain(job.base.local_path(), level, network.precision(recipe), tokenizer)
    config = recipe.lora_config(model.config.get_text_config().num_hidden_layers)
    config["task_type"] = (
        "SEQ_CLS" if level == "answer" else "TOKEN_CLS"
    )  # so that PEFT trains and saves the head whole
    if isinstance(config["target_modules"], str):
        config["exclude_modules"] = ["score", "classifier"]  # `all-linear` would take the head for one of the layers
    if recipe.run.gradient_checkpointing:
        model.enable_input_require_grads()
    return get_peft_model(model, LoraConfig(**config))


def _plain(path: Path, level: str, dtype: Any, tokenizer: Any) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, logging

    kind = AutoModelForSequenceClassification if level == "answer" else AutoModelForTokenClassification
    logging.set_verbosity_error()  # that the head is new is what is wanted
    model = kind.from_pretrained(path, num_labels=1, dtype=dtype, trust_remote_code=False)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model


# whole answers ----------------------------------------------------------------------------------------------------------------


def _answers(job: Job, options: Options, tokenizer: Any) -> tuple[Any, list[dict[str, float]], dict[str, Any]]:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    pairs = [pair(row, number, tokenizer) for number, row in enumerate(job.rows, 1)]
    longest = job.recipe.data.max_length
    kept = [one for one in pairs if longest is None or max(map(len, one.values())) <= longest]
    if not kept:
        raise InvalidData(f"no pair has at most data.max_length = {longest} tokens")
    if len(kept) < len(pairs):
        say(f"left out {len(pairs) - len(kept)} of {len(pairs)} pairs: longer than data.max_length = {longest} tokens")
    model = load(job, "answer", tokenizer)
    steps = _count(job, len(kept))
    order = laid_out(len(kept), job.recipe.optim.batch_size, steps, job.recipe.seed)

    trainer = in_order(RewardTrainer)(
        model=model,
        args=RewardConfig(
            **arguments(job.recipe, steps, job.work), center_rewards_coefficient=options.center or None, max_length=None
        ),
        train_dataset=Dataset.from_list([kept[index] for index in order]),
        processing_class=tokenizer,
    )
    log = run(trainer, job, steps)
    tokens = sum(len(ids) for index in order for ids in kept[index].values())
    return model, log, {"examples": len(order), "tokens": tokens}


def pair(row: dict[str, Any], number: int, tokenizer: Any) -> dict[str, list[int]]:
    """Token ids of both answers, each behind its prompt. Raises InvalidData saying what the row lacks."""
    where = f"pair {row.get('id', number)!r}"
    prompt = row.get("prompt")
    if not chat_messages(prompt):
        raise InvalidData(f"{where}: expected `prompt`, a list of {{role, content}}, found {str(prompt)[:80]}")
    found = {}
    for name in ("chosen", "rejected"):
        answer = row.get(name)
        if isinstance(answer, str):
            answer = [{"role": "assistant", "content": answer}]
        if not chat_messages(answer):
            raise InvalidData(f"{where}: expected `{name}`, a text or a list of {{role, content}}, found {str(row.get(name))[:80]}")  # fmt: skip
        assert isinstance(prompt, list) and isinstance(answer, list)
        found[f"{name}_ids"] = _whole(tokenizer, [*prompt, *answer])[0]
    if found["chosen_ids"] == found["rejected_ids"]:
        raise InvalidData(f"{where}: `chosen` and `rejected` are one answer")
    return found


def chat_messages(value: Any) -> bool:
    """Whether a value is a list of messages, not empty."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(one, dict) and isinstance(one.get("role"), str) and isinstance(one.get("content"), str)
            for one in value
        )
    )


def _whole(tokenizer: Any, messages: list[dict[str, str]]) -> tuple[list[int], list[tuple[int, int]], str]:
    """Ids, their places in the rendered text, and that text, up to the last end-of-turn token."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = found["input_ids"]
    end = max((at for at, token in enumerate(ids) if token == tokenizer.eos_token_id), default=len(ids) - 1) + 1
    return ids[:end], found["offset_mapping"][:end], text


# steps ------------------------------------------------------------------------------------------------------------------------


def _steps(job: Job, options: Options, tokenizer: Any) -> tuple[Any, list[dict[str, float]], dict[str, Any]]:
    rows = solutions(job.rows, job.recipe.seed, by_check=options.labels == "check")
    encoded = [encode(tokenizer, row.question, row.lines) for row in rows]
    longest = job.recipe.data.max_length
    chosen = [index for index, (ids, _) in enumerate(encoded) if longest is None or len(ids) <= longest]
    if not chosen:
        raise InvalidData(f"no solution has at most data.max_length = {longest} tokens")
    model = load(job, "step", tokenizer)
    steps = _count(job, len(chosen))
    order = [chosen[at] for at in laid_out(len(chosen), job.recipe.optim.batch_size, steps, job.recipe.seed)]

    def collate(indices: Sequence[int]) -> dict[str, Any]:
        batch = _padded([encoded[index] for index in indices], [rows[index].labels for index in indices], tokenizer)
        return {**batch, "names": [rows[index].name for index in indices]}

    log = fit(job, model, order, steps, collate, _step_losses)
    return model, log, {
        "examples": len(order),
        "tokens": sum(len(encoded[index][0]) for index in order),
        "steps_labelled": sum(label != UNKNOWN for index in order for label in rows[index].labels),
    }  # fmt: skip


def encode(tokenizer: Any, question: str, lines: Sequence[str]) -> tuple[list[int], list[int]]:
    """Ids of the question with its answer so far, and the position of each line's last token: what it is scored from is no later text."""
    answer = "\n".join(lines)
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    ids, offsets, text = _whole(tokenizer, messages)
    at = text.rfind(answer)
    if at < 0:
        raise InvalidData(f"the chat template does not render the answer as it is: {answer[:60]!r}")
    ends = []
    for line in lines:
        at += len(line)
        ends.append(max((index for index, (start, _) in enumerate(offsets) if start < at), default=0))
        at += 1
    return ids, ends


def _padded(encoded: Sequence[tuple[list[int], list[int]]], labels: Sequence[Sequence[int]], tokenizer: Any) -> dict[str, Any]:  # fmt: skip
    """`input_ids`, `attention_mask`, `labels` int64 [B, T]: a line's label stands at its last token."""
    import torch

    length = max(len(ids) for ids, _ in encoded)
    ids = torch.full((len(encoded), length), tokenizer.pad_token_id)
    mask = torch.zeros((len(encoded), length), dtype=torch.int64)
    wanted = torch.full((len(encoded), length), UNKNOWN)
    for row, ((tokens, ends), known) in enumerate(zip(encoded, labels, strict=True)):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        wanted[row, ends] = torch.tensor(known, dtype=torch.int64)
    return {"input_ids": ids, "attention_mask": mask, "labels": wanted}


def _step_losses(model: Any, batch: dict[str, Any]) -> Any:
    import torch

    labels = batch.pop("labels")
    logits = model(**batch, use_cache=False).logits.squeeze(-1).float()
    keep = labels != UNKNOWN
    return torch.nn.functional.binary_cross_entropy_with_logits(logits[keep], labels[keep].float(), reduction="none")


def _count(job: Job, rows: int) -> int:
    optim = job.recipe.optim
    return optim.steps if optim.epochs is None else math.ceil(optim.epochs * rows / optim.batch_size)


# the artifact -----------------------------------------------------------------------------------------------------------------


def save(model: Any, tokenizer: Any, job: Job, options: Options, path: Path) -> None:
    """PEFT's files with the head, the tokenizer, and what is judged."""
    network.save(model, tokenizer, job.recipe, job.base, path)
    if not distributed.main():
        return
    write_json(path / HEAD, {"level": options.level})
    what = "one reward of an answer" if options.level == "answer" else "P(right) of each step of an answer"
    (path / "README.md").write_text(
        f"# {job.recipe.name}\n\nA reward model (LoRA, rank {job.recipe.lora.rank}, and a head) on `{job.recipe.base}`, domain "
        f"`{job.recipe.domain}`, made by Truemark: `train.scorers.score(path, question, answer)` gives {what}.\n",
        encoding="utf-8",
    )


class Scorer:
    """A trained reward model: `score` gives the reward of an answer, or P(right) of each of its steps."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidArtifact when it does not fit its base, ModelNotFound when that is not here."""
        import json

        import torch
        from peft import PeftModel
        from transformers import AutoTokenizer

        from truemark import artifacts, models

        artifact = artifacts.open_artifact(path)
        base = models.of_artifact(artifact).base()
        compute.prepare()
        try:
            self.level = json.loads((path / HEAD).read_text(encoding="utf-8"))["level"]
            self.tokenizer: Any = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
            self.tokenizer.chat_template = chat.read_template(path)
            plain = _plain(base.local_path(), self.level, torch.float32, self.tokenizer)
            self.model: Any = PeftModel.from_pretrained(plain, path)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InvalidArtifact(f"{path} is not a reward model: {str(error)[:200]}", mend="train it again") from None
        self.model.to(compute.device()).eval()

    def score(self, question: str | list[dict[str, str]], answer: str) -> list[float]:
        """One reward (any number), or P(right) in [0, 1] of each line that is not blank."""
        if self.level == "answer":
            prompt = [{"role": "user", "content": question}] if isinstance(question, str) else question
            ids, _, _ = _whole(self.tokenizer, [*prompt, {"role": "assistant", "content": answer}])
            return [self._logits([ids])[0, 0].item()]
        text = question if isinstance(question, str) else question[-1]["content"]
        lines = tuple(line.strip() for line in answer.split("\n") if line.strip())
        return self.score_many([Solution("", text, lines, (), "")])[0] if lines else []

    def score_many(self, rows: Sequence[Solution], batch: int = 16) -> list[list[float]]:
        """P(right) of each line of many solutions."""
        encoded = [encode(self.tokenizer, row.question, row.lines) for row in rows]
        order = sorted(range(len(rows)), key=lambda index: len(encoded[index][0]))  # of like length in one batch
        found: list[list[float]] = [[] for _ in rows]
        for start in range(0, len(rows), batch):
            chosen = order[start : start + batch]
            logits = self._logits([encoded[index][0] for index in chosen])
            for row, index in enumerate(chosen):
                found[index] = logits[row, encoded[index][1]].sigmoid().tolist()
        return found

    def _logits(self, rows: Sequence[list[int]]) -> Any:
        """float [B, T], or [B, 1] at level answer."""
        import torch

        batch = _padded([(ids, []) for ids in rows], [[] for _ in rows], self.tokenizer)
        batch.pop("labels")
        with torch.no_grad():
            logits = self.model(**{name: value.to(self.model.device) for name, value in batch.items()}, use_cache=False).logits  # fmt: skip
        return logits.squeeze(-1).float() if self.level == "step" else logits.float()
