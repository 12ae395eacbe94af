"""Whether fewer MACs were faster: latency over MACs, measured end to end where it was, or by the table of layers."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from reports.formats import amount, counted, slim_accuracy
from reports.fronts import StudyFront, scores_of
from reports.latency_records import LatencyMeasurement, latest_of
from reports.plots.drawing import Drawing
from reports.plots.theme import ACCENT, DENSE, WARNING, new_figure
from reports.records import TrialRecord

__all__ = ["LatencyInfo", "LatencyPoint", "draw_latencies", "latency_info"]

_BY_TABLE = "latency by the table of layers (ms)"


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyPoint:
    """One network: MACs, milliseconds of one forward pass, label, and whether it is slower than its dense original."""

    macs: int
    latency_ms: float
    label: str
    is_slower: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyInfo:
    """Networks of the front whose latency is known, and the dense ones. ``axis``: how it was found."""

    slim: tuple[LatencyPoint, ...]
    dense: tuple[LatencyPoint, ...]
    axis: str = _BY_TABLE


def latency_info(front: StudyFront) -> LatencyInfo | None:
    """Collect latencies of the front: measured ones, or those by the table if none was measured; None without any."""
    measured = [(record, latest_of(front.study.latencies, record.number)) for record in front.points]
    found = [(record, measurement) for record, measurement in measured if measurement is not None]
    return _by_measurement(found) if found else _by_table(front)


def draw_latencies(front: StudyFront) -> Drawing | None:
    """Draw latency over MACs; networks slower than the dense one stand out and are counted in the note."""
    info = latency_info(front)
    if info is None:
        return None
    figure = new_figure(x_title="FLOPs (MACs)", y_title=info.axis, height=360)
    slower = [point for point in info.slim if point.is_slower]
    layers = (
        ("front", [point for point in info.slim if not point.is_slower], ACCENT, "circle", 9),
        ("slower than dense", slower, WARNING, "x", 10),
        ("dense network", list(info.dense), DENSE, "star", 15),
    )
    for name, points, colour, symbol, size in layers:
        if points:
            figure.add_trace(
                go.Scatter(
                    name=name,
                    x=[point.macs for point in points],
                    y=[point.latency_ms for point in points],
                    mode="markers",
                    marker={"color": colour, "symbol": symbol, "size": size},
                    text=[point.label for point in points],
                    hovertemplate="%{text}<br>%{y:.3g} ms<extra></extra>",
                )
            )
    figure.update_xaxes(tickformat="~s")
    figure.update_yaxes(rangemode="tozero")
    note = f"{counted(len(slower), 'network')} with fewer MACs but slower than dense." if slower else ""
    return Drawing(figure=figure, note=note)


def _by_measurement(found: list[tuple[TrialRecord, LatencyMeasurement]]) -> LatencyInfo:
    """Return medians in the first runtime that all were measured in; points of one plot share a runtime."""
    times = [
        one.times for record, measurement in found if (one := measurement.of_trial(record.number)) is not None
    ]
    runtime = next((name for name in times[0] if all(name in other for other in times)), next(iter(times[0])))
    slim, dense = [], set()
    for record, measurement in found:
        network = measurement.of_trial(record.number)
        if network is None or runtime not in network.times:
            continue
        latency_ms, original = network.times[runtime].median_ms, measurement.dense_of(network)
        original_ms = None if original is None else original.times[runtime].median_ms
        slim.append(_slim_point(record, latency_ms, original_ms))
        if original is not None and original_ms is not None:
            dense.add((original.macs, original_ms))
    return LatencyInfo(
        slim=tuple(slim), dense=_dense_points(dense), axis=f"latency measured in {runtime}, median (ms)"
    )


def _by_table(front: StudyFront) -> LatencyInfo | None:
    slim, dense = [], set()
    for record in front.points:
        scores = scores_of(record)
        if scores.latency_ms is None:
            continue
        slim.append(_slim_point(record, scores.latency_ms, scores.dense_latency_ms))
        if scores.dense_latency_ms is not None:
            dense.add((scores.dense_macs, scores.dense_latency_ms))
    return LatencyInfo(slim=tuple(slim), dense=_dense_points(dense)) if slim else None


def _slim_point(record: TrialRecord, latency_ms: float, dense_ms: float | None) -> LatencyPoint:
    scores = scores_of(record)
    return LatencyPoint(
        macs=scores.macs,
        latency_ms=latency_ms,
        label=f"<b>Trial {record.number}</b><br>accuracy {slim_accuracy(scores)}<br>{amount(scores.macs)} MACs",
        is_slower=dense_ms is not None and latency_ms > dense_ms,
    )


def _dense_points(dense: set[tuple[int, float]]) -> tuple[LatencyPoint, ...]:
    return tuple(
        LatencyPoint(macs=macs, latency_ms=latency_ms, label="Dense network", is_slower=False)
        for macs, latency_ms in sorted(dense)
    )
