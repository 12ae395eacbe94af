"""Count what a network costs by running it, independently of the cost model.

Convention: ``macs`` are the multiply-accumulates of one image through all convolutions and linear layers (matrix
products); normalisation, activation, pooling and biases are not in them. ``params`` are all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.budgets import Resource
from pruning_core.channels.layer_trace import evaluation_copy, example_images


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one network costs: multiply-accumulates of one image, and number of parameters."""

    macs: int
    params: int

    def __getitem__(self, resource: Resource) -> int:
        return self.macs if resource is Resource.MACS else self.params


@torch.no_grad()
def count_cost(network: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """Count a network's cost for one image; the network stays as it is."""
    duplicate = evaluation_copy(network)
    counter = FlopCounterMode(display=False)
    with counter:
        duplicate(example_images(duplicate, input_shape, num_images=1))
    return Cost(
        macs=counter.get_total_flops() // 2,  # it counts a multiply-accumulate as two
        params=sum(parameter.numel() for parameter in network.parameters()),
    )
