"""Give the maps of a slim network their dense width again, so that a decoder made for the dense one can read them.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from torch import Tensor

from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.channels.weight_gates import kept_map_positions


def scatter_map(
    map_NCHW: Tensor, layer: str, num_channels: int, graph: ChannelGraph, selection: ChannelSelection
) -> Tensor:
    """Put the channels of a slim map where they lay in the dense network; removed ones are zero.

    Args:
        map_NCHW: Output of ``layer`` in the slim network.
        layer: A tap of ``graph``.
        num_channels: Width of that map in the dense network.
        graph: The dense network's groups.
        selection: What the slim network kept.
    """
    if map_NCHW.shape[1] == num_channels:
        return map_NCHW
    positions_C = kept_map_positions(layer, num_channels, graph, selection).to(map_NCHW.device)
    wide_NCHW = map_NCHW.new_zeros(map_NCHW.shape[0], num_channels, *map_NCHW.shape[2:])
    return wide_NCHW.index_copy(1, positions_C, map_NCHW)
