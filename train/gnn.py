"""A graph network over expression graphs that scores the steps of a solution: P(step is right | question, steps so far).

Message passing with one linear map a kind of edge (R-GCN, Schlichtkrull et al. 2018, https://arxiv.org/abs/1703.06103, section 2.1) and a
residual MLP; the sums over edges are `index_add`, in plain PyTorch. A line's logit is read at its node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from train import methods
from train.methods import Job, Trained
from train.structure.changes import UNKNOWN, Solution, solutions
from train.structure.fitting import fit, laid_out
from train.structure.graph import EDGES, FEATURES, KINDS, Graph, graph, together
from truemark.files import write_json

DATA = "train.jsonl"
FORMAT = "gnn"
WEIGHTS = "model.safetensors"


class Options(methods.Options):
    """The network's."""

    width: int = Field(64, ge=8, le=1024)
    """Numbers that a node holds."""
    rounds: int = Field(4, ge=1, le=32)
    """How often messages are passed: an argument this deep reaches its line."""
    values: bool = True
    """Whether an operation on plain numbers knows its value, as from a calculator; without, the network would have to compute it."""
    labels: Literal["check", "change"] = "check"
    """Who says that a changed number is wrong: the step check, or that it was changed."""


def train(job: Job) -> Trained:
    """Train on the references of the job's rows and a changed solution of each. Raises InvalidData for rows without question and answer."""
    import torch
    from transformers import set_seed

    from truemark import compute

    options: Options = job.options(Options)
    compute.prepare()
    set_seed(job.recipe.seed)
    rows = solutions(job.rows, job.recipe.seed, by_check=options.labels == "check")
    batch = job.recipe.optim.batch_size
    steps = job.recipe.optim.steps if job.recipe.optim.epochs is None else math.ceil(job.recipe.optim.epochs * len(rows) / batch)  # fmt: skip
    graphs = [graph(row.question, row.lines, values=options.values) for row in rows]
    model = network()(options.width, options.rounds)

    def collate(indices: Sequence[int]) -> dict[str, Any]:
        labels = [label for index in indices for label in rows[index].labels]
        return {
            **batched([graphs[index] for index in indices]),
            "labels": torch.tensor(labels),
            "names": [rows[index].name for index in indices],
        }

    log = fit(job, model, laid_out(len(rows), batch, steps, job.recipe.seed), steps, collate, _losses)
    return Trained(
        save=lambda path: save(model, options, path),
        log=log,
        report={
            "examples": len(rows),
            "steps_labelled": sum(label != UNKNOWN for row in rows for label in row.labels),
            "parameters": sum(weight.numel() for weight in model.parameters()),
        },
        kind="scorer",
        format=FORMAT,
    )


def _losses(model: Any, batch: dict[str, Any]) -> Any:
    import torch

    labels = batch.pop("labels")
    keep = labels != UNKNOWN
    return torch.nn.functional.binary_cross_entropy_with_logits(
        model(**batch)[keep], labels[keep].float(), reduction="none"
    )


def batched(graphs: Sequence[Graph]) -> dict[str, Any]:
    """Tensors of several graphs as one: `kinds` [N], `numbers` [N, FEATURES], `sources`, `targets`, `edges` [E], `lines` [L]."""
    import torch

    columns = dict(together(graphs))
    return {
        name: torch.tensor(values, dtype=torch.float32 if name == "numbers" else torch.int64)
        for name, values in columns.items()
    }


@cache
def network() -> Any:
    """The module's class. A function, because torch is imported late."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self, width: int, rounds: int) -> None:
            super().__init__()
            self.kind = nn.Embedding(len(KINDS), width)
            self.number = nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, width))
            self.messages = nn.ModuleList(nn.Linear(width, width * len(EDGES), bias=False) for _ in range(rounds))
            self.norms = nn.ModuleList(nn.LayerNorm(2 * width) for _ in range(rounds))
            self.updates = nn.ModuleList(
                nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
                for _ in range(rounds)
            )
            self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

        def forward(self, kinds: Any, numbers: Any, sources: Any, targets: Any, edges: Any, lines: Any) -> Any:
            """Logits [L] of the lines."""
            state = self.kind(kinds) + self.number(numbers)
            groups = [(edges == kind).nonzero()[:, 0] for kind in range(len(EDGES))]
            degree = torch.ones_like(state[:, :1]).index_add(0, targets, torch.ones_like(targets[:, None], dtype=state.dtype))  # fmt: skip
            width = state.shape[1]
            layers: Any = zip(self.messages, self.norms, self.updates, strict=True)
            for messages, norm, update in layers:
                whole = messages.weight
                received = torch.zeros_like(state)
                for kind, group in enumerate(groups):
                    if len(group):  # a kind's own rows of the weight, on the nodes that send over such an edge
                        weight: Any = whole[kind * width : (kind + 1) * width]
                        received = received.index_add(0, targets[group], state[sources[group]] @ weight.T)
                state = state + update(norm(torch.cat([state, received / degree.sqrt()], dim=1)))
            return self.head(state[lines]).squeeze(-1)

    return Network


def save(model: Any, options: Options, path: Path) -> None:
    """Weights and shape, into a directory."""
    from safetensors.torch import save_file

    from train import distributed

    if not distributed.main():
        return
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, path / WEIGHTS)
    write_json(path / "config.json", {**options.model_dump(), "kinds": KINDS, "edges": EDGES, "features": FEATURES})
    (path / "README.md").write_text(
        "# A scorer of solution steps\n\nA graph network over expression graphs, made by Truemark: "
        "`train.scorers.score(path, question, answer)` gives P(right) of each step.\n",
        encoding="utf-8",
    )


class Scorer:
    """A trained one: P(step is right) of each line of an answer."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidArtifact when the files do not fit this program's graphs."""
        import json

        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from truemark.errors import InvalidArtifact

        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
            if (config["kinds"], config["edges"], config["features"]) != (list(KINDS), list(EDGES), FEATURES):
                raise ValueError("other kinds of nodes or edges")
            self.values = bool(config["values"])
            self.model = network()(int(config["width"]), int(config["rounds"]))
            self.model.load_state_dict(load_file(path / WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise InvalidArtifact(f"{path} is not a graph network of this program: {error}", mend="train it again") from None  # fmt: skip
        self.model.eval()

    def score(self, question: str, answer: str) -> list[float]:
        """P(right) in [0, 1] of each line that is not blank."""
        lines = [line.strip() for line in answer.split("\n") if line.strip()]
        return self.score_many([Solution("", question, tuple(lines), (), "")])[0] if lines else []

    def score_many(self, rows: Sequence[Solution], batch: int = 64) -> list[list[float]]:
        """The same of many solutions."""
        import torch

        found: list[list[float]] = []
        with torch.no_grad():
            for start in range(0, len(rows), batch):
                graphs = [graph(row.question, row.lines, values=self.values) for row in rows[start : start + batch]]
                scores = iter(self.model(**batched(graphs)).sigmoid().tolist())
                found += [[next(scores) for _ in one.lines] for one in graphs]
        return found
