"""What a set of examples beyond the test set is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import domains
from domains.base import Example, Verdict
from truemark.runtimes.base import Sampling


class ExampleSet(ABC):
    """One row of SETS, for the models of one domain."""

    name: ClassVar[str]
    """The row in SETS."""
    metric: ClassVar[str]
    """The row in evalsuite.metrics.METRICS that its answers are for."""
    title: ClassVar[str]
    """A heading."""
    about: ClassVar[str]
    """What it holds, in a line."""
    against_base: ClassVar[bool] = False
    """Whether each model's base must answer it too."""
    own_prompts: ClassVar[bool] = False
    """Whether its examples bring their system prompts, so that none is sent along."""

    def __init__(self, domain: str) -> None:
        self.domain = domain

    @abstractmethod
    def examples(self, test: Sequence[Example]) -> list[Example]:
        """The examples, the same for the same test set. Their `meta["slice"]`, where there is one, is reported by itself."""

    def samplings(self, sampling: Sampling) -> list[Sampling]:
        """How they are asked, where the test set is asked with `sampling`: each way answers every example once."""
        return [sampling]

    def check(self, prediction: str, example: Example) -> Verdict:
        """Judge an answer."""
        return domains.get(self.domain).check(prediction, example)
