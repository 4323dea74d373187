"""Questions of the test set, each in three wordings and three samples, for the metric `stability`.

What is worded otherwise is the request: the question itself stands in it to the letter, so that it is surely the same question and the domain's
check stays right. A wording of the domain's own would test more, and has no such proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from domains.base import Example, asked
from evalsuite.data import sample
from evalsuite.sets.base import ExampleSet
from truemark.runtimes.base import Sampling

QUESTIONS = 20
"""Of the test set, drawn as `--limit` draws."""
WORDINGS = (
    "{}",
    "Please answer the following.\n\n{}",
    "{}\n\nTake your time, and answer in the form that you always use.",
)
SEEDS = (0, 1, 2)
TEMPERATURE, TOP_P = 0.7, 0.95
"""Warm enough that a model that is not sure says now this, now that."""


class Wordings(ExampleSet):
    name = "stability"
    metric = "stability"
    title = "Stability"
    about = f"{QUESTIONS} questions of the test set in {len(WORDINGS)} wordings, each drawn {len(SEEDS)} times at temperature {TEMPERATURE}"

    def examples(self, test: Sequence[Example]) -> list[Example]:
        """Three for each of QUESTIONS; the slices of the test set are left out, as twenty questions are no table of slices."""
        return [
            _worded(example, number, wording)
            for example in sample(list(test), QUESTIONS)
            for number, wording in enumerate(WORDINGS)
        ]

    def samplings(self, sampling: Sampling) -> list[Sampling]:
        """Three draws."""
        return [replace(sampling, temperature=TEMPERATURE, top_p=TOP_P, seed=seed) for seed in SEEDS]


def _worded(example: Example, number: int, wording: str) -> Example:
    messages = [dict(message) for message in asked(example)]
    last = next(message for message in reversed(messages) if message["role"] == "user")
    last["content"] = wording.format(last["content"])
    meta = {key: value for key, value in example["meta"].items() if key != "slice"}
    closing = example["messages"][len(messages) :]
    return {
        "id": f"{example['id']}.w{number}",
        "messages": [*messages, *closing],
        "reference": example["reference"],
        "meta": {**meta, "stability": {"of": example["id"], "wording": number}},
    }
