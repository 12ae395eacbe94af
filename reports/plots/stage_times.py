"""Where the time of each trial went."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from reports.fronts import StudyFront
from reports.plots.drawing import Drawing
from reports.plots.theme import SERIES, new_figure, thin_out

__all__ = ["StageTimesInfo", "draw_stage_times", "stage_times_info"]

_MOST_TRIALS = 60
_MINUTE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTimesInfo:
    """``seconds[stage][trial]``, for trials by number and stages in the order they were met."""

    numbers: tuple[int, ...]
    seconds: dict[str, tuple[float, ...]]
    num_trials: int


def stage_times_info(front: StudyFront) -> StageTimesInfo | None:
    """Collect the seconds per stage of every trial that computed something; None if none did."""
    timed = sorted(
        (record for record in front.study.records if record.stage_seconds), key=lambda record: record.number
    )
    if not timed:
        return None
    shown = thin_out(timed, _MOST_TRIALS)
    stages = dict.fromkeys(stage for record in timed for stage in record.stage_seconds)
    return StageTimesInfo(
        numbers=tuple(record.number for record in shown),
        seconds={stage: tuple(record.stage_seconds.get(stage, 0.0) for record in shown) for stage in stages},
        num_trials=len(timed),
    )


def draw_stage_times(front: StudyFront) -> Drawing | None:
    """Draw one stacked bar per trial."""
    info = stage_times_info(front)
    if info is None:
        return None
    longest = max(sum(values) for values in zip(*info.seconds.values(), strict=True))
    in_minutes = longest >= 3 * _MINUTE
    unit, size = ("minutes", _MINUTE) if in_minutes else ("seconds", 1.0)
    figure = new_figure(x_title="trial", y_title=unit, height=360)
    for index, (stage, seconds) in enumerate(info.seconds.items()):
        figure.add_trace(
            go.Bar(
                name=stage.replace("_", " "),
                x=[str(number) for number in info.numbers],
                y=[value / size for value in seconds],
                marker={"color": SERIES[index % len(SERIES)], "line": {"width": 0}},
                hovertemplate="trial %{x}: %{y:.3g} " + unit + "<extra>%{fullData.name}</extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.15, legend_traceorder="normal")
    figure.update_xaxes(type="category", showgrid=False)
    drawn = len(info.numbers)
    note = f"{drawn:,} of {info.num_trials:,} trials are drawn." if drawn < info.num_trials else ""
    return Drawing(figure=figure, note=note, least_width=90 + 14 * drawn)
