"""Train through strided 1x1 convolutions on CPUs whose fast code for them is broken.

torch 2.15 (its oneDNN, code for AVX2) writes past the end of a buffer in the backward pass of a 1x1 convolution with a
stride that reads a number of channels that 8 does not divide, if channels come last: the process dies of a corrupt
heap, or goes on with it. Slim residual networks are full of such convolutions. Read with their channels first they
are right, and everything around them may stay channels-last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["guard_strided_convolutions", "guarded_strided_convolutions"]

_LANES = 8  # numbers that AVX2 takes at once


def guard_strided_convolutions(network: nn.Module) -> list[RemovableHandle]:
    """Have a network's strided 1x1 convolutions read, and keep their weights, with channels first on the CPU.

    Values stay; the network computes the same to rounding. Call it after the network was laid out channels-last, which
    would undo it.

    Returns:
        What removes the hooks.
    """
    handles = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_broken(module):
            module.weight.data = _channels_first(module.weight.data)
            handles.append(module.register_forward_pre_hook(_read_channels_first))
    return handles


@contextmanager
def guarded_strided_convolutions(network: nn.Module) -> Iterator[None]:
    """Do what `guard_strided_convolutions` does, and take the hooks off at the end."""
    with ExitStack() as held:
        for handle in guard_strided_convolutions(network):
            held.callback(handle.remove)
        yield


def _is_broken(layer: nn.Conv2d) -> bool:
    is_strided_point = layer.kernel_size == (1, 1) and layer.stride != (1, 1)
    return is_strided_point and layer.groups == 1 and layer.in_channels % _LANES != 0


def _read_channels_first(_layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if not torch.is_grad_enabled():
        return None
    return (_channels_first(args[0]), *args[1:])


def _channels_first(values: Tensor) -> Tensor:
    """Return equal values whose strides are those of NCHW; on a GPU as they are.

    ``contiguous`` would not do: with maps or kernels of one pixel both layouts count as contiguous, and torch then
    goes by the strides.
    """
    if values.device.type != "cpu":
        return values
    return values.clone(memory_format=torch.contiguous_format)
