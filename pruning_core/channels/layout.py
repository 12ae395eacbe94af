"""Which positions of each layer a slim network keeps: plain data that rebuilds it without tracing or pickling."""

from __future__ import annotations

from collections import defaultdict
from typing import TypedDict

from torch import nn

from pruning_core.channels.layer_shapes import layer_shape
from pruning_core.channels.structures import ChannelGraph, ChannelSelection, Role


class LayerLayout(TypedDict, total=False):
    """Positions that stay, ascending, and how many the dense layer has. An end that keeps all is left out."""

    kept_in: list[int]
    dense_in: int
    kept_out: list[int]
    dense_out: int


Layout = dict[str, LayerLayout]


def slim_layout(network: nn.Module, graph: ChannelGraph, selection: ChannelSelection) -> Layout:
    """Return what each layer of the dense network keeps, by name; JSON can hold it.

    Raises:
        InvalidSettingsError: The selection is not about the groups of this graph.
    """
    graph.check_selection(selection)
    gone_in: dict[str, set[int]] = defaultdict(set)
    gone_out: dict[str, set[int]] = defaultdict(set)
    for group in graph.groups:
        gone = sorted(set(range(group.num_channels)) - set(selection.kept[group.name]))
        for use in group.uses:
            side = gone_in if use.role is Role.CONSUMES else gone_out
            side[use.layer].update(position for channel in gone for position in use.positions[channel])
    layout: Layout = {}
    for name, module in network.named_modules():
        shape = layer_shape(module)
        if shape is None:
            continue
        entry = LayerLayout()
        if gone_in[name]:
            entry |= {"kept_in": _others(shape.in_width, gone_in[name]), "dense_in": shape.in_width}
        if gone_out[name]:
            entry |= {"kept_out": _others(shape.out_width, gone_out[name]), "dense_out": shape.out_width}
        if entry:
            layout[name] = entry
    return layout


def _others(width: int, gone: set[int]) -> list[int]:
    return [position for position in range(width) if position not in gone]
