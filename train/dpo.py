"""Direct preference optimisation with TRL's DPOTrainer: what was preferred becomes more likely than what was not, measured from where training began.

Source: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equation 7; `ipo`: Azar et al. 2023, https://arxiv.org/abs/2310.12036,
equation 17. The reference is `start` as it was (a frozen copy of the adapter on the same base), or the base where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from train import dev, methods, network, sft
from train.data import Tokenized, prompt_ids, tokenize
from train.methods import Job, Trained
from train.trainer import arguments, in_order
from truemark.errors import InvalidData

DATA = "pairs.jsonl"


class Options(methods.Options):
    """How preferences are weighed."""

    beta: float = Field(0.1, gt=0)
    """How strongly the reference holds: the temperature of the implied reward."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    sft_weight: float = Field(0.0, ge=0)
    """Weight of the cross entropy of the chosen answers beside the preference loss (RPO, https://arxiv.org/abs/2404.19733, α). Above 0, the chosen
    answers themselves cannot become less likely for the sake of the difference."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Share of the pairs taken to be the wrong way round (robust DPO, https://arxiv.org/abs/2403.00409). Of `sigmoid` alone."""


@dataclass(frozen=True)
class Pair(Tokenized):
    """A tokenized pair; `ids` is its longer side with the prompt, so that pairs of like length share a batch."""

    prompt: list[int] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)


def train(job: Job) -> Trained:
    """Raises InvalidData for a row that is no pair, TruemarkError when the loss is not finite."""
    from datasets import Dataset

    options: Options = job.options(Options)
    recipe = job.recipe
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, recipe.data.special_tokens)
    ordered, steps = sft.lay_out(job, pairs(job.rows, tokenizer))
    model = network.load(recipe, job.base, tokenizer, job.start)
    rows = [row for row in ordered if isinstance(row, Pair)]
    trainer = _trainer_class()(
        model=model,
        args=_arguments(job, options, steps),
        train_dataset=Dataset.from_dict(
            {
                "prompt_ids": [row.prompt for row in rows],
                "chosen_ids": [row.chosen for row in rows],
                "rejected_ids": [row.rejected for row in rows],
                "name": [row.name for row in rows],
            }
        ),
        processing_class=tokenizer,
    )
    log = [_plainly(entry) for entry in dev.run(trainer, job, steps, model, tokenizer)]
    if "ref" in model.peft_config:  # it would be saved beside the adapter
        model.delete_adapter("ref")
    return Trained(
        save=lambda path: network.save(model, tokenizer, recipe, job.base, path),
        log=log,
        report={
            "examples": len(rows),
            "pairs": len(job.rows),
            "tokens": sum(2 * len(row.prompt) + len(row.chosen) + len(row.rejected) for row in rows),
            "loss_tokens": sum(len(row.chosen) + len(row.rejected) for row in rows),
        },
    )


def pairs(rows: Sequence[dict[str, Any]], tokenizer: Any) -> list[Pair]:
    """Tokenize `{prompt, chosen, rejected}` rows as SFT tokenizes a conversation. Raises InvalidData naming the first that is none."""
    found = []
    for number, row in enumerate(rows, 1):
        name = str(row.get("id", number))
        prompt, sides = row.get("prompt"), [row.get("chosen"), row.get("rejected")]
        if not isinstance(prompt, list) or not all(isinstance(side, str) for side in sides):
            raise InvalidData(
                f"pair {name!r}: expected `prompt` (messages), `chosen` and `rejected` (texts), found {', '.join(row) or 'nothing'}",
                mend="truemark data pairs DOMAIN --from FILE",
            )
        chosen, rejected = tokenize(
            [{"id": name, "messages": [*prompt, {"role": "assistant", "content": side}]} for side in sides], tokenizer
        )
        asked = prompt_ids(tokenizer, prompt)
        longer = max(chosen.ids, rejected.ids, key=len)
        level = str((row.get("meta") or {}).get("level", ""))
        found.append(Pair(longer, [], name, None, level, asked, chosen.ids[len(asked) :], rejected.ids[len(asked) :]))
    return found


def _arguments(job: Job, options: Options, steps: int) -> Any:
    from trl import DPOConfig

    losses: list[str] = ["robust" if options.label_smoothing and options.loss == "sigmoid" else options.loss]
    weights = [1.0]
    if options.sft_weight:
        losses, weights = [*losses, "sft"], [*weights, options.sft_weight]
    return DPOConfig(
        **arguments(job.recipe, steps, job.work),
        beta=options.beta,
        loss_type=losses,
        loss_weights=weights,
        label_smoothing=options.label_smoothing,
        max_length=None,  # longer ones were left out; none is cut
    )


def _trainer_class() -> Any:
    """DPOTrainer that takes tokenized rows in the order given. A function, because TRL is imported late."""
    from trl import DPOTrainer

    class Trainer(in_order(DPOTrainer)):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    return Trainer


def _plainly(entry: dict[str, float]) -> dict[str, float]:
    """TRL's names of what is reported, in this project's: `margin` is β times the difference of the log ratios, `accuracy` how often it is above 0."""
    names = {"rewards/margins": "margin", "rewards/accuracies": "accuracy"}
    return {names.get(key, key): value for key, value in entry.items()}
