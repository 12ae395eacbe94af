"""The front in three dimensions: accuracy, MACs and params at once."""

from __future__ import annotations

import plotly.graph_objects as go

from reports.fronts import StudyFront
from reports.plots.drawing import Drawing
from reports.plots.front_pairs import FrontPairInfo, PlotPoint, front_pair_info
from reports.plots.theme import ACCENT, DENSE, GRID, MUTED, SUBTLE, new_figure

__all__ = ["draw_front_space", "front_space_info"]

_MOST_FRONT, _MOST_DOMINATED = 200, 200


def front_space_info(front: StudyFront) -> tuple[FrontPairInfo, FrontPairInfo] | None:
    """Return the data of accuracy over MACs and of params over MACs, which share their order of points."""
    accuracy = front_pair_info(
        front, "macs", "accuracy", most_front=_MOST_FRONT, most_dominated=_MOST_DOMINATED
    )
    params = front_pair_info(front, "macs", "params", most_front=_MOST_FRONT, most_dominated=_MOST_DOMINATED)
    return None if accuracy is None or params is None else (accuracy, params)


def draw_front_space(front: StudyFront) -> Drawing | None:
    """Draw the networks as a cloud that can be turned; the front in colour, the dense network as a diamond."""
    info = front_space_info(front)
    if info is None:
        return None
    accuracy, params = info
    figure = new_figure(height=420)
    layers = (
        (
            "dominated networks",
            accuracy.dominated,
            params.dominated,
            {"color": MUTED, "size": 3, "opacity": 0.6},
        ),
        ("front", accuracy.front, params.front, {"color": ACCENT, "size": 5}),
        ("dense network", accuracy.dense, params.dense, {"color": DENSE, "size": 7, "symbol": "diamond"}),
    )
    for name, heights, depths, marker in layers:
        if heights:
            figure.add_trace(_cloud(name, heights, depths, marker))
    axis = {
        "gridcolor": GRID,
        "showbackground": False,
        "tickfont": {"color": SUBTLE, "size": 11},
        "zeroline": False,
    }
    title_font = {"color": SUBTLE, "size": 12}
    figure.update_layout(
        dragmode="turntable",
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        scene={
            "xaxis": axis | {"title": {"text": "FLOPs (MACs)", "font": title_font}, "tickformat": "~s"},
            "yaxis": axis | {"title": {"text": "params", "font": title_font}, "tickformat": "~s"},
            "zaxis": axis
            | {
                "title": {"text": "accuracy", "font": title_font},
                "tickformat": ".0%",
                "range": list(accuracy.y_range),
            },
            "camera": {"eye": {"x": 1.5, "y": -1.6, "z": 0.65}, "center": {"x": 0, "y": 0, "z": -0.2}},
            "aspectmode": "cube",
        },
    )
    return Drawing(figure=figure)


def _cloud(
    name: str, heights: tuple[PlotPoint, ...], depths: tuple[PlotPoint, ...], marker: dict[str, object]
) -> go.Scatter3d:
    return go.Scatter3d(
        name=name,
        x=[point.x for point in heights],
        y=[point.y for point in depths],
        z=[point.y for point in heights],
        mode="markers",
        marker=marker,
        text=[point.label for point in heights],
        customdata=[point.url for point in heights],
        hovertemplate="%{text}<extra></extra>",
    )
