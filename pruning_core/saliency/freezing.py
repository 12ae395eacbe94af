"""Use a network without changing it."""

from __future__ import annotations

import copy

import torch
from torch import nn


def frozen_copy(network: nn.Module, device: str | torch.device = "cpu") -> nn.Module:
    """Copy a network to a device in evaluation mode with fixed parameters; gradients still flow to its inputs.

    The copy's memory layout is channels-last, the faster one for convolutions.
    """
    copied = copy.deepcopy(network).to(device).eval().requires_grad_(requires_grad=False)
    return in_channels_last(copied)


def in_channels_last(network: nn.Module) -> nn.Module:
    """Lay a network's weights out channels-last, in place; their values stay."""
    laid_out: nn.Module = network.to(memory_format=torch.channels_last)
    return laid_out
