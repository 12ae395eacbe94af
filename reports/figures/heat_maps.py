"""Kept widths and explanations by class, dark where the dense network was kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from reports.figures.canvas import new_axes, show_shares
from reports.fronts import StudyFront
from reports.plots.class_drift import class_drift_info
from reports.plots.kept_widths import kept_widths_info
from reports.plots.theme import SCALE

__all__ = ["still_class_drift", "still_kept_widths"]

_COLOURS = LinearSegmentedColormap.from_list("kept", SCALE)
_MOST_NUMBERS = 120  # cells of a map that has its values written into them


def still_kept_widths(front: StudyFront) -> Figure | None:
    """Draw one row per network, one column per group of channels."""
    info = kept_widths_info(front)
    if info is None:
        return None
    return _heat_map(info.networks, info.groups, info.shares, "channels kept")


def still_class_drift(front: StudyFront) -> Figure | None:
    """Draw one row per network, one column per class."""
    info = class_drift_info(front)
    if info is None:
        return None
    return _heat_map(info.networks, info.classes, info.similarities, "similarity of explanations")


def _heat_map(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]], label: str
) -> Figure:
    """Draw shares in [0, 1]; None leaves a cell empty."""
    shares = np.array([[np.nan if one is None else one for one in row] for row in values])
    axes = new_axes(
        x_title="",
        y_title="",
        width=max(4.5, 2.2 + 0.36 * len(columns)),
        height=max(2.2, 1.3 + 0.27 * len(rows)),
    )
    picture = axes.imshow(shares, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(
        range(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor", fontsize="small"
    )
    axes.set_yticks(range(len(rows)), rows, fontsize="small")
    axes.grid(visible=False)
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(picture, ax=axes, label=label, shrink=0.8)
    bar.outline.set_visible(False)
    show_shares(bar.ax, "y")
    if shares.size <= _MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                colour = "white" if share > 0.55 else "black"
                axes.text(
                    column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6.5, color=colour
                )
    return figure
