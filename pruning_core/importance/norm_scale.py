"""The size of the scale that batch normalisation gives a channel.

Shape suffixes used in this file:
    C  channels of the group
    S  positions per channel

References:
    Z. Liu, J. Li, Z. Shen, G. Huang, S. Yan, C. Zhang. Learning Efficient Convolutional Networks through Network
        Slimming. ICCV 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.channels.structures import ChannelGroup, ChannelUse, Role
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance.protocols import FilterImportance, ImportanceContext


class NormScaleImportance:
    """Mean absolute scale (gamma) of the channel in the batch normalisations behind its producers.

    A network trained without a penalty on the scales, as here, tells less by them than the paper's. A group without
    such a scale has no score: it is refused, because any number made up for it would decide how wide it gets.
    """

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Read the scores off the normalisations.

        Raises:
            UnsupportedNetworkError: Names the first group without a batch normalisation that has scales.
        """
        return {group.name: _mean_scale(context.network, group) for group in context.graph.groups}


def scales_of(network: nn.Module, use: ChannelUse) -> Tensor | None:
    """Return the scales ``(C, S)`` of a batch normalisation, float64 on the CPU; None for any other layer."""
    layer = network.get_submodule(use.layer)
    if use.role is not Role.FOLLOWS or not isinstance(layer, _BatchNorm) or not layer.affine:
        return None
    return layer.weight.detach().double().cpu()[torch.tensor(use.positions)]


def _mean_scale(network: nn.Module, group: ChannelGroup) -> Tensor:
    scales = [scales_of(network, use) for use in group.uses]
    known = [scale_CS.abs().mean(dim=1) for scale_CS in scales if scale_CS is not None]
    if not known:
        raise UnsupportedNetworkError(
            f"method bn_scale needs a batch normalisation with scales in every group, but group {group.name!r} has "
            "none; choose another method, such as group_norm"
        )
    return torch.stack(known).mean(dim=0)


if TYPE_CHECKING:
    _: FilterImportance = NormScaleImportance()
