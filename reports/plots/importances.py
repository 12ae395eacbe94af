"""Which varied fields mattered, as estimated elsewhere."""

from __future__ import annotations

import plotly.graph_objects as go

from reports.fronts import StudyFront
from reports.objectives import OBJECTIVES
from reports.plots.drawing import Drawing
from reports.plots.theme import SERIES, new_figure

__all__ = ["draw_importances", "importances_info"]


def importances_info(front: StudyFront) -> dict[str, dict[str, float]] | None:
    """Return the importance by objective and varied field, fields by falling total; None if not estimated."""
    table = {name: row for name, row in front.study.hyperparameter_importances.items() if row}
    if not table:
        return None
    fields = dict.fromkeys(field for row in table.values() for field in row)
    order = sorted(fields, key=lambda field: -sum(row.get(field, 0.0) for row in table.values()))
    return {name: {field: row.get(field, 0.0) for field in order} for name, row in table.items()}


def draw_importances(front: StudyFront) -> Drawing | None:
    """Draw grouped bars, the field that matters most on top."""
    table = importances_info(front)
    if table is None:
        return None
    num_fields = len(next(iter(table.values())))
    figure = new_figure(
        x_title="importance, relative to the other settings", height=110 + 40 * max(num_fields, 3)
    )
    for index, (name, row) in enumerate(table.items()):
        label = OBJECTIVES[name].label if name in OBJECTIVES else name
        figure.add_trace(
            go.Bar(
                name=label,
                y=list(row),
                x=list(row.values()),
                orientation="h",
                marker={"color": SERIES[index % len(SERIES)], "line": {"width": 0}},
                hovertemplate="%{y}: %{x:.0%} for " + label + "<extra></extra>",
            )
        )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(barmode="group", bargap=0.3)
    return Drawing(figure=figure)
