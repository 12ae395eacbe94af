"""Whether fewer MACs were faster: latency over MACs, measured end to end where it was, or by the table of layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import plotly.graph_objects as go

from reports.formats import counted
from reports.fronts import StudyFront, scores_of
from reports.latency_records import latest_of
from reports.plots.drawing import Drawing
from reports.plots.front_pairs import point_label
from reports.plots.theme import ACCENT, DENSE, SERIES, WARNING, new_figure
from reports.records import TrialRecord

__all__ = ["LatencyInfo", "LatencyPoint", "draw_latencies", "latency_info"]

_BY_TABLE = "latency by the table of layers (ms)"


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
    """Networks of the front whose latency is known, and the dense ones. ``axis``: how it was found."""

    slim: tuple[LatencyPoint, ...]
    dense: tuple[LatencyPoint, ...]
    axis: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timed:
    """A network, its milliseconds, and the MACs and milliseconds of the dense one, where known."""

    record: TrialRecord
    latency_ms: float
    dense: tuple[int, float] | None


def latency_info(front: StudyFront) -> LatencyInfo | None:
    """Collect latencies of the front: measured ones, or those by the table if none was measured; None without any."""
    timed, axis = _measured(front)
    if not timed:
        timed, axis = _by_table(front), _BY_TABLE
    if not timed:
        return None
    slim: list[LatencyPoint] = []
    fastest = float("inf")  # of the networks with more MACs: points come most MACs first
    for macs, same in groupby(timed, key=lambda one: scores_of(one.record).macs):
        together = list(same)
        slim += [
            LatencyPoint(
                macs=macs,
                latency_ms=one.latency_ms,
                label=point_label(one.record),
                is_slower=one.dense is not None and one.latency_ms > one.dense[1],
                is_slower_than_larger=one.latency_ms > fastest,
                url=front.study.run_url(one.record.number),
            )
            for one in together
        ]
        fastest = min(fastest, *(one.latency_ms for one in together))
    dense = tuple(
        LatencyPoint(macs=macs, latency_ms=latency_ms, label="Dense network", is_slower=False)
        for macs, latency_ms in sorted({one.dense for one in timed if one.dense is not None})
    )
    return LatencyInfo(slim=tuple(slim), dense=dense, axis=axis)


def draw_latencies(front: StudyFront) -> Drawing | None:
    """Draw latency over MACs; networks slower than the dense one stand out and are counted in the note."""
    info = latency_info(front)
    if info is None:
        return None
    figure = new_figure(x_title="FLOPs (MACs)", y_title=info.axis, height=360)
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


def _measured(front: StudyFront) -> tuple[list[_Timed], str]:
    """Return medians in the first runtime that all were measured in, and what the axis is: one plot has one runtime."""
    found = [
        (record, measurement, network)
        for record in front.points
        if (measurement := latest_of(front.study.latencies, record.number)) is not None
        and (network := measurement.of_trial(record.number)) is not None
    ]
    if not found:
        return [], ""
    all_times = [network.times for _, _, network in found]
    runtime = next((name for name in all_times[0] if all(name in times for times in all_times)), None)
    if runtime is None:
        runtime = next(iter(all_times[0]))
    timed = []
    for record, measurement, network in found:
        if runtime not in network.times:
            continue
        original = measurement.dense_of(network)
        dense = (
            None
            if original is None or runtime not in original.times
            else (original.macs, original.times[runtime].median_ms)
        )
        timed.append(_Timed(record=record, latency_ms=network.times[runtime].median_ms, dense=dense))
    return timed, f"latency measured in {runtime}, median (ms)"


def _by_table(front: StudyFront) -> list[_Timed]:
    timed = []
    for record in front.points:
        scores = scores_of(record)
        if scores.latency_ms is not None:
            dense = None if scores.dense_latency_ms is None else (scores.dense_macs, scores.dense_latency_ms)
            timed.append(_Timed(record=record, latency_ms=scores.latency_ms, dense=dense))
    return timed
