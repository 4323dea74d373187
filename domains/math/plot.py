"""The figure a student expects, drawn from the tree that was read: curves with roots, half planes, areas, tangents, points.

    png = plot("Solve x^2 - 5x + 6 = 0")             # bytes; None where there is nothing to draw
    svg = plot("Solve x^2 - 5x + 6 = 0", format="svg")

The text of a question never reaches an evaluator: the bounded parser's tree is computed node by node with numpy. The same question gives
the same bytes (fixed hash salt, no date). matplotlib comes with an extra; without it MissingDependency.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

from domains.math.calculus import derivative
from domains.math.check import read as read_reference
from domains.math.expressions import TooLarge, Tree, Unparsable, variables
from domains.math.polynomials import value
from domains.math.progressions import LISTED
from domains.math.reading import Task, read
from domains.math.regions import Region
from domains.math.regions import number as end_value
from domains.math.solve import solve
from truemark.errors import MissingDependency

SIZE = (6.0, 4.0)
"""Inches, at 100 dots each."""
POINTS = 801
FARTHEST = 1e4
"""Largest coordinate that is drawn."""
TERMS = 12
"""Of a sequence."""
MAX_QUESTION = 400
BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#c8641b", "#2f7d4f", "#8a8f98"
_STYLE: Any = {"svg.hashsalt": "truemark", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}  # fmt: skip
_BOX = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85}
_lock = threading.Lock()
"""matplotlib's settings are the process's."""


def plot(question: str, format: Literal["png", "svg"] = "png") -> bytes | None:
    """The figure of a question, or None where it cannot be read or has none. Raises MissingDependency without matplotlib."""
    if len(question) > MAX_QUESTION:
        return None
    drawing = _drawing(question)
    if drawing is None:
        return None
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency.extra("matplotlib", "train") from None
    with _lock, matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=SIZE, dpi=100, layout="constrained")
        canvas = FigureCanvasSVG(figure) if format == "svg" else FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        try:
            drawing(axes)
            out = io.BytesIO()
            canvas.print_figure(out, format=format, metadata={"Date": None} if format == "svg" else {"Software": None})
        except (ArithmeticError, ValueError, Unparsable, TooLarge):
            return None
    return out.getvalue()


Drawing = Callable[[Any], None]


def _drawing(question: str) -> Drawing | None:
    listed = LISTED.search(question)
    if listed and ("arithmetic" in question or "geometric" in question):
        return _sequence([int(n) for n in listed.groups() if n], "arithmetic" in question)
    task = read(question)
    if task is None or len(_names(task)) > 2:
        return None
    draw = {"equations": _equations, "inequality": _inequality, "derivative": _derivative, "integral": _integral, "limit": _limit}.get(task.what)  # fmt: skip
    return draw(task, question) if draw else None


def _names(task: Task) -> list[str]:
    trees = [task.tree, *(side for pair in task.pairs for side in pair)]
    return sorted(set().union(*(variables(tree) for tree in trees if tree is not None)))


def _curve(tree: Tree, name: str, xs: Any) -> Any:
    """The values of a tree, node by node; gaps where it has none."""
    import numpy as np

    with np.errstate(all="ignore"):
        ys = _values(tree, name, xs) + np.zeros_like(xs)
        return np.where(np.isfinite(ys) & (np.abs(ys) <= FARTHEST), ys, np.nan)


def _values(tree: Tree, name: str, xs: Any) -> Any:
    import numpy as np

    head = tree[0]
    if head == "n":
        return float(tree[1])
    if head == "v":
        if tree[1] != name and tree[1] not in ("pi", "e"):
            raise Unparsable(f"another name, {tree[1]}")
        return xs if tree[1] == name else {"pi": math.pi, "e": math.e}[tree[1]]
    if head == "f":
        function = {"sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "ln": np.log, "log": np.log, "exp": np.exp}[tree[1]]  # fmt: skip
        return function(_values(tree[2], name, xs))
    left = _values(tree[1], name, xs)
    if head == "neg":
        return -left
    right = _values(tree[2], name, xs)
    if head == "^":
        return np.power(left, right, dtype=float)
    return {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[head](left, right)


def _at(tree: Tree, name: str, x: float) -> float:
    found = value(tree, {name: x, "pi": math.pi, "e": math.e})
    if abs(found.imag) > 1e-9 or not abs(found.real) <= FARTHEST:
        raise ValueError("no value to draw")
    return found.real


def _range(marks: Sequence[float]) -> tuple[float, float]:
    """A stretch of the number line with all marks well inside."""
    low, high = min(marks, default=0.0), max(marks, default=0.0)
    if max(abs(low), abs(high)) > FARTHEST:
        raise ValueError("too far out")
    margin = max((high - low) * 0.6, 3.0)
    return low - margin, high + margin


def _draw(axes: Any, tree: Tree, name: str, span: tuple[float, float], color: str, label: str, style: str = "-") -> Any:
    import numpy as np

    xs = np.linspace(*span, POINTS)
    ys = _curve(tree, name, xs)
    if np.isfinite(ys).sum() < POINTS // 20:
        raise ValueError("hardly a value in sight")
    step = np.abs(np.diff(ys, prepend=ys[:1]))
    ys = np.where(step > 40 * (np.nanmedian(step) + 1e-9) + 5, np.nan, ys)  # a pole is no line
    axes.plot(xs, ys, style, color=color, label=label, linewidth=2)
    return xs, ys


def _frame(axes: Any, name: str, span: tuple[float, float], ys: Any = None, marks: Sequence[float] = ()) -> None:
    """Axes through the origin where it is in sight, and a window that a steep curve does not flatten."""
    import numpy as np

    axes.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    if span[0] < 0 < span[1]:
        axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    axes.set_xlim(span)
    axes.set_xlabel(name)
    axes.grid(alpha=0.25)
    if ys is not None and np.isfinite(ys).any():
        low, high = np.nanpercentile(ys, (4, 96))
        low, high = min([low, 0, *marks]), max([high, 0, *marks])
        margin = 0.12 * (high - low) or 1
        axes.set_ylim(low - margin, high + margin)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", facecolor="white", framealpha=0.85, edgecolor="none")


def _mark(axes: Any, x: float, y: float, text: str, color: str = ORANGE) -> None:
    axes.plot([x], [y], "o", color=color, markersize=7, zorder=5)
    axes.annotate(text, (x, y), textcoords="offset points", xytext=(0, 11), ha="center", color=color, zorder=6, bbox=_BOX)  # fmt: skip


def _parts(question: str) -> list[Any] | Region:
    solution = solve(question)
    if solution is None:
        raise Unparsable("not solved")
    found = read_reference(solution.reference)
    if isinstance(found, tuple):
        raise Unparsable("a matrix")
    return found


def _equations(task: Task, question: str) -> Drawing | None:
    names = _names(task)
    if len(task.pairs) == 2 and len(names) == 2:
        return _system(task, names, question)
    if len(task.pairs) != 1 or len(names) != 1:
        return None

    def draw(axes: Any) -> None:
        import numpy as np

        (left, right), name = task.pairs[0], names[0]
        parts = _parts(question)
        assert isinstance(parts, list)
        roots = [(_at(part.tree, name, 0.0), part) for part in parts]
        span = _range([x for x, _ in roots])
        both = [_draw(axes, side, name, span, color, label)[1] for side, color, label in ((left, BLUE, "left side"), (right, GREEN, "right side"))]  # fmt: skip
        heights = [_at(left, name, x) for x, _ in roots]
        for (x, _), y in zip(roots, heights, strict=True):
            _mark(axes, x, y, f"{name} = {x:.4g}")
        _frame(axes, name, span, np.concatenate(both), heights)

    return draw


def _system(task: Task, names: list[str], question: str) -> Drawing:
    def draw(axes: Any) -> None:
        import numpy as np

        parts = _parts(question)
        assert isinstance(parts, list)
        point = {str(part.variable): _at(part.tree, "", 0.0) for part in parts}
        x, y = (point[name] for name in names)
        span, high = _range([x, 0.0]), _range([y, 0.0])
        xs, ys = np.meshgrid(np.linspace(*span, 201), np.linspace(*high, 201))
        for (left, right), color, label in zip(task.pairs, (BLUE, GREEN), ("first equation", "second equation"), strict=True):  # fmt: skip
            difference = _plane(("-", left, right), names, xs, ys)
            axes.contour(xs, ys, difference, levels=[0], colors=[color], linewidths=2)
            axes.plot([], [], color=color, linewidth=2, label=label)
        _mark(axes, x, y, f"({x:.4g}, {y:.4g})")
        axes.set_ylabel(names[1])
        _frame(axes, names[0], span)
        axes.set_ylim(high)

    return draw


def _plane(tree: Tree, names: list[str], xs: Any, ys: Any) -> Any:
    """The values of a tree in two names over a grid."""
    head = tree[0]
    if head == "n":
        return float(tree[1])
    if head == "v":
        return {names[0]: xs, names[1]: ys}[tree[1]]
    if head == "f" or (head == "^" and tree[2][0] != "n"):
        raise Unparsable("no polynomial")
    left = _plane(tree[1], names, xs, ys)
    if head == "neg":
        return -left
    right = _plane(tree[2], names, xs, ys)
    if head == "^":
        return left**right
    return {"+": left + right, "-": left - right, "*": left * right}[head] if head != "/" else left / right


def _inequality(task: Task, question: str) -> Drawing:
    def draw(axes: Any) -> None:
        import numpy as np

        name = str(task.variable)
        left, right = task.pairs[0]
        region = _parts(question)
        assert isinstance(region, Region)
        ends = [end_value(end, 0.0) for one in region.intervals for end in (one.low, one.high) if end is not None]
        span = _range(ends)
        both = [_draw(axes, side, name, span, color, label)[1] for side, color, label in ((left, BLUE, "left side"), (right, GREEN, "right side"))]  # fmt: skip
        _frame(axes, name, span, np.concatenate(both))
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom - 0.16 * (top - bottom), top)
        level = bottom - 0.08 * (top - bottom)
        for one in region.intervals:
            low, high = end_value(one.low, span[0]), end_value(one.high, span[1])
            axes.axvspan(low, high, color=ORANGE, alpha=0.13, linewidth=0)
            axes.plot([low, high], [level, level], color=ORANGE, linewidth=4, solid_capstyle="butt")
            for end, closed in ((one.low, one.low_closed), (one.high, one.high_closed)):
                if end is not None:
                    x = end_value(end, 0.0)
                    axes.plot(
                        [x],
                        [level],
                        "o",
                        color=ORANGE,
                        markerfacecolor=ORANGE if closed else "white",
                        markersize=8,
                        zorder=6,
                    )
                    axes.annotate(f"{x:.4g}", (x, level), textcoords="offset points", xytext=(0, 8), ha="center", color=ORANGE)  # fmt: skip

    return draw


def _function(task: Task) -> str:
    return task.variable or next(iter(_names(task)), "x")


def _derivative(task: Task, question: str) -> Drawing:
    def draw(axes: Any) -> None:
        import numpy as np

        name, slope = _function(task), derivative(task.tree, _function(task))
        at = float(_fraction(task.at[0])) if task.at else None
        span = (at - 4, at + 4) if at is not None else (0.05, 4.0) if _needs_positive(task.tree, name) else (-4.0, 4.0)
        ys = _draw(axes, task.tree, name, span, BLUE, f"f({name})")[1]
        if at is None:
            ys = np.concatenate([ys, _draw(axes, slope, name, span, ORANGE, f"f'({name})", "--")[1]])
        else:
            y, m = _at(task.tree, name, at), _at(slope, name, at)
            axes.plot(span, [y + m * (x - at) for x in span], "--", color=ORANGE, linewidth=2, label=f"tangent, slope {m:.4g}")  # fmt: skip
            _mark(axes, at, y, f"f'({at:.4g}) = {m:.4g}")
        _frame(axes, name, span, ys)

    return draw


def _needs_positive(tree: Tree, name: str) -> bool:
    """Whether a function has values on the right of 0 alone, as ln has."""
    try:
        return abs(value(tree, {name: -1.5, "pi": math.pi, "e": math.e}).imag) > 1e-9
    except (ArithmeticError, ValueError):
        return True


def _integral(task: Task, question: str) -> Drawing:
    def draw(axes: Any) -> None:
        import numpy as np

        name = _function(task)
        if not task.at:
            span = (0.05, 4.0) if _needs_positive(task.tree, name) else (-4.0, 4.0)
            xs, ys = _draw(axes, task.tree, name, span, BLUE, f"f({name})")
            middle = ys[len(ys) // 2 :]
            area = np.cumsum(np.nan_to_num(ys)) * (xs[1] - xs[0])
            area -= area[len(area) // 2]
            axes.plot(
                xs, area, "--", color=ORANGE, linewidth=2, label=f"an antiderivative, F({xs[len(xs) // 2]:.2g}) = 0"
            )
            _frame(axes, name, span, np.concatenate([ys, area]) if np.isfinite(middle).any() else ys)
            return
        low, high = sorted(float(_fraction(end)) for end in task.at)
        margin = max(0.35 * (high - low), 0.5)
        span = low - margin, high + margin
        _, ys = _draw(axes, task.tree, name, span, BLUE, f"f({name})")
        xs = np.linspace(low, high, POINTS)
        inside = _curve(task.tree, name, xs)
        axes.fill_between(xs, inside, 0, where=inside >= 0, color=BLUE, alpha=0.22, linewidth=0, label="counted +")
        if (inside < 0).any():
            axes.fill_between(xs, inside, 0, where=inside < 0, color=ORANGE, alpha=0.25, linewidth=0, label="counted −")
        solution = solve(question)
        if solution is not None:
            axes.set_title(f"integral = {solution.reference}", color=BLUE, fontsize=11)
        _frame(axes, name, span, np.concatenate([ys, inside]))

    return draw


def _limit(task: Task, question: str) -> Drawing:
    def draw(axes: Any) -> None:
        parts = _parts(question)
        assert isinstance(parts, list)
        name, height = _function(task), _at(parts[0].tree, "", 0.0)
        if task.at[0] is None:
            span = (0.5, 40.0)
            _, ys = _draw(axes, task.tree, name, span, BLUE, "f")
            axes.axhline(height, color=ORANGE, linestyle="--", label=f"limit {height:.4g}")
            _frame(axes, name, span, ys, [height])
            return
        at = float(_fraction(task.at[0]))
        span = (at - 3, at + 3)
        _, ys = _draw(axes, task.tree, name, span, BLUE, "f")
        axes.plot([at], [height], "o", color=ORANGE, markerfacecolor="white", markersize=9, zorder=5)
        axes.annotate(
            f"limit {height:.4g}",
            (at, height),
            textcoords="offset points",
            xytext=(0, 12),
            ha="center",
            color=ORANGE,
            bbox=_BOX,
        )
        _frame(axes, name, span, ys, [height])

    return draw


def _fraction(text: str | None) -> float:
    top, _, bottom = str(text).partition("/")
    return float(top) / float(bottom or 1)


def _sequence(terms: list[int], arithmetic: bool) -> Drawing | None:
    step = terms[1] - terms[0] if arithmetic else terms[1] / terms[0] if terms[0] else 0
    values: list[float] = [float(terms[0])]
    while len(values) < TERMS:
        following = values[-1] + step if arithmetic else values[-1] * step
        if abs(following) > FARTHEST:
            break
        values.append(following)
    if any(given != made for given, made in zip(terms, values, strict=False)):
        return None

    def draw(axes: Any) -> None:
        places = list(range(1, len(values) + 1))
        axes.plot(places, values, ":", color=GREY, linewidth=1)
        axes.plot(places[: len(terms)], values[: len(terms)], "o", color=BLUE, markersize=7, label="given")
        axes.plot(places[len(terms) :], values[len(terms) :], "o", color=ORANGE, markersize=7, label="continued")
        axes.set_xticks(places)
        axes.set_ylabel("term")
        axes.grid(alpha=0.25)
        axes.set_xlabel("n")
        axes.legend(facecolor="white", framealpha=0.85, edgecolor="none")

    return draw
