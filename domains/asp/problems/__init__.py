"""The bank: problems by hand in one YAML file a topic, their families and splits in `families.yaml`.

A problem's `answers` are its expected answer sets per instance; `python -m domains.asp.problems.fill` writes them for a new
problem, to be read before they are committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

TOPICS = ("graphs", "scheduling", "puzzles", "planning", "configuration", "reasoning", "optimisation")


@dataclass(frozen=True)
class Rule:
    say: str
    """The instruction, an imperative sentence."""
    rule: str


@dataclass(frozen=True)
class Instance:
    facts: str
    answers: tuple[tuple[str, ...], ...]
    """The expected answer sets on the shown predicates, each sorted; the optimal ones where the problem optimises."""
    cost: tuple[int, ...] | None
    """The optimal value by falling priority; None where nothing is optimised or no answer set exists."""


@dataclass(frozen=True)
class Problem:
    id: str
    family: str
    topic: str
    split: str
    title: str
    text: str
    rules: tuple[Rule, ...]
    show: list[str]
    instances: tuple[Instance, ...]

    @property
    def program(self) -> str:
        """The reference program, one rule a line."""
        return "\n".join(rule.rule for rule in self.rules)

    @property
    def facts(self) -> list[str]:
        return [instance.facts for instance in self.instances]

    @property
    def statement(self) -> str:
        """What a model is told of the problem: its text and the first instance. The others are hidden."""
        return f"{self.text}\nExample facts: {self.instances[0].facts}"


@lru_cache
def problems() -> tuple[Problem, ...]:
    """All problems in the order of the files."""
    families = read("families")
    return tuple(_problem(row, *families[row["family"]]) for topic in TOPICS for row in read(topic))


def read(name: str) -> Any:
    """One YAML file of the bank."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((files("domains.asp.problems") / f"{name}.yaml").read_text(encoding="utf-8"), Loader=loader)


def _problem(row: dict[str, Any], topic: str, split: str) -> Problem:
    rules = tuple(Rule(rule["say"], rule["rule"]) for rule in row["rules"])
    instances = tuple(
        Instance(one["facts"], tuple(tuple(atoms) for atoms in one["answers"]), tuple(one["cost"]) if "cost" in one else None)
        for one in row["instances"]
    )  # fmt: skip
    return Problem(
        row["id"], row["family"], topic, split, row["title"], row["text"], rules, list(row["show"]), instances
    )


def by_program(program: str) -> Problem | None:
    """The problem whose reference program this is."""
    return next((problem for problem in problems() if problem.program == program), None)


def by_statement(text: str) -> Problem | None:
    """The problem whose statement this is, with or without its example facts; blanks and case do not count."""
    wanted = _squeezed(text)
    return next((one for one in problems() if wanted in (_squeezed(one.text), _squeezed(one.statement))), None)


def _squeezed(text: str) -> str:
    return " ".join(text.split()).casefold()
