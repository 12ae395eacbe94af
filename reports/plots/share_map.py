"""A heat map of shares from 0 to 1, dark where all is kept: rows are networks, the first on top."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from reports.plots.theme import SCALE, SUBTLE, new_figure

__all__ = ["draw_share_map"]


def draw_share_map(*, height: int, title: str, **trace: Any) -> go.Figure:
    """Draw shares by two categories.

    Args:
        height: Of the figure, in pixels.
        title: Of the colour bar.
        trace: What plotly's heat map is given beside its looks: ``x``, ``y``, ``z``, ``hovertemplate`` and so on.
    """
    figure = new_figure(height=height)
    figure.add_trace(
        go.Heatmap(
            **trace,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorscale=[[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)],
            colorbar={
                "tickformat": ".0%",
                "thickness": 8,
                "outlinewidth": 0,
                "title": {"text": title, "font": {"color": SUBTLE, "size": 12}},
                "tickfont": {"color": SUBTLE, "size": 11},
            },
        )
    )
    figure.update_layout(margin={"t": 32})
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure
