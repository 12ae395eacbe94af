"""Networks as points: the front two objectives at a time, and latency over MACs."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.canvas import new_axes, show_amounts, show_shares
from reports.fronts import StudyFront
from reports.objectives import OBJECTIVES
from reports.plots.front_pairs import PlotPoint, front_pair_info
from reports.plots.latencies import latency_info
from reports.plots.theme import ACCENT, DENSE, MUTED, SERIES, WARNING

__all__ = ["still_accuracy_macs", "still_accuracy_params", "still_latencies", "still_macs_params"]


def still_accuracy_macs(front: StudyFront) -> Figure | None:
    """Draw accuracy over MACs."""
    return _still_pair(front, "macs", "accuracy")


def still_accuracy_params(front: StudyFront) -> Figure | None:
    """Draw accuracy over params."""
    return _still_pair(front, "params", "accuracy")


def still_macs_params(front: StudyFront) -> Figure | None:
    """Draw params over MACs."""
    return _still_pair(front, "macs", "params")


def still_latencies(front: StudyFront) -> Figure | None:
    """Draw latency over MACs; what is slower than a larger network stands out."""
    info = latency_info(front)
    if info is None:
        return None
    axes = new_axes(x_title="FLOPs (MACs)", y_title=info.axis)
    layers = (
        (
            "front",
            [one for one in info.slim if not (one.is_slower or one.is_slower_than_larger)],
            ACCENT,
            "o",
        ),
        (
            "slower than a larger one",
            [one for one in info.slim if one.is_slower_than_larger and not one.is_slower],
            SERIES[2],
            "^",
        ),
        ("slower than dense", [one for one in info.slim if one.is_slower], WARNING, "x"),
        ("dense network", list(info.dense), DENSE, "*"),
    )
    for name, points, colour, marker in layers:
        if points:
            size = 90 if marker == "*" else 24
            axes.scatter(
                [one.macs for one in points],
                [one.latency_ms for one in points],
                s=size,
                color=colour,
                marker=marker,
                label=name,
            )
    axes.set_ylim(bottom=0)
    show_amounts(axes, "x")
    return _finish(axes)


def _still_pair(front: StudyFront, x_name: str, y_name: str) -> Figure | None:
    info = front_pair_info(front, x_name, y_name)
    if info is None:
        return None
    axes = new_axes(x_title=_title(x_name), y_title=_title(y_name))
    axes.scatter(*_places(info.dominated), s=9, color=MUTED, label="dominated networks", linewidths=0)
    axes.step(*_places(info.stairs), where="post", color=ACCENT, linewidth=1.2)
    if y_name == "accuracy":
        errors = [[one.error_down for one in info.front], [one.error_up for one in info.front]]
        axes.errorbar(*_places(info.front), yerr=errors, fmt="none", ecolor=ACCENT, elinewidth=0.7, alpha=0.5)
    axes.scatter(*_places(info.front), s=22, color=ACCENT, label="front", linewidths=0, zorder=3)
    axes.scatter(*_places(info.dense), s=110, color=DENSE, marker="*", label="dense network", zorder=4)
    axes.set_ylim(*info.y_range)
    show_amounts(axes, "x")
    if y_name == "accuracy":
        show_shares(axes, "y")
    else:
        show_amounts(axes, "y")
    return _finish(axes)


def _places(points: tuple[PlotPoint, ...]) -> tuple[list[float], list[float]]:
    return [point.x for point in points], [point.y for point in points]


def _title(name: str) -> str:
    label = OBJECTIVES[name].label
    return f"validation {label}" if name == "accuracy" else label


def _finish(axes: Axes) -> Figure:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize="small", borderpad=0
    )
    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure
