"""Which layers the front's networks keep wide."""

from __future__ import annotations

from dataclasses import dataclass

from reports.formats import percent, slim_accuracy
from reports.fronts import StudyFront, scores_of
from reports.plots.drawing import Drawing
from reports.plots.share_map import draw_share_map
from reports.plots.theme import thin_out

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
    figure = draw_share_map(
        height=120 + max(180, 22 * len(info.networks)),
        title="kept",
        x=info.groups,
        y=info.networks,
        z=info.shares,
        text=info.texts,
        hovertemplate="trial %{y}<br>%{x}: %{text} channels kept<extra></extra>",
    )
    figure.update_xaxes(tickangle=-40)
    left_out = info.num_networks - len(info.networks)
    note = f"{left_out} networks between these are left out." if left_out else ""
    return Drawing(figure=figure, note=note, least_width=240 + 22 * len(info.groups))
