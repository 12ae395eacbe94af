"""Importances that look at no image: chance, and the size of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGroup, ChannelUse, Role
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance.protocols import FilterImportance, ImportanceContext


class RandomImportance:
    """Uniform numbers in (0, 1]: what any criterion must beat."""

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Draw the scores; they depend on the seed and on the number of channels only."""
        generator = torch.Generator().manual_seed(context.seed)
        return {
            group.name: 1 - torch.rand(group.num_channels, generator=generator, dtype=torch.float64)
            for group in context.graph.groups
        }


class L1Importance:
    """Mean absolute weight of a channel's filter, summed over the layers that produce the channel.

    References:
        H. Li, A. Kadav, I. Durdanovic, H. Samet, H. P. Graf. Pruning Filters for Efficient ConvNets. ICLR 2017.
    """

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Read the scores off the weights."""
        return {group.name: _sum_of_filter_sizes(context.network, group) for group in context.graph.groups}


def _sum_of_filter_sizes(network: nn.Module, group: ChannelGroup) -> Tensor:
    total_C = torch.zeros(group.num_channels, dtype=torch.float64)
    for use in group.uses:
        if use.role is Role.PRODUCES:
            total_C += _filter_sizes(network, use)
    return total_C


def _filter_sizes(network: nn.Module, use: ChannelUse) -> Tensor:
    layer = network.get_submodule(use.layer)
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
        raise UnsupportedNetworkError(
            f"channels must be produced by a convolution or linear layer to be rated by their weights, "
            f"but layer {use.layer!r} is a {type(layer).__name__}"
        )
    size_O = layer.weight.detach().double().abs().flatten(start_dim=1).mean(dim=1).cpu()
    return torch.stack([size_O[list(positions)].mean() for positions in use.positions])


if TYPE_CHECKING:
    _random: FilterImportance = RandomImportance()
    _l1: FilterImportance = L1Importance()
