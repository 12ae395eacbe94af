"""Latency by a measured table as a function of the kept counts: the sum over the layers it knows, and its rest.

Shape suffixes used in this file:
    G     channel groups
    K     layers that share a grid
    I, J  grid points along input and output channels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.channels.layer_trace import evaluation_copy, example_images
from pruning_core.channels.layer_widths import LayerWidths, LinearCounts, layer_widths
from pruning_core.channels.resource_costs import Counts, alternatives, counts_beside
from pruning_core.channels.structures import ChannelGraph
from pruning_core.latency.layer_work import LayerCall, parallel_convolutions, trace_calls
from pruning_core.latency.table import LatencyGrid, LatencyTable


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LatencyCost:
    """Nanoseconds of a network. ``parts``: layers that share a grid, with their widths. ``rest``: of no layer."""

    parts: tuple[tuple[LatencyGrid, LayerWidths], ...]
    rest: int

    def cost(self, widths_G: Tensor) -> Tensor:
        """Return the sum of the bilinear interpolations, differentiable between grid points."""
        total = widths_G.new_full((), self.rest)
        for grid, layers in self.parts:
            total = (
                total + _interpolate(grid, _at(layers.inputs, widths_G), _at(layers.outputs, widths_G)).sum()
            )
        return total

    def exact(self, widths: Sequence[int] | Counts) -> int:
        """Return the sum at whole kept counts, each layer rounded down to a nanosecond."""
        return int(self._totals(np.asarray(widths, dtype=np.int64)))

    def changes(self, widths_G: Counts, target_G: Counts) -> Counts:
        """Return the change of the sum if one group alone goes to its target."""
        changes_G: Counts = self._totals(alternatives(widths_G, target_G)) - self.exact(widths_G)
        return changes_G

    def relief(self, widths_G: Counts, target_G: Counts, limit: int) -> Counts:  # noqa: ARG002 - part of the protocol
        """Return the changes with the sign turned."""
        return -self.changes(widths_G, target_G)

    def _totals(self, widths: Counts) -> Counts:
        totals: Counts = np.full(widths.shape[:-1], self.rest, dtype=np.int64)
        for grid, layers in self.parts:
            totals = totals + grid.at(layers.inputs.at(widths), layers.outputs.at(widths)).sum(axis=-1)
        return totals


def latency_cost(
    network: nn.Module, graph: ChannelGraph, input_shape: tuple[int, int, int], table: LatencyTable
) -> LatencyCost:
    """Find the layers of a network in a table.

    Args:
        network: The dense network.
        graph: Its channel groups.
        input_shape: (channels, height, width) of one image.
        table: Measured for this network, or one whose layers cover its layers.

    Raises:
        InvalidSettingsError: The table lacks a layer.
    """
    by_key: dict[str, list[LayerCall]] = {}
    grids: dict[str, LatencyGrid] = {}
    for call in trace_calls(evaluation_copy(network), example_images(network, input_shape, num_images=1)):
        grids[call.key] = table.grid(call.key, call.inputs, call.outputs)
        by_key.setdefault(call.key, []).append(call)
    return LatencyCost(
        parts=tuple((grids[key], _widths(network, graph, calls)) for key, calls in by_key.items()),
        rest=table.rest_nanoseconds,
    )


def latency_by_table(
    network: nn.Module, input_shape: tuple[int, int, int], table: LatencyTable, dense: nn.Module | None = None
) -> int:
    """Look up the layers of a network as it is and return nanoseconds, the table's rest included; a slim one comes
    with its dense one.

    Raises:
        InvalidSettingsError: The table lacks a layer.
    """
    parallel = parallel_convolutions(network if dense is None else dense)
    calls = trace_calls(
        evaluation_copy(network), example_images(network, input_shape, num_images=1), parallel
    )
    return table.rest_nanoseconds + sum(
        int(table.grid(call.key, call.inputs, call.outputs).at(*np.array([[call.inputs], [call.outputs]]))[0])
        for call in calls
    )


def _widths(network: nn.Module, graph: ChannelGraph, calls: Sequence[LayerCall]) -> LayerWidths:
    names = [call.layer for call in calls]
    layers = layer_widths(network, graph, names)
    if calls[0].mixes_channels:
        return layers
    alone = LinearCounts(
        fixed_L=np.ones_like(layers.inputs.fixed_L), slopes_LG=np.zeros_like(layers.inputs.slopes_LG)
    )
    return LayerWidths(names=layers.names, inputs=alone, outputs=layers.outputs)


def _at(counts: LinearCounts, widths_G: Tensor) -> Tensor:
    slopes_KG = counts_beside(widths_G, counts.slopes_LG)
    return slopes_KG @ widths_G + counts_beside(widths_G, counts.fixed_L)


def _interpolate(grid: LatencyGrid, in_K: Tensor, out_K: Tensor) -> Tensor:
    ns_IJ = counts_beside(in_K, grid.nanoseconds)
    low_i_K, high_i_K, part_in_K = _place(grid.inputs, in_K)
    low_j_K, high_j_K, part_out_K = _place(grid.outputs, out_K)
    low_K = torch.lerp(ns_IJ[low_i_K, low_j_K], ns_IJ[low_i_K, high_j_K], part_out_K)
    high_K = torch.lerp(ns_IJ[high_i_K, low_j_K], ns_IJ[high_i_K, high_j_K], part_out_K)
    return torch.lerp(low_K, high_K, part_in_K)


def _place(axis: Sequence[int], width_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the grid points below and above each width, and how far it is from the one to the other."""
    if len(axis) == 1:
        zero_K = torch.zeros_like(width_K, dtype=torch.long)
        return zero_K, zero_K, torch.zeros_like(width_K)
    points = torch.tensor(axis, dtype=width_K.dtype).to(width_K.device, non_blocking=True)
    high_K = torch.searchsorted(points, width_K.detach()).clamp(1, len(axis) - 1)
    return high_K - 1, high_K, (width_K - points[high_K - 1]) / (points[high_K] - points[high_K - 1])
