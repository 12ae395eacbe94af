"""Input and output positions of layers as linear functions of the kept counts.

Shape suffixes used in this file:
    L  layers
    G  channel groups
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from pruning_core.channels.layer_shapes import layer_shape
from pruning_core.channels.resource_costs import Counts
from pruning_core.channels.structures import ChannelGraph, ChannelUse, Role


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LinearCounts:
    """Positions along one end of each layer: ``fixed_L`` ones, and ``slopes_LG`` per kept channel of each group."""

    fixed_L: Counts
    slopes_LG: Counts

    def at(self, widths_G: Counts) -> Counts:
        """Return the number of positions at these kept counts; rows of widths give rows of positions."""
        positions: Counts = widths_G @ self.slopes_LG.T + self.fixed_L
        return positions


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerWidths:
    """Both ends of the layers ``names``.

    ``inputs`` of a layer that works on each channel alone (depthwise or grouped convolution, normalisation) are
    the fixed few that one output sees.
    """

    names: tuple[str, ...]
    inputs: LinearCounts
    outputs: LinearCounts

    def only(self, names: Sequence[str]) -> LayerWidths:
        """Return the widths of some of the layers, in the order given; a layer may be named twice."""
        place = {name: index for index, name in enumerate(self.names)}
        chosen = [place[name] for name in names]
        ends = [
            LinearCounts(fixed_L=end.fixed_L[chosen], slopes_LG=end.slopes_LG[chosen])
            for end in (self.inputs, self.outputs)
        ]
        return LayerWidths(names=tuple(names), inputs=ends[0], outputs=ends[1])


def layer_widths(network: nn.Module, graph: ChannelGraph, names: Sequence[str]) -> LayerWidths:
    """Return how wide layers that can be sliced are for any kept counts."""
    ends: dict[tuple[str, bool], dict[int, ChannelUse]] = {}
    for index, group in enumerate(graph.groups):
        for use in group.uses:
            ends.setdefault((use.layer, use.role is not Role.CONSUMES), {})[index] = use
    rows: dict[bool, list[tuple[int, Mapping[int, int]]]] = {False: [], True: []}
    for name in names:
        shape = layer_shape(network.get_submodule(name))
        assert shape is not None
        rows[True].append(_count(shape.out_width, ends.get((name, True), {})))
        rows[False].append(
            _count(shape.in_width, ends.get((name, False), {}))
            if shape.mixes_channels
            else (shape.in_width // shape.conv_groups, {})
        )
    num_groups = len(graph.groups)
    return LayerWidths(
        names=tuple(names), inputs=_counts(rows[False], num_groups), outputs=_counts(rows[True], num_groups)
    )


def _count(width: int, uses: Mapping[int, ChannelUse]) -> tuple[int, Mapping[int, int]]:
    slopes = {group: len(use.positions[0]) for group, use in uses.items()}
    movable = sum(slopes[group] * len(use.positions) for group, use in uses.items())
    return width - movable, slopes


def _counts(rows: Sequence[tuple[int, Mapping[int, int]]], num_groups: int) -> LinearCounts:
    slopes_LG = np.zeros((len(rows), num_groups), dtype=np.int64)
    for row, (_, slopes) in enumerate(rows):
        for group, slope in slopes.items():
            slopes_LG[row, group] = slope
    return LinearCounts(fixed_L=np.array([fixed for fixed, _ in rows], dtype=np.int64), slopes_LG=slopes_LG)
