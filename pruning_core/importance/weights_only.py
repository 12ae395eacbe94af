"""Importances that look at no image: chance, and the size of a channel's own filters.

Shape suffixes used in this file:
    C  channels of the group
    F  weights per channel
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.importance.layer_weights import filters_of
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
        return {
            group.name: _total([f_CF.abs().mean(dim=1) for f_CF in filters_of(context.network, group)])
            for group in context.graph.groups
        }


class L2Importance:
    """Root mean square weight of a channel's filter, summed over the layers that produce the channel.

    References:
        Y. He, G. Kang, X. Dong, Y. Fu, Y. Yang. Soft Filter Pruning for Accelerating Deep Convolutional Neural
            Networks. IJCAI 2018.
    """

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Read the scores off the weights."""
        return {
            group.name: _total(
                [f_CF.square().mean(dim=1).sqrt() for f_CF in filters_of(context.network, group)]
            )
            for group in context.graph.groups
        }


class GeometricMedianImportance:
    """Mean Euclidean distance of a channel's filter to the other filters of its group: the nearest to their geometric
    median goes first, because the others can stand in for it.

    The filters of all layers that produce the channel count as one long filter; the paper prunes no coupled layers.

    References:
        Y. He, P. Liu, Z. Wang, Z. Hu, Y. Yang. Filter Pruning via Geometric Median for Deep Convolutional Neural
            Networks Acceleration. CVPR 2019.
    """

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Read the scores off the weights."""
        scores: dict[str, Tensor] = {}
        for group in context.graph.groups:
            filters_CF = torch.cat(filters_of(context.network, group), dim=1)
            distance_CC = torch.cdist(filters_CF, filters_CF)
            scores[group.name] = distance_CC.sum(dim=1) / max(1, len(filters_CF) - 1)
        return scores


def _total(sizes: list[Tensor]) -> Tensor:
    return torch.stack(sizes).sum(dim=0)


if TYPE_CHECKING:
    _random: FilterImportance = RandomImportance()
    _l1: FilterImportance = L1Importance()
    _l2: FilterImportance = L2Importance()
    _median: FilterImportance = GeometricMedianImportance()
