"""Size, colours and axes that all still figures share; they have a white ground, as paper has."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from reports.plots.theme import GRID, SUBTLE

__all__ = ["WIDTH", "new_axes", "show_amounts", "show_shares"]

WIDTH = 6.0  # inches: a page's text width, of which a column is half


def new_axes(*, x_title: str, y_title: str, height: float = 3.6, width: float = WIDTH) -> Axes:
    """Return axes on a figure of their own; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_title, color=SUBTLE)
    axes.set_ylabel(y_title, color=SUBTLE)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SUBTLE, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
    return axes


def show_shares(axes: Axes, axis: str, decimals: int | None = None) -> None:
    """Write the numbers along ``x`` or ``y`` as percentages."""
    getattr(axes, f"{axis}axis").set_major_formatter(PercentFormatter(1.0, decimals=decimals))


def show_amounts(axes: Axes, axis: str) -> None:
    """Write the numbers along ``x`` or ``y`` with K, M, G, as the page does."""
    formatter = EngFormatter(sep="")
    formatter.ENG_PREFIXES = {**formatter.ENG_PREFIXES, 3: "K"}
    getattr(axes, f"{axis}axis").set_major_formatter(formatter)
