"""Whether fewer MACs were faster: measured latency over MACs."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from reports.formats import amount, counted, slim_accuracy
from reports.fronts import StudyFront, scores_of
from reports.plots.drawing import Drawing
from reports.plots.theme import ACCENT, DENSE, WARNING, new_figure

__all__ = ["LatencyInfo", "LatencyPoint", "draw_latencies", "latency_info"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyPoint:
    """One network: MACs, milliseconds of one forward pass, label, and whether it is slower than its dense original."""

    macs: int
    latency_ms: float
    label: str
    is_slower: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyInfo:
    """Measured networks of the front, and the dense ones."""

    slim: tuple[LatencyPoint, ...]
    dense: tuple[LatencyPoint, ...]


def latency_info(front: StudyFront) -> LatencyInfo | None:
    """Collect measured latencies of the front; None if nothing was measured."""
    slim: list[LatencyPoint] = []
    dense: set[tuple[int, float]] = set()
    for record in front.points:
        scores = scores_of(record)
        if scores.latency_ms is None:
            continue
        label = (
            f"<b>Trial {record.number}</b><br>accuracy {slim_accuracy(scores)}<br>{amount(scores.macs)} MACs"
        )
        is_slower = scores.dense_latency_ms is not None and scores.latency_ms > scores.dense_latency_ms
        slim.append(
            LatencyPoint(macs=scores.macs, latency_ms=scores.latency_ms, label=label, is_slower=is_slower)
        )
        if scores.dense_latency_ms is not None:
            dense.add((scores.dense_macs, scores.dense_latency_ms))
    if not slim:
        return None
    originals = (
        LatencyPoint(macs=macs, latency_ms=latency_ms, label="Dense network", is_slower=False)
        for macs, latency_ms in sorted(dense)
    )
    return LatencyInfo(slim=tuple(slim), dense=tuple(originals))


def draw_latencies(front: StudyFront) -> Drawing | None:
    """Draw latency over MACs; networks slower than the dense one stand out and are counted in the note."""
    info = latency_info(front)
    if info is None:
        return None
    figure = new_figure(x_title="FLOPs (MACs)", y_title="latency by the table of layers (ms)", height=360)
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
