"""Colours and layout shared by all plots.

Every colour exists twice, for light and for dark pages. Figures are drawn in the light ones; the page replaces each
colour of `DARK` by its partner, anywhere in a figure, when the reader prefers dark.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TypeVar

import plotly.graph_objects as go

from reports.records import Scalar

__all__ = [
    "ACCENT",
    "CLEAR",
    "DARK",
    "DENSE",
    "GRID",
    "MUTED",
    "SCALE",
    "SERIES",
    "SUBTLE",
    "TEXT",
    "WARNING",
    "axis_style",
    "describe_settings",
    "new_figure",
    "thin_out",
]

TEXT = "#1d2430"
SUBTLE = "#5b6473"
GRID = "#e3e6ec"
SURFACE = "#fffffe"
CLEAR = "rgba(0,0,0,0)"
ACCENT = "#2457c5"
DENSE = "#b6540c"
MUTED = "#b3bac6"
WARNING = "#b3261e"
SERIES = (ACCENT, "#0d8577", "#c98a00", "#8a44ad", "#c0486b", "#4a90b8", "#7a8290", "#6b8e23")
SCALE = ("#eef3fc", "#b5caf3", "#6f98e3", "#2c5fce", "#12317f")

DARK = {
    TEXT: "#e7eaf0",
    SUBTLE: "#9aa4b4",
    GRID: "#2b3240",
    SURFACE: "#171b23",
    ACCENT: "#7ea6ff",
    DENSE: "#f2a35c",
    MUTED: "#6d7890",
    WARNING: "#ff8f85",
    SERIES[1]: "#4fcdbd",
    SERIES[2]: "#e8bf4a",
    SERIES[3]: "#c596e6",
    SERIES[4]: "#f28aa9",
    SERIES[5]: "#8cc7e8",
    SERIES[6]: "#a5adba",
    SERIES[7]: "#b3d166",
    SCALE[0]: "#1c2331",
    SCALE[1]: "#2a3f6b",
    SCALE[2]: "#3f66b4",
    SCALE[3]: "#6d98f2",
    SCALE[4]: "#c9dbff",
}

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"

Item = TypeVar("Item")


def new_figure(*, x_title: str = "", y_title: str = "", height: int = 380) -> go.Figure:
    """Return an empty figure in the common style; ``height`` in pixels."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        autosize=True,
        template="none",
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"family": _FONT, "color": TEXT, "size": 13},
        margin={"l": 56, "r": 16, "t": 12, "b": 48},
        hoverlabel={
            "bgcolor": SURFACE,
            "bordercolor": GRID,
            "font": {"color": TEXT, "size": 12.5},
            "align": "left",
        },
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"color": SUBTLE}},
        hovermode="closest",
        dragmode="pan",
        modebar={"bgcolor": CLEAR, "color": MUTED, "activecolor": ACCENT},
        xaxis=axis_style(),
        yaxis=axis_style(),
    )
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes(title_text=y_title)
    return figure


def axis_style() -> dict[str, object]:
    """Return how axes look in every plot."""
    return {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": SUBTLE, "size": 12},
        "title": {"font": {"color": SUBTLE, "size": 12.5}, "standoff": 12},
        "automargin": True,
    }


def describe_settings(varied: Mapping[str, Scalar]) -> str:
    """Write varied fields as escaped lines for a hover label."""
    return "".join(f"<br>{html.escape(name)}: {html.escape(_short(value))}" for name, value in varied.items())


def thin_out(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """Keep at most ``limit`` items, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return tuple(items)
    positions = [round(index * (len(items) - 1) / (limit - 1)) for index in range(limit)]
    return tuple(items[position] for position in positions)


def _short(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
