"""The size of all weights that go with a channel, relative to its group: group norm and LAMP.

    magnitude_c = mean over the group's layers of the sum of squared weights of channel c

The layers are those that produce the channels, those that read them, and the scales of the normalisations between.
Convolutions that work on each channel alone are left out, as torch_pruning does.

Shape suffixes used in this file:
    C  channels of the group
    S  positions per channel

References:
    [Fang2023] G. Fang, X. Ma, M. Song, M. B. Mi, X. Wang. DepGraph: Towards Any Structural Pruning. CVPR 2023.
    [Lee2021] J. Lee, S. Park, S. Mo, S. Ahn, J. Shin. Layer-adaptive Sparsity for the Magnitude-based Pruning.
        ICLR 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGroup, ChannelUse, Role
from pruning_core.importance.layer_weights import incoming_weights, outgoing_weights
from pruning_core.importance.norm_scale import scales_of
from pruning_core.importance.protocols import FilterImportance, ImportanceContext


class GroupNormImportance:
    """Magnitude divided by its mean over the group, after [Fang2023]: 1 is an average channel of any group."""

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Read the scores off the weights."""
        return {
            group.name: relative_to_mean(group_magnitude(context.network, group))
            for group in context.graph.groups
        }


class LampImportance:
    """Magnitude as a share of all magnitudes of the group that are not smaller, after [Lee2021].

    The score is the share of the group's remaining energy that would go if the channel went next, all smaller ones
    being gone. The largest channel of every group has score 1. In the paper single weights of a layer are scored.
    """

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Read the scores off the weights."""
        return {
            group.name: layer_adaptive(group_magnitude(context.network, group))
            for group in context.graph.groups
        }


def group_magnitude(network: nn.Module, group: ChannelGroup) -> Tensor:
    """Return the magnitude ``(C,)`` of a group's channels, float64 on the CPU."""
    squares = [_squares(network, use) for use in group.uses]
    known = [square_C for square_C in squares if square_C is not None]
    return torch.stack(known).mean(dim=0)


def relative_to_mean(magnitude_C: Tensor) -> Tensor:
    """Divide by the mean; all zeros stay zeros."""
    mean = magnitude_C.mean()
    return magnitude_C / mean if mean > 0 else torch.zeros_like(magnitude_C)


def layer_adaptive(magnitude_C: Tensor) -> Tensor:
    """Divide each number by the sum of itself and all larger ones; of equal ones the later is the larger."""
    ranked = magnitude_C.sort(stable=True)
    left_C = ranked.values.flip(0).cumsum(0).flip(0)
    share_C = torch.where(left_C > 0, ranked.values / left_C, torch.zeros_like(left_C))
    return torch.empty_like(share_C).scatter(0, ranked.indices, share_C)


def _squares(network: nn.Module, use: ChannelUse) -> Tensor | None:
    """Return the sum of squared weights per channel in one layer; None where the layer does not count."""
    if use.role is Role.PRODUCES:
        return outgoing_weights(network, use).square().sum(dim=1)
    if use.role is Role.CONSUMES:
        return incoming_weights(network, use).square().sum(dim=1)
    scale_CS = scales_of(network, use)
    return scale_CS.square().sum(dim=1) if scale_CS is not None else None


if TYPE_CHECKING:
    _norm: FilterImportance = GroupNormImportance()
    _lamp: FilterImportance = LampImportance()
