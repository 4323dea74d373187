"""Two models' stored answers as items for people to judge: nothing is generated."""

from __future__ import annotations

from pathlib import Path

from evalsuite.data import prompt, sample
from evalsuite.evaluations import Evaluation, test_sets
from evalsuite.metrics import Answer
from truemark import votes
from truemark.console import say
from truemark.errors import ModelNotFound


def items_of(results: Path, domain: str, first: str, second: str, n: int) -> list[votes.Item]:
    """At most `n` items of a test set that both models were evaluated on, the same ones for the same set.

    Answers that are alike but for spaces are left out: there is nothing to choose. Raises ModelNotFound where there is no such set.
    """
    known: dict[str, None] = {}
    for evaluations in test_sets(results, domain):
        by_name = {name: one for one in evaluations.read() for name in (one.model.name, one.model.label, one.model.ref)}
        known.update(dict.fromkeys(one.model.ref for one in by_name.values()))
        if first not in by_name or second not in by_name:
            continue
        examples = evaluations.examples()
        pair = [
            {answer.example["id"]: answer for answer in evaluations.answers(by_name[name], examples)}
            for name in (first, second)
        ]
        differ = [e for e in examples if len({" ".join(side[e["id"]].prediction.text.split()) for side in pair}) == 2]
        if len(differ) < len(examples):
            say(f"{len(examples) - len(differ)} of {len(examples)} answers are the same in both: not offered")
        return [
            votes.Item(
                domain,
                prompt(example, ""),
                _answer(by_name[first], pair[0][example["id"]]),
                _answer(by_name[second], pair[1][example["id"]]),
                example["id"],
            )
            for example in sample(differ, n)
        ]
    raise ModelNotFound(
        f"no test set of {domain} has scores of both {first} and {second}: there are scores of {', '.join(known) or 'none'}",
        mend=f"truemark eval {domain} --model {first} --model {second}",
    )


def _answer(evaluation: Evaluation, answer: Answer) -> votes.Answer:
    model = evaluation.model
    return votes.Answer(answer.prediction.text, model.ref, model.sha256, model.label)
