"""Settings and scores of many trials side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from reports.fronts import StudyFront, scores_of
from reports.plots.drawing import Drawing
from reports.plots.field_axis import FieldAxis, field_axis
from reports.plots.theme import CLEAR, SCALE, SUBTLE, TEXT, new_figure, thin_out
from reports.records import TrialRecord

__all__ = ["ParallelInfo", "draw_parallel", "parallel_info"]

_MOST_LINES = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelInfo:
    """The axes, and each trial's accuracy for its colour."""

    axes: tuple[FieldAxis, ...]
    accuracies: tuple[float, ...]
    num_trials: int


def parallel_info(front: StudyFront) -> ParallelInfo | None:
    """Collect varied fields and scores of the front and of other trials; None for fewer than two networks."""
    if len(front.ranked) < 2:
        return None
    members = {record.number for record in front.members}
    others = [record for record in front.ranked if record.number not in members]
    room = max(2, _MOST_LINES - len(front.members))
    shown = [*thin_out(others, room), *thin_out(front.members, _MOST_LINES)]
    names = list(dict.fromkeys(name for record in shown for name in record.varied))
    axes = [field_axis(name, [record.varied.get(name) for record in shown]) for name in names]
    return ParallelInfo(
        axes=(*(axis for axis in axes if len(set(axis.positions)) > 1), *_score_axes(shown)),
        accuracies=tuple(scores_of(record).accuracy for record in shown),
        num_trials=len(front.ranked),
    )


def draw_parallel(front: StudyFront) -> Drawing | None:
    """Draw one line per trial through all axes, coloured by accuracy."""
    info = parallel_info(front)
    if info is None:
        return None
    figure = new_figure(height=420)
    figure.add_trace(
        go.Parcoords(
            line={
                "color": info.accuracies,
                "colorscale": [[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)],
            },
            dimensions=[_dimension(axis) for axis in info.axes],
            labelfont={"color": TEXT, "size": 12},
            tickfont={"color": SUBTLE, "size": 11},
            rangefont={"color": CLEAR, "size": 10},
            labelangle=-18,
        )
    )
    first_ticks = max((len(text) for text in info.axes[0].tick_texts), default=5)
    figure.update_layout(margin={"l": 24 + 7 * first_ticks, "r": 60, "t": 96, "b": 24})
    drawn = len(info.accuracies)
    note = f"{drawn:,} of {info.num_trials:,} trials are drawn." if drawn < info.num_trials else ""
    return Drawing(figure=figure, note=note, least_width=100 * len(info.axes))


def _score_axes(records: Sequence[TrialRecord]) -> tuple[FieldAxis, ...]:
    scores = [scores_of(record) for record in records]
    axes = [
        FieldAxis(
            name="share of FLOPs (MACs)", positions=tuple(s.macs_share for s in scores), tick_format=".0%"
        ),
        FieldAxis(name="share of params", positions=tuple(s.params_share for s in scores), tick_format=".0%"),
    ]
    similarities = [s.explanation_similarity for s in scores]
    if all(similarity is not None for similarity in similarities):
        axes.append(
            FieldAxis(
                name="explanation similarity",
                positions=tuple(similarity or 0.0 for similarity in similarities),
            )
        )
    axes.append(FieldAxis(name="accuracy", positions=tuple(s.accuracy for s in scores), tick_format=".1%"))
    return tuple(axes)


def _dimension(axis: FieldAxis) -> dict[str, object]:
    dimension: dict[str, object] = {
        "label": axis.name,
        "values": axis.positions,
        "tickformat": axis.tick_format,
    }
    if axis.ticks:
        dimension |= {"tickvals": axis.ticks, "ticktext": axis.tick_texts}
    return dimension
