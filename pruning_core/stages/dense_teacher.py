"""The dense network as what a slim one learns from while it is fine-tuned.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height and width of a map
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.channels.weight_gates import kept_map_positions
from pruning_core.config import DistillationConfig
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.saliency import Tap, find_taps
from pruning_core.training import Teacher


def feature_taps(
    dense: nn.Module, input_shape: tuple[int, int, int], settings: DistillationConfig
) -> tuple[Tap, ...]:
    """Return the maps that fine-tuning holds to the dense network's; none where it holds outputs alone.

    A network without any map of at least 2 x 2 pixels has none to hold.
    """
    if settings.features == 0:
        return ()
    try:
        return find_taps(dense, input_shape)
    except UnsupportedNetworkError:
        return ()


def dense_teacher(
    dense: nn.Module, taps: Sequence[Tap], graph: ChannelGraph, selection: ChannelSelection
) -> Teacher:
    """Return what teaches the slim network: the dense one's outputs, and of its tapped maps the kept channels.

    Args:
        dense: The network that was pruned.
        taps: Among those of ``graph``.
        graph: The dense network's groups.
        selection: What the slim network kept.
    """
    kept = {tap.layer: kept_map_positions(tap.layer, tap.num_channels, graph, selection) for tap in taps}

    def kept_channels(layer: str, map_NCHW: Tensor) -> Tensor:
        if map_NCHW.shape[1] == len(kept[layer]):
            return map_NCHW
        return map_NCHW[:, kept[layer].to(map_NCHW.device, non_blocking=True)]

    return Teacher(network=dense, layers=tuple(kept), student_channels=kept_channels)
