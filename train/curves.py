"""The loss curve as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

INK, FAINT, ACCENT, DEV = "#1f2328", "#b9c0c9", "#0b6e4f", "#b4540a"
TERMS = ("#3b6ea8", "#8a5a9e", "#a8842c", "#4f8f8b", "#a0526a")


def plot(log: list[dict[str, float]], path: Path, *, title: str) -> None:
    """Loss by step (raw and smoothed), with its terms (`loss_NAME`, before their weights) and dev scores where there are any; gradient norm and learning rate below. A PNG of 1200 × 900 pixels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps, losses = [entry["step"] for entry in log], [entry["loss"] for entry in log]
    figure, (top, middle, bottom) = pyplot.subplots(
        3, 1, sharex=True, figsize=(8, 6), height_ratios=(4, 1, 1), layout="constrained"
    )
    top.plot(steps, losses, color=FAINT, linewidth=1, label="each step")
    top.plot(steps, _smooth(losses), color=ACCENT, linewidth=2, label="smoothed")
    terms = [key for key in log[0] if key.startswith("loss_")]
    for key, colour in zip(terms, TERMS, strict=False):
        values = [entry.get(key, 0.0) for entry in log]
        top.plot(steps, _smooth(values), color=colour, linewidth=1, label=key.removeprefix("loss_"))
    top.set_ylabel("loss (nats per answer token)")
    top.set_ylim(bottom=min(0.0, *losses))
    top.set_title(title, loc="left", color=INK, fontweight="bold")
    _dev_scores(top, [(entry["step"], entry["dev_score"]) for entry in log if "dev_score" in entry])
    top.legend(frameon=False)
    middle.plot(steps, [entry.get("grad_norm", 0.0) for entry in log], color=INK, linewidth=1)
    middle.set_ylabel("gradient\nnorm")
    bottom.plot(steps, [entry.get("learning_rate", 0.0) for entry in log], color=INK, linewidth=1)
    bottom.set_ylabel("learning\nrate")
    bottom.set_xlabel("step")
    for axis in (top, middle, bottom):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#eceff3")
    figure.savefig(path, dpi=150, metadata={"Software": None})
    pyplot.close(figure)


def _dev_scores(axis: Any, points: list[tuple[float, float]]) -> None:
    if points:
        right = axis.twinx()
        right.plot(*zip(*points, strict=True), color=DEV, marker="o", markersize=4, linewidth=1)
        right.set_ylim(0, 1)
        right.set_ylabel("dev score", color=DEV)
        right.spines[["top", "left"]].set_visible(False)


def _smooth(values: list[float], weight: float = 0.85) -> list[float]:
    """Exponential moving average with bias correction."""
    smoothed, mean = [], 0.0
    for count, value in enumerate(values, 1):
        mean = weight * mean + (1 - weight) * value
        smoothed.append(mean / (1 - weight**count))
    return smoothed
