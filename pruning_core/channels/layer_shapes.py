"""What channel removal knows of a layer: its two widths and how they hang together.

Four kinds are enough for convolutional networks; any other layer keeps its channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerShape:
    """Widths of a layer that can be sliced.

    ``conv_groups`` parts of the input are each seen by as many parts of the output: 1 where every output sees
    every input, ``in_width`` where each channel is worked on alone.
    """

    in_width: int
    out_width: int
    conv_groups: int
    weighs_inputs: bool  # a convolution or linear layer: costs multiply-accumulates

    @property
    def mixes_channels(self) -> bool:
        """Its output channels are its own; otherwise they follow its input's."""
        return self.weighs_inputs and self.conv_groups == 1


def layer_shape(layer: nn.Module) -> LayerShape | None:
    """Return the widths of a layer, or None for one that cannot be sliced."""
    if isinstance(layer, nn.Conv2d):
        return LayerShape(
            in_width=layer.in_channels,
            out_width=layer.out_channels,
            conv_groups=layer.groups,
            weighs_inputs=True,
        )
    if isinstance(layer, nn.Linear):
        return LayerShape(
            in_width=layer.in_features, out_width=layer.out_features, conv_groups=1, weighs_inputs=True
        )
    if isinstance(layer, _BatchNorm):
        return _per_channel(layer.num_features)
    if isinstance(layer, nn.PReLU) and layer.num_parameters > 1:
        return _per_channel(layer.num_parameters)
    return None


def _per_channel(width: int) -> LayerShape:
    return LayerShape(in_width=width, out_width=width, conv_groups=width, weighs_inputs=False)
