"""The main plots as still images for papers and READMEs: SVG and PNG, drawn by matplotlib from the same ``*_info``."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from reports.figures.bars import still_importances, still_step_prices
from reports.figures.curves import still_hypervolume
from reports.figures.heat_maps import still_class_drift, still_kept_widths
from reports.figures.points import (
    still_accuracy_macs,
    still_accuracy_params,
    still_latencies,
    still_macs_params,
)
from reports.fronts import StudyFront

__all__ = ["FIGURES", "StillFigure"]

StillFigure = Callable[[StudyFront], Figure | None]
"""Draws a figure of a study; None: the study has nothing to show."""

FIGURES: dict[str, StillFigure] = {
    "accuracy_macs": still_accuracy_macs,
    "accuracy_params": still_accuracy_params,
    "macs_params": still_macs_params,
    "step_prices": still_step_prices,
    "kept_widths": still_kept_widths,
    "latencies": still_latencies,
    "class_drift": still_class_drift,
    "hypervolume": still_hypervolume,
    "importances": still_importances,
}
"""By the name of the plot on the page that shows the same."""
