"""Networks from a user's own ``module:function``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from pruning_core.architectures.attention import refuse_attention
from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidSettingsError, UnsupportedNetworkError
from pruning_core.user_functions import load_user_function


def build_user_network(config: ArchitectureConfig, *, num_classes: int, in_channels: int) -> nn.Module:
    """Call the function with ``num_classes`` and ``in_channels``.

    Raises:
        InvalidSettingsError: There is no such function, or it returns no network.
        UnsupportedNetworkError: The network has attention layers, or parameters that are not float32 or not yet made.
    """
    network = load_user_function(config.name)(num_classes=num_classes, in_channels=in_channels)
    if not isinstance(network, nn.Module):
        raise InvalidSettingsError(
            f"{config.name!r} must return a torch.nn.Module, but it returned {type(network).__name__}"
        )
    refuse_attention(network, config.name)
    _check_parameters(network, config.name)
    return network


def _check_parameters(network: nn.Module, function: str) -> None:
    for name, parameter in network.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise UnsupportedNetworkError(
                f"{function!r} must return a network whose parameters are made, but {name!r} waits for its first "
                "batch; run the network once before returning it"
            )
        if parameter.dtype != torch.float32:
            raise UnsupportedNetworkError(
                f"{function!r} must return a network of float32 parameters, but {name!r} is {parameter.dtype}; "
                "return network.float()"
            )
