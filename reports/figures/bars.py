"""What each step along the front costs, and what mattered."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from reports.figures.canvas import new_axes, show_shares
from reports.fronts import StudyFront
from reports.objectives import OBJECTIVES
from reports.plots.importances import importances_info
from reports.plots.step_prices import step_prices_info
from reports.plots.theme import ACCENT, SERIES

__all__ = ["still_importances", "still_step_prices"]

_GROUP = 0.8  # of the distance between two settings, filled by their bars


def still_step_prices(front: StudyFront) -> Figure | None:
    """Draw one bar per step from larger to smaller networks."""
    info = step_prices_info(front)
    if info is None:
        return None
    axes = new_axes(x_title="step, from larger to smaller networks", y_title="points per million MACs")
    axes.bar(info.names, info.prices, color=ACCENT, width=0.75)
    axes.tick_params(axis="x", labelrotation=60 if len(info.names) > 6 else 0, labelsize="small")
    axes.grid(visible=False, axis="x")
    return axes.get_figure(root=True)


def still_importances(front: StudyFront) -> Figure | None:
    """Draw a group of bars per setting, the one that matters most on top."""
    table = importances_info(front)
    if table is None:
        return None
    fields = list(next(iter(table.values())))
    axes = new_axes(
        x_title="importance, relative to the other settings", y_title="", height=1.2 + 0.45 * len(fields)
    )
    thickness = _GROUP / len(table)
    for index, (name, row) in enumerate(table.items()):
        label = OBJECTIVES[name].label if name in OBJECTIVES else name
        places = np.arange(len(fields)) + thickness * (index - (len(table) - 1) / 2)
        axes.barh(
            places, list(row.values()), height=thickness, color=SERIES[index % len(SERIES)], label=label
        )
    axes.set_yticks(range(len(fields)), fields)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    show_shares(axes, "x")
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize="small", borderpad=0
    )
    return axes.get_figure(root=True)
