"""Networks from a user's own ``module:function``."""

from __future__ import annotations

from torch import nn

from pruning_core.architectures.attention import refuse_attention
from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidSettingsError
from pruning_core.user_functions import load_user_function


def build_user_network(config: ArchitectureConfig, *, num_classes: int, in_channels: int) -> nn.Module:
    """Call the function with ``num_classes`` and ``in_channels``.

    Raises:
        InvalidSettingsError: There is no such function, or it returns no network.
        UnsupportedNetworkError: The network has attention layers.
    """
    network = load_user_function(config.name)(num_classes=num_classes, in_channels=in_channels)
    if not isinstance(network, nn.Module):
        raise InvalidSettingsError(
            f"{config.name!r} must return a torch.nn.Module, but it returned {type(network).__name__}"
        )
    refuse_attention(network, config.name)
    return network
