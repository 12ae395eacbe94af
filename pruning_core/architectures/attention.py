"""Attention models are refused by name before anything is traced: heads share channels out, and tracing may not end."""

from __future__ import annotations

from torch import nn

from pruning_core.errors import UnsupportedNetworkError

_CALLED_OTHERWISE = frozenset({"BottleneckAttn", "HaloAttn", "LambdaLayer"})  # timm's self-attention on maps


def refuse_attention(network: nn.Module, name: str) -> None:
    """Refuse a network that contains self-attention, recognised by the names of its modules' classes.

    Raises:
        UnsupportedNetworkError: Names the first such layer.
    """
    for layer, module in network.named_modules():
        kind = type(module).__name__
        if "Attention" in kind or kind in _CALLED_OTHERWISE:
            raise UnsupportedNetworkError(
                f"the network must be a CNN without attention, but layer {layer!r} of {name!r} is attention ({kind}); "
                "choose another"
            )
