"""The topics of the levels easy, medium and hard: what is generated, one table.

A row names a module with a function of the same name as the topic, `topic(level, rng) -> Problem`. `Problem.kind` chooses the wordings
(`wordings.yaml`) and the proof (`domains/math/proofs.py`). A new topic is a file like its neighbours, its wordings, its proof and a row here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib import import_module

from domains.math.problems import Problem

LEVELS = {
    "easy": "one step or two, in small whole numbers",
    "medium": "several steps: unknowns on both sides, products, reduced fractions, changes in percent",
    "hard": "fractions and roots, three unknowns, chain rule and parts, rational inequalities, draws without replacement",
}
TOPICS = {
    "linear": "domains.math.topics.equations",
    "quadratic": "domains.math.topics.equations",
    "systems": "domains.math.topics.systems",
    "inequalities": "domains.math.topics.inequalities",
    "derivatives": "domains.math.topics.derivatives",
    "integrals": "domains.math.topics.integrals",
    "limits": "domains.math.topics.limits",
    "simplification": "domains.math.topics.algebra",
    "factoring": "domains.math.topics.algebra",
    "fractions": "domains.math.topics.fractions",
    "percentages": "domains.math.topics.percentages",
    "rates": "domains.math.topics.rates",
    "mixtures": "domains.math.topics.mixtures",
    "sequences": "domains.math.topics.sequences",
    "probability": "domains.math.topics.probability",
    "matrices": "domains.math.topics.matrices",
}


def generator(topic: str) -> Callable[[str, random.Random], Problem]:
    """The function that makes a topic's problems."""
    function: Callable[[str, random.Random], Problem] = getattr(import_module(TOPICS[topic]), topic)
    return function
