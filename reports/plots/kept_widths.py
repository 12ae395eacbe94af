"""Which layers the front's networks keep wide."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from reports.formats import percent, slim_accuracy
from reports.fronts import StudyFront, scores_of
from reports.plots.drawing import Drawing
from reports.plots.theme import SCALE, SUBTLE, new_figure, thin_out

__all__ = ["KeptWidthsInfo", "draw_kept_widths", "kept_widths_info"]

_MOST_NETWORKS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptWidthsInfo:
    """``shares[network][group]`` and ``texts`` likewise; None and "" where a network has no such group."""

    networks: tuple[str, ...]
    groups: tuple[str, ...]
    shares: tuple[tuple[float | None, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    num_networks: int


def kept_widths_info(front: StudyFront) -> KeptWidthsInfo | None:
    """Collect kept channels per group of the front's networks, largest first; None if no group is known."""
    members = [record for record in front.points if record.kept]
    if not members:
        return None
    shown = thin_out(members, _MOST_NETWORKS)
    groups = tuple(dict.fromkeys(group for record in shown for group in record.kept))
    kept = [[record.kept.get(group) for group in groups] for record in shown]
    return KeptWidthsInfo(
        networks=tuple(
            f"{record.number}: {slim_accuracy(scores_of(record))} at {percent(scores_of(record).macs_share, 0)}"
            for record in shown
        ),
        groups=groups,
        shares=tuple(tuple(None if pair is None else pair[0] / pair[1] for pair in row) for row in kept),
        texts=tuple(tuple("" if pair is None else f"{pair[0]} of {pair[1]}" for pair in row) for row in kept),
        num_networks=len(members),
    )


def draw_kept_widths(front: StudyFront) -> Drawing | None:
    """Draw a heat map: one row per network, one column per group of channels, dark where all channels stay."""
    info = kept_widths_info(front)
    if info is None:
        return None
    figure = new_figure(height=120 + max(180, 22 * len(info.networks)))
    figure.add_trace(
        go.Heatmap(
            x=info.groups,
            y=info.networks,
            z=info.shares,
            text=info.texts,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorscale=[[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)],
            colorbar={
                "tickformat": ".0%",
                "thickness": 8,
                "outlinewidth": 0,
                "title": {"text": "kept", "font": {"color": SUBTLE, "size": 12}},
                "tickfont": {"color": SUBTLE, "size": 11},
            },
            hovertemplate="trial %{y}<br>%{x}: %{text} channels kept<extra></extra>",
        )
    )
    figure.update_layout(margin={"t": 32})
    figure.update_xaxes(type="category", tickangle=-40, showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    left_out = info.num_networks - len(info.networks)
    note = f"{left_out} networks between these are left out." if left_out else ""
    return Drawing(figure=figure, note=note, least_width=240 + 22 * len(info.groups))
