"""Whether fewer MACs were faster: measured latency over MACs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import plotly.graph_objects as go

from reports.formats import counted
from reports.fronts import StudyFront, scores_of
from reports.plots.drawing import Drawing
from reports.plots.front_pairs import point_label
from reports.plots.theme import ACCENT, DENSE, SERIES, WARNING, new_figure

__all__ = ["LatencyInfo", "LatencyPoint", "draw_latencies", "latency_info"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyPoint:
    """One network: MACs, milliseconds of one forward pass, label, link, and whether it is slower than its dense one.

    ``is_slower_than_larger``: than some network of the front that has more MACs.
    """

    macs: int
    latency_ms: float
    label: str
    is_slower: bool
    is_slower_than_larger: bool = False
    url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyInfo:
    """Measured networks of the front, and the dense ones."""

    slim: tuple[LatencyPoint, ...]
    dense: tuple[LatencyPoint, ...]


def latency_info(front: StudyFront) -> LatencyInfo | None:
    """Collect measured latencies of the front; None if nothing was measured."""
    slim: list[LatencyPoint] = []
    dense: set[tuple[int, float]] = set()
    fastest = float("inf")  # of the networks with more MACs: points come most MACs first
    for macs, same in groupby(front.points, key=lambda record: scores_of(record).macs):
        timed = [(record, scores_of(record)) for record in same]
        latencies = [scores.latency_ms for _, scores in timed if scores.latency_ms is not None]
        for record, scores in timed:
            if scores.latency_ms is None:
                continue
            dense_ms = scores.dense_latency_ms
            if dense_ms is not None:
                dense.add((scores.dense_macs, dense_ms))
            slim.append(
                LatencyPoint(
                    macs=macs,
                    latency_ms=scores.latency_ms,
                    label=point_label(record),
                    is_slower=dense_ms is not None and scores.latency_ms > dense_ms,
                    is_slower_than_larger=scores.latency_ms > fastest,
                    url=front.study.run_url(record.number),
                )
            )
        fastest = min([fastest, *latencies])
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
    beaten = [point for point in info.slim if point.is_slower_than_larger and not point.is_slower]
    good = [point for point in info.slim if not point.is_slower and not point.is_slower_than_larger]
    layers = (
        ("front", good, ACCENT, "circle", 9),
        ("slower than a larger one", beaten, SERIES[2], "triangle-up", 10),
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
                    customdata=[point.url for point in points],
                    hovertemplate="%{text}<br>%{y:.3g} ms<extra></extra>",
                )
            )
    figure.update_xaxes(tickformat="~s")
    figure.update_yaxes(rangemode="tozero")
    return Drawing(figure=figure, note=_warning(len(slower), len(beaten)))


def _warning(num_slower: int, num_beaten: int) -> str:
    sentences = []
    if num_slower:
        sentences.append(f"{counted(num_slower, 'network')} with fewer MACs but slower than dense.")
    if num_beaten:
        sentences.append(
            f"{counted(num_beaten, 'network')} with fewer MACs but slower than a larger network of the front."
        )
    return " ".join(sentences)
