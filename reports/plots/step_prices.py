"""What each step down the front costs in accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from reports.formats import amount, points
from reports.fronts import StudyFront
from reports.plots.drawing import Drawing
from reports.plots.theme import ACCENT, new_figure, thin_out
from reports.steps import front_steps

__all__ = ["StepPricesInfo", "draw_step_prices", "step_prices_info"]

_MOST_STEPS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPricesInfo:
    """One entry per step from larger to smaller networks; ``prices`` in percentage points per million MACs."""

    names: tuple[str, ...]
    prices: tuple[float, ...]
    labels: tuple[str, ...]
    num_steps: int


def step_prices_info(front: StudyFront) -> StepPricesInfo | None:
    """Collect the steps; None for fewer than two networks."""
    steps = front_steps(front)
    if not steps:
        return None
    shown = thin_out(steps, _MOST_STEPS)
    return StepPricesInfo(
        names=tuple(f"{'dense' if step.larger is None else step.larger} to {step.smaller}" for step in shown),
        prices=tuple(step.points_per_million_macs for step in shown),
        labels=tuple(
            f"{points(-step.accuracy_lost)} points of accuracy, {amount(step.macs_saved)} FLOPs (MACs) saved"
            for step in shown
        ),
        num_steps=len(steps),
    )


def draw_step_prices(front: StudyFront) -> Drawing | None:
    """Draw one bar per step: tall bars are steps not worth taking."""
    info = step_prices_info(front)
    if info is None:
        return None
    figure = new_figure(x_title="step, from larger to smaller networks", y_title="points per million MACs")
    figure.add_trace(
        go.Bar(
            x=info.names,
            y=info.prices,
            text=info.labels,
            textposition="none",
            marker={"color": ACCENT, "line": {"width": 0}},
            hovertemplate="trial %{x}<br>%{y:.3g} points per million MACs<br>%{text}<extra></extra>",
        )
    )
    figure.update_layout(bargap=0.25)
    figure.update_xaxes(type="category", tickangle=-40, showgrid=False)
    left_out = info.num_steps - len(info.names)
    note = f"{left_out} steps between these are left out." if left_out else ""
    return Drawing(figure=figure, note=note, least_width=90 + 20 * len(info.names))
