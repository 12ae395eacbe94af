"""Each objective against each field that varied, one small plot per pair."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from reports.fronts import StudyFront, scores_of
from reports.objectives import OBJECTIVES
from reports.plots.drawing import Drawing
from reports.plots.field_axis import FieldAxis, field_axis
from reports.plots.front_pairs import point_label
from reports.plots.importances import importances_info
from reports.plots.theme import ACCENT, MUTED, axis_style, new_figure, thin_out
from reports.records import TrialRecord

__all__ = ["SliceColumn", "SlicesInfo", "draw_slices", "slices_info"]

_MOST_TRIALS = 300
_MOST_FIELDS = 8
_ROW_HEIGHT, _COLUMN_WIDTH = 170, 190  # pixels
_JITTER, _PLACES = 0.05, 9  # trials of one choice lie beside each other, in so many places


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceColumn:
    """One field: where trials lie along it. ``trials``: positions in ``SlicesInfo.labels`` of those that have it."""

    axis: FieldAxis
    trials: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SlicesInfo:
    """``values[objective][trial]``; ``is_front``, ``labels`` and ``urls`` by trial.

    ``num_trials`` and ``num_fields``: before thinning.
    """

    columns: tuple[SliceColumn, ...]
    values: dict[str, tuple[float, ...]]
    is_front: tuple[bool, ...]
    labels: tuple[str, ...]
    urls: tuple[str | None, ...]
    num_trials: int
    num_fields: int


def slices_info(front: StudyFront) -> SlicesInfo | None:
    """Collect objectives and fields of the front and of other trials; None if nothing varied between two networks.

    Of very many fields, those that matter most are shown, or the first if that is not known.
    """
    members = {record.number for record in front.members}
    others = [record for record in front.ranked if record.number not in members]
    room = max(2, _MOST_TRIALS - len(front.members))
    shown = [*thin_out(others, room), *thin_out(front.members, _MOST_TRIALS)]
    columns = [column for column in (_column(name, shown) for name in _fields(front)) if column is not None]
    if not columns:
        return None
    return SlicesInfo(
        columns=tuple(columns[:_MOST_FIELDS]),
        values={
            name: tuple(float(OBJECTIVES[name].value(scores_of(record)) or 0.0) for record in shown)
            for name in front.study.objectives
        },
        is_front=tuple(record.number in members for record in shown),
        labels=tuple(point_label(record) for record in shown),
        urls=tuple(front.study.run_url(record.number) for record in shown),
        num_trials=len(front.ranked),
        num_fields=len(columns),
    )


def draw_slices(front: StudyFront) -> Drawing | None:
    """Draw a row of small plots per objective; the front in colour, all other trials grey."""
    info = slices_info(front)
    if info is None:
        return None
    rows, columns = len(info.values), len(info.columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes="columns",
        shared_yaxes="rows",
        horizontal_spacing=0.02,
        vertical_spacing=0.04,
        figure=new_figure(height=90 + _ROW_HEIGHT * rows),
    )
    figure.update_xaxes(axis_style())
    figure.update_yaxes(axis_style())
    for row, (name, values) in enumerate(info.values.items(), start=1):
        for place, column in enumerate(info.columns, start=1):
            for is_front in (False, True):
                trace = _trace(info, column, values, is_front=is_front)
                trace.showlegend = row == place == 1
                figure.add_trace(trace, row=row, col=place)
        figure.update_yaxes(
            title_text=OBJECTIVES[name].label,
            tickformat=".0%" if name == "accuracy" else "~s",
            row=row,
            col=1,
        )
    for place, column in enumerate(info.columns, start=1):
        _label_fields(figure, column.axis, row=rows, place=place)
    return Drawing(figure=figure, note=_note(info), least_width=80 + _COLUMN_WIDTH * columns)


def _fields(front: StudyFront) -> list[str]:
    known = list(dict.fromkeys(name for record in front.ranked for name in record.varied))
    by_weight = list(next(iter((importances_info(front) or {}).values()), {}))
    return sorted(known, key=lambda name: by_weight.index(name) if name in by_weight else len(by_weight))


def _column(name: str, shown: list[TrialRecord]) -> SliceColumn | None:
    trials = [index for index, record in enumerate(shown) if name in record.varied]
    values = [shown[index].varied[name] for index in trials]
    if len(set(values)) < 2:
        return None
    return SliceColumn(axis=field_axis(name, values), trials=tuple(trials))


def _trace(info: SlicesInfo, column: SliceColumn, values: tuple[float, ...], *, is_front: bool) -> go.Scatter:
    picked = [
        (position, trial)
        for position, trial in zip(column.axis.positions, column.trials, strict=True)
        if info.is_front[trial] == is_front
    ]
    return go.Scatter(
        name="front" if is_front else "dominated networks",
        x=[_beside(position, trial, column.axis) for position, trial in picked],
        y=[values[trial] for _, trial in picked],
        mode="markers",
        marker={"color": ACCENT, "size": 7} if is_front else {"color": MUTED, "size": 5, "opacity": 0.7},
        text=[info.labels[trial] for _, trial in picked],
        customdata=[info.urls[trial] for _, trial in picked],
        hovertemplate="%{text}<extra></extra>",
    )


def _beside(position: float, trial: int, axis: FieldAxis) -> float:
    return position + _JITTER * (trial % _PLACES - _PLACES // 2) if axis.is_choice else position


def _label_fields(figure: go.Figure, axis: FieldAxis, *, row: int, place: int) -> None:
    ticks: dict[str, object] = {"tickformat": axis.tick_format}
    if axis.ticks:
        ticks = {"tickvals": axis.ticks, "ticktext": axis.tick_texts}
    figure.update_xaxes(title_text=axis.name, row=row, col=place, **ticks)


def _note(info: SlicesInfo) -> str:
    sentences = []
    if len(info.labels) < info.num_trials:
        sentences.append(f"{len(info.labels):,} of {info.num_trials:,} networks are drawn.")
    if len(info.columns) < info.num_fields:
        sentences.append(f"{info.num_fields - len(info.columns)} further settings are not drawn.")
    return " ".join(sentences)
