"""How good the model is by the domain's own check while it is trained, and which checkpoint was the best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domains.base import Domain, Example, asked
from domains.examples import read_examples
from train import trainer as trainers
from train.methods import Job
from truemark.console import say
from truemark.errors import TruemarkError
from truemark.files import write_json
from truemark.runtimes.base import Sampling

EXAMPLES = 48
"""Of dev: enough to tell a good checkpoint from a bad one, few enough to ask at every checkpoint."""


def score(runtime: Any, domain: Domain, examples: Sequence[Example], max_tokens: int = 256) -> float:
    """Mean score in [0, 1] of greedy answers."""
    answers = dict(runtime.generate([asked(example) for example in examples], Sampling(max_tokens=max_tokens)))
    return sum(domain.check(answers[i].text, example).score for i, example in enumerate(examples)) / len(examples)


def run(trainer: Any, job: Job, steps: int, model: Any, tokenizer: Any) -> list[dict[str, float]]:
    """`train.trainer.run`; with `run.keep: best`, the adapter is then the one that answered dev best, and the log has each checkpoint's score.

    Raises TruemarkError where there is no dev set to ask.
    """
    if job.recipe.run.keep == "last":
        return trainers.run(trainer, job, steps)
    best = Best(job, model, tokenizer)
    trainer.add_callback(best.callback())
    log = trainers.run(trainer, job, steps)
    best.restore()
    return best.with_scores(log)


class Best:
    """Scores the model at every checkpoint and keeps the best adapter in `work/best`, so that a resumed run knows it."""

    def __init__(self, job: Job, model: Any, tokenizer: Any) -> None:
        if not job.dev:
            raise TruemarkError(
                "run.keep: best needs dev examples beside the training data, found none",
                mend=f"truemark data build {job.recipe.domain}",
            )
        self.job, self.model, self.tokenizer = job, model, tokenizer
        self.examples = job.dev[:: max(len(job.dev) // EXAMPLES, 1)][:EXAMPLES]
        self.file = job.work / "best.json"
        self.weights = job.work / "best.safetensors"
        self.scores: dict[int, float] = {}
        if self.file.is_file():
            self.scores = {int(step): value for step, value in json.loads(self.file.read_text()).items()}

    def callback(self) -> Any:
        """Asks at each save; a step that was asked before an interruption is asked again, to the same end."""
        from transformers import TrainerCallback

        best = self

        class Ask(TrainerCallback):
            def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                best.ask(state.global_step)

        return Ask()

    def ask(self, step: int) -> None:
        """Score the model as it is; keep its adapter when it is better than at every earlier step."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        from truemark.runtimes.torch import TorchRuntime

        self.scores = {earlier: value for earlier, value in self.scores.items() if earlier < step}
        training = self.model.training
        found = score(TorchRuntime.around(self.model, self.tokenizer), self.job.domain, self.examples)
        self.model.train(training)
        if found > max(self.scores.values(), default=-1.0):
            partial = self.weights.with_suffix(".partial")
            save_file(
                {name: tensor.contiguous() for name, tensor in get_peft_model_state_dict(self.model).items()}, partial
            )
            partial.replace(self.weights)
        self.scores[step] = found
        write_json(self.file, {str(step): value for step, value in self.scores.items()})

    def restore(self) -> None:
        """Put the best adapter back into the model."""
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        if not self.scores:
            return
        step = max(self.scores, key=lambda step: (self.scores[step], -step))
        say(f"best dev score {self.scores[step]:.3f} at step {step}")
        set_peft_model_state_dict(self.model, load_file(self.weights))

    def with_scores(self, log: list[dict[str, float]]) -> list[dict[str, float]]:
        """The log with `dev_score` at the steps that have one."""
        return [
            {**entry, "dev_score": self.scores[int(entry["step"])]} if int(entry["step"]) in self.scores else entry
            for entry in log
        ]


def read(train_file: Path, domain: str) -> list[Example]:
    """The examples of dev.jsonl beside a training file; none where it is not there."""
    path = train_file.with_name("dev.jsonl")
    return read_examples(path, domain) if path.is_file() else []
