"""The front seen two objectives at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from reports.confidence import wilson_interval
from reports.dense import dense_networks
from reports.formats import amount, percent, slim_accuracy
from reports.fronts import StudyFront, non_dominated, scores_of
from reports.objectives import OBJECTIVES, Direction
from reports.plots.drawing import Drawing
from reports.plots.theme import ACCENT, DENSE, MUTED, describe_settings, new_figure, thin_out
from reports.records import TrialRecord

__all__ = [
    "FrontPairInfo",
    "PlotPoint",
    "draw_accuracy_macs",
    "draw_accuracy_params",
    "draw_macs_params",
    "front_pair_info",
    "point_label",
]

_HEADROOM = 0.35  # of the front's range, left below it before points are cut off


@dataclass(frozen=True, kw_only=True, slots=True)
class PlotPoint:
    """One marker: where, how sure (half-widths of the interval, up and down), its label and its link."""

    x: float
    y: float
    error_up: float = 0.0
    error_down: float = 0.0
    label: str = ""
    url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPairInfo:
    """Data of one plot. ``stairs``: the points of ``front`` that are best in these two objectives alone, left to right.

    ``num_front``, ``num_dominated``: before thinning; ``num_below``: drawn points below ``y_range``.
    """

    x_name: str
    y_name: str
    front: tuple[PlotPoint, ...]
    stairs: tuple[PlotPoint, ...]
    dominated: tuple[PlotPoint, ...]
    dense: tuple[PlotPoint, ...]
    num_front: int
    num_dominated: int
    num_below: int
    y_range: tuple[float, float]


def front_pair_info(
    front: StudyFront, x_name: str, y_name: str, *, most_front: int = 250, most_dominated: int = 350
) -> FrontPairInfo | None:
    """Collect what a plot of objective ``y_name`` over ``x_name`` shows; None without a finished network."""
    if not front.points:
        return None
    members = {record.number for record in front.members}
    others = [record for record in front.ranked if record.number not in members]
    points = [_point(front, record, x_name, y_name) for record in front.points]
    dominated = [_point(front, record, x_name, y_name) for record in thin_out(others, most_dominated)]
    dense = tuple(
        PlotPoint(
            x=getattr(network, x_name),
            y=getattr(network, y_name),
            label=f"Dense network<br>accuracy {percent(network.accuracy, 2)}<br>FLOPs (MACs) {amount(network.macs)}"
            f"<br>params {amount(network.params)}",
        )
        for network in dense_networks(front.study)
    )
    lowest = min(point.y - point.error_down for point in (*points, *dense))
    highest = max(point.y + point.error_up for point in (*points, *dense))
    margin = 0.06 * (highest - lowest) or 0.01
    floor = min([lowest, *(point.y for point in dominated)])
    bottom = max(floor, lowest - _HEADROOM * (highest - lowest)) - margin
    return FrontPairInfo(
        x_name=x_name,
        y_name=y_name,
        front=thin_out(points, most_front),
        stairs=_stairs(
            points, y_direction=Direction.MAXIMIZE if y_name == "accuracy" else Direction.MINIMIZE
        ),
        dominated=tuple(dominated),
        dense=dense,
        num_front=len(points),
        num_dominated=len(others),
        num_below=sum(point.y < bottom for point in dominated),
        y_range=(bottom, highest + margin),
    )


def draw_front_pair(info: FrontPairInfo, *, height: int = 420) -> Drawing:
    """Draw dominated networks grey, the front as a step line through its networks, the dense network as a star."""
    figure = new_figure(x_title=_axis_title(info.x_name), y_title=_axis_title(info.y_name), height=height)
    figure.add_trace(
        _markers("dominated networks", info.dominated, {"color": MUTED, "size": 6, "opacity": 0.7})
    )
    figure.add_trace(
        go.Scatter(
            x=[point.x for point in info.stairs],
            y=[point.y for point in info.stairs],
            mode="lines",
            line={"shape": "hv", "color": ACCENT, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    marker = {"color": ACCENT, "size": 9, "line": {"width": 0}}
    figure.add_trace(_markers("front", info.front, marker, errors=info.y_name == "accuracy"))
    star = {"color": DENSE, "size": 15, "symbol": "star"}
    figure.add_trace(_markers("dense network", info.dense, star))
    figure.update_yaxes(range=list(info.y_range))
    for update, name in ((figure.update_xaxes, info.x_name), (figure.update_yaxes, info.y_name)):
        update(tickformat=".1%" if name == "accuracy" else "~s")
    return Drawing(figure=figure, note=_note(info))


def draw_accuracy_macs(front: StudyFront) -> Drawing | None:
    """Draw accuracy over MACs."""
    info = front_pair_info(front, "macs", "accuracy")
    return draw_front_pair(info, height=460) if info else None


def draw_accuracy_params(front: StudyFront) -> Drawing | None:
    """Draw accuracy over params."""
    info = front_pair_info(front, "params", "accuracy")
    return draw_front_pair(info) if info else None


def draw_macs_params(front: StudyFront) -> Drawing | None:
    """Draw params over MACs."""
    info = front_pair_info(front, "macs", "params")
    return draw_front_pair(info, height=360) if info else None


def _point(front: StudyFront, record: TrialRecord, x_name: str, y_name: str) -> PlotPoint:
    scores = scores_of(record)
    interval = wilson_interval(scores.num_correct_fine_tuned, scores.num_images)
    has_errors = y_name == "accuracy"
    return PlotPoint(
        x=getattr(scores, x_name),
        y=getattr(scores, y_name),
        error_up=interval.high - scores.accuracy if has_errors else 0.0,
        error_down=scores.accuracy - interval.low if has_errors else 0.0,
        label=point_label(record),
        url=front.study.run_url(record.number),
    )


def point_label(record: TrialRecord) -> str:
    """Return what hovering over a network shows: its scores and its settings."""
    scores = scores_of(record)
    interval = wilson_interval(scores.num_correct_fine_tuned, scores.num_images)
    return (
        f"<b>Trial {record.number}</b><br>accuracy {slim_accuracy(scores)}"
        f" ({percent(interval.low)} to {percent(interval.high)})"
        f"<br>FLOPs (MACs) {amount(scores.macs)} ({percent(scores.macs_share)})"
        f"<br>params {amount(scores.params)} ({percent(scores.params_share)})"
        + describe_settings(record.varied)
    )


def _stairs(points: list[PlotPoint], *, y_direction: Direction) -> tuple[PlotPoint, ...]:
    values = np.array([(point.x, point.y) for point in points])
    mask = non_dominated(values, [Direction.MINIMIZE, y_direction])
    return tuple(sorted((p for p, kept in zip(points, mask, strict=True) if kept), key=lambda p: (p.x, p.y)))


def _markers(
    name: str, points: tuple[PlotPoint, ...], marker: dict[str, object], *, errors: bool = False
) -> go.Scatter:
    error_y = {
        "type": "data",
        "symmetric": False,
        "array": [point.error_up for point in points],
        "arrayminus": [point.error_down for point in points],
        "color": ACCENT,
        "thickness": 0.8,
        "width": 0,
    }
    return go.Scatter(
        name=name,
        x=[point.x for point in points],
        y=[point.y for point in points],
        mode="markers",
        marker=marker,
        error_y=error_y if errors else None,
        text=[point.label for point in points],
        customdata=[point.url for point in points],
        hovertemplate="%{text}<extra></extra>",
        visible=True if points else "legendonly",
        showlegend=bool(points),
    )


def _axis_title(name: str) -> str:
    return "validation accuracy" if name == "accuracy" else OBJECTIVES[name].label


def _note(info: FrontPairInfo) -> str:
    parts = []
    if info.num_front > len(info.front):
        parts.append(f"{len(info.front):,} of {info.num_front:,} front networks have a marker.")
    if info.num_dominated > len(info.dominated):
        parts.append(f"{len(info.dominated):,} of {info.num_dominated:,} dominated networks are drawn.")
    if info.num_below:
        parts.append(f"{info.num_below:,} of them lie below the range shown; double-click to see all.")
    return " ".join(parts)
