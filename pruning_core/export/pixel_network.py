"""A network that normalises its input itself, for those who have pixels and nothing of ours.

Shape suffixes used in this file:
    N, C, H, W  images, channels (classes of logits), height, width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.data import Normalisation

__all__ = ["PixelNetwork"]


class PixelNetwork(nn.Module):
    """Takes pixels as shares of 255, in [0, 1], and gives the logits of a network that wants them normalised.

    The network is shared, not copied.
    """

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean_C11", torch.tensor(normalisation.mean).reshape(-1, 1, 1))
        self.register_buffer("std_C11", torch.tensor(normalisation.std).reshape(-1, 1, 1))
        self.train(network.training)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return logits_NC."""
        logits_NC: Tensor = self.network((pixels_NCHW - self.mean_C11) / self.std_C11)
        return logits_NC
