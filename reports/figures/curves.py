"""How the front grew while the search ran."""

from __future__ import annotations

from matplotlib.figure import Figure

from reports.figures.canvas import new_axes
from reports.fronts import StudyFront
from reports.plots.hypervolume_time import hypervolume_info
from reports.plots.theme import ACCENT

__all__ = ["still_hypervolume"]


def still_hypervolume(front: StudyFront) -> Figure | None:
    """Draw the hypervolume as a step line over time."""
    info = hypervolume_info(front)
    if info is None:
        return None
    axes = new_axes(x_title=f"time since the search began ({info.unit})", y_title="hypervolume", height=3.2)
    axes.step(info.times, info.values, where="post", color=ACCENT, linewidth=1.5)
    axes.set_xlim(left=0)
    return axes.get_figure(root=True)
