"""Dense, after removal, refitted, fine-tuned: the accuracies of each network on the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from reports.fronts import StudyFront, scores_of
from reports.plots.drawing import Drawing
from reports.plots.theme import ACCENT, DENSE, GRID, SERIES, new_figure, thin_out

__all__ = ["AccuraciesInfo", "accuracies_info", "draw_accuracies"]

_MOST_NETWORKS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuraciesInfo:
    """Accuracies in [0, 1] of the networks whose trial numbers are given, largest network first.

    ``after_reconstruction``: None for networks whose weights were not refitted.
    """

    numbers: tuple[int, ...]
    dense: tuple[float, ...]
    after_removal: tuple[float, ...]
    after_reconstruction: tuple[float | None, ...]
    fine_tuned: tuple[float, ...]
    num_networks: int


def accuracies_info(front: StudyFront) -> AccuraciesInfo | None:
    """Collect the accuracies; None without a finished network."""
    if not front.points:
        return None
    shown = thin_out(front.points, _MOST_NETWORKS)
    scores = [scores_of(record) for record in shown]
    return AccuraciesInfo(
        numbers=tuple(record.number for record in shown),
        dense=tuple(s.accuracy_dense for s in scores),
        after_removal=tuple(s.accuracy_after_removal for s in scores),
        after_reconstruction=tuple(s.accuracy_after_reconstruction for s in scores),
        fine_tuned=tuple(s.accuracy for s in scores),
        num_networks=len(front.points),
    )


def draw_accuracies(front: StudyFront) -> Drawing | None:
    """Draw a marker per accuracy, joined by a thin line: how far fine-tuning had to climb."""
    info = accuracies_info(front)
    if info is None:
        return None
    names = [str(number) for number in info.numbers]
    figure = new_figure(x_title="trial, largest network first", y_title="validation accuracy", height=380)
    climbs: tuple[list[str | None], list[float | None]] = ([], [])
    for name, low, high in zip(names, info.after_removal, info.fine_tuned, strict=True):
        climbs[0].extend((name, name, None))
        climbs[1].extend((low, high, None))
    line = {"color": GRID, "width": 3}
    figure.add_trace(
        go.Scatter(x=climbs[0], y=climbs[1], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    )
    series: list[tuple[str, Sequence[float | None], str, str]] = [
        ("dense", info.dense, DENSE, "line-ew-open"),
        ("after removal", info.after_removal, SERIES[6], "circle-open"),
        ("refitted", info.after_reconstruction, SERIES[6], "diamond"),
        ("fine-tuned", info.fine_tuned, ACCENT, "circle"),
    ]
    for label, values, colour, symbol in series:
        if all(value is None for value in values):
            continue
        figure.add_trace(
            go.Scatter(
                name=label,
                x=names,
                y=values,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 2, "color": colour}},
                hovertemplate="trial %{x}: %{y:.2%} " + label + "<extra></extra>",
            )
        )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(tickformat=".0%")
    left_out = info.num_networks - len(names)
    note = f"{left_out} networks between these are left out." if left_out else ""
    return Drawing(figure=figure, note=note, least_width=90 + 18 * len(names))
