"""The weights of a layer that belong to each channel of a group.

Shape suffixes used in this file:
    C  channels of the group
    F  weights per channel
"""

from __future__ import annotations

from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGroup, ChannelUse, Role
from pruning_core.errors import UnsupportedNetworkError


def filters_of(network: nn.Module, group: ChannelGroup) -> list[Tensor]:
    """Return the filters ``(C, F)`` of each layer that produces a group's channels, float64 on the CPU.

    Raises:
        UnsupportedNetworkError: A producer is neither a convolution nor a linear layer.
    """
    return [outgoing_weights(network, use) for use in group.uses if use.role is Role.PRODUCES]


def outgoing_weights(network: nn.Module, use: ChannelUse) -> Tensor:
    """Return the weights ``(C, F)`` that make the channels, float64 on the CPU.

    Raises:
        UnsupportedNetworkError: The layer is neither a convolution nor a linear layer.
    """
    weight = _weight_of(network, use, "produced")
    return _rows_of_channels(weight.flatten(start_dim=1), use)


def incoming_weights(network: nn.Module, use: ChannelUse) -> Tensor:
    """Return the weights ``(C, F)`` that read the channels, float64 on the CPU.

    Raises:
        UnsupportedNetworkError: The layer is neither a convolution nor a linear layer.
    """
    weight = _weight_of(network, use, "read")
    return _rows_of_channels(weight.transpose(0, 1).flatten(start_dim=1), use)


def _weight_of(network: nn.Module, use: ChannelUse, verb: str) -> Tensor:
    layer = network.get_submodule(use.layer)
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
        raise UnsupportedNetworkError(
            f"channels must be {verb} by a convolution or linear layer to be rated by their weights, "
            f"but layer {use.layer!r} is a {type(layer).__name__}"
        )
    return layer.weight.detach().double().cpu()


def _rows_of_channels(weight_PF: Tensor, use: ChannelUse) -> Tensor:
    """Turn one row per position into one row per channel."""
    return weight_PF[[position for positions in use.positions for position in positions]].reshape(
        len(use.positions), -1
    )
