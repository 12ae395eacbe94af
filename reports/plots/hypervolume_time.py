"""How the front grew while the search ran."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from reports.fronts import StudyFront, hypervolume_history
from reports.plots.drawing import Drawing
from reports.plots.theme import ACCENT, new_figure, thin_out

__all__ = ["HypervolumeInfo", "draw_hypervolume", "hypervolume_info"]

_MOST_POINTS = 1000
_UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (180.0, 60.0, "minutes"))


@dataclass(frozen=True, kw_only=True, slots=True)
class HypervolumeInfo:
    """Times since the study began, in ``unit``, and the hypervolume from each of them on."""

    times: tuple[float, ...]
    values: tuple[float, ...]
    unit: str


def hypervolume_info(front: StudyFront) -> HypervolumeInfo | None:
    """Collect the history from the study, or compute it where it was not recorded; None before the first network."""
    history = front.study.hypervolume_history or hypervolume_history(front.study)
    if not history:
        return None
    history = thin_out(history, _MOST_POINTS)
    end = max(history[-1][0], front.study.updated_at - front.study.created_at)
    size, unit = next(((size, unit) for least, size, unit in _UNITS if end >= least), (1.0, "seconds"))
    return HypervolumeInfo(
        times=(*(seconds / size for seconds, _ in history), end / size),
        values=(*(value for _, value in history), history[-1][1]),
        unit=unit,
    )


def draw_hypervolume(front: StudyFront) -> Drawing | None:
    """Draw the hypervolume as a step line over time."""
    info = hypervolume_info(front)
    if info is None:
        return None
    figure = new_figure(
        x_title=f"time since the search began ({info.unit})", y_title="hypervolume", height=360
    )
    figure.add_trace(
        go.Scatter(
            x=info.times,
            y=info.values,
            mode="lines",
            line={"shape": "hv", "color": ACCENT, "width": 2},
            hovertemplate="%{y:.4f} after %{x:.3g} " + info.unit + "<extra></extra>",
        )
    )
    figure.update_xaxes(rangemode="tozero")
    return Drawing(figure=figure)
