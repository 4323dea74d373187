"""Scorers by path: what was trained to judge an answer, whatever it is made of.

score("runs/math-gnn", "Solve for x: 3x + 7 = 22", "3x = 22 - 7 = 14\\nx = 5")    # P(right) of each step
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from truemark import artifacts
from truemark.errors import InvalidArtifact

SCORERS = {
    "gnn": "train.gnn:Scorer",
    "peft-reward": "train.reward:Scorer",
    "peft-step-reward": "train.reward:Scorer",
}
"""Format of the artifact → what opens it."""


def open_scorer(path: Path | str) -> Any:
    """The scorer of an artifact: `score(question, answer) -> list[float]`. Raises InvalidArtifact for one of another kind."""
    artifact = artifacts.open_artifact(Path(path))
    manifest = artifact.manifest
    if manifest.kind != "scorer" or manifest.format not in SCORERS:
        raise InvalidArtifact(
            f"{path}: expected a scorer ({', '.join(SCORERS)}), found {manifest.kind} of format {manifest.format}",
            mend="truemark train math --method gnn",
        )
    artifacts.refuse_unsafe_files(artifact.path)
    module, _, attribute = SCORERS[manifest.format].partition(":")
    return getattr(import_module(module), attribute)(artifact.path)


def score(path: Path | str, question: str, answer: str) -> list[float]:
    """One number an answer (a reward model), or P(right) of each of its steps (a step reward model, a graph network)."""
    found: list[float] = open_scorer(path).score(question, answer)
    return found
