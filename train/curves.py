"""The loss curve as a picture."""

from __future__ import annotations

from pathlib import Path

INK, FAINT, ACCENT = "#1f2328", "#b9c0c9", "#0b6e4f"


def plot(log: list[dict[str, float]], path: Path, *, title: str) -> None:
    """Loss by step (raw and smoothed) and the learning rate below it, as a PNG of 1200 × 750 pixels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps, losses = [entry["step"] for entry in log], [entry["loss"] for entry in log]
    figure, (top, bottom) = pyplot.subplots(
        2, 1, sharex=True, figsize=(8, 5), height_ratios=(4, 1), layout="constrained"
    )
    top.plot(steps, losses, color=FAINT, linewidth=1, label="each step")
    top.plot(steps, _smooth(losses), color=ACCENT, linewidth=2, label="smoothed")
    top.set_ylabel("loss (nats per answer token)")
    top.set_ylim(bottom=0)
    top.set_title(title, loc="left", color=INK, fontweight="bold")
    top.legend(frameon=False)
    bottom.plot(steps, [entry.get("learning_rate", 0.0) for entry in log], color=INK, linewidth=1)
    bottom.set_ylabel("learning rate")
    bottom.set_xlabel("step")
    for axis in (top, bottom):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#eceff3")
    figure.savefig(path, dpi=150, metadata={"Software": None})
    pyplot.close(figure)


def _smooth(values: list[float], weight: float = 0.85) -> list[float]:
    """Exponential moving average with bias correction."""
    smoothed, mean = [], 0.0
    for count, value in enumerate(values, 1):
        mean = weight * mean + (1 - weight) * value
        smoothed.append(mean / (1 - weight**count))
    return smoothed
