"""The cost that interpretation-steered pruning was published with: that of the gated blocks alone.

A layer counts if it is a convolution or linear layer that writes or reads an inner group which the first layer does not
write: in a residual network those inside the blocks; stem, shortcuts and classifier are outside. It costs its
multiply-accumulates, and 3 for every number it writes: 2 for the normalisation, 1 for the activation. Shares of it are
comparable with the paper's on ResNets. MobileNets have outputs of blocks that no addition closes; they can be pruned
here and could not there, so more layers count. Budgets on ``macs`` say what the whole network costs.

Shape suffixes used in this file:
    L  layers

References:
    [Ganjdanesh2022] A. Ganjdanesh, S. Gao, H. Huang. Interpretations Steered Network Pruning via Amortized
        Inferred Saliency Maps. ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.channels.layer_shapes import layer_shape
from pruning_core.channels.layer_trace import evaluation_copy, example_images
from pruning_core.channels.layer_widths import layer_widths
from pruning_core.channels.polynomial_cost import PolynomialCost, polynomial_cost
from pruning_core.channels.structures import ChannelGraph
from pruning_core.errors import UnsupportedNetworkError

PER_WRITTEN_NUMBER = 3


def block_layers(network: nn.Module, graph: ChannelGraph) -> tuple[str, ...]:
    """Return the convolutions and linear layers of the blocks, in the network's order."""
    weighing = [name for name, module in network.named_modules() if _weighs(module)]
    touched: set[str] = set()
    for group in graph.groups:
        layers = {use.layer for use in group.uses}
        if group.is_inner and weighing[0] not in layers:
            touched |= layers
    return tuple(name for name in weighing if name in touched)


def block_macs_cost(network: nn.Module, graph: ChannelGraph, places: dict[str, int]) -> PolynomialCost:
    """Build the cost of the gated blocks for any kept counts.

    Args:
        network: The dense network.
        graph: Its groups.
        places: Output places per image of each layer.

    Raises:
        UnsupportedNetworkError: There are no such layers.
    """
    names = block_layers(network, graph)
    if not names:
        raise UnsupportedNetworkError(
            "a budget on block_macs needs layers that write or read prunable channels after the first, but "
            "there are none; set a budget on macs"
        )
    kernels_L = np.array([_kernel(network.get_submodule(name)) for name in names], dtype=np.int64)
    places_L = np.array([places[name] for name in names], dtype=np.int64)
    widths = layer_widths(network, graph, names)
    sizes_G = np.array([group.num_channels for group in graph.groups], dtype=np.int64)
    outputs_L = widths.outputs.at(sizes_G)
    pairs_L = widths.inputs.at(sizes_G) * outputs_L
    dense = int((places_L * (kernels_L * pairs_L + PER_WRITTEN_NUMBER * outputs_L)).sum())
    return polynomial_cost(
        widths, kernels_L * places_L, PER_WRITTEN_NUMBER * places_L, dense=dense, sizes=sizes_G.tolist()
    )


@torch.no_grad()
def count_block_macs(network: nn.Module, input_shape: tuple[int, int, int], layers: Sequence[str]) -> int:
    """Count the same on a network as it is, dense or slim, from the shapes that go through its ``layers``."""
    duplicate = evaluation_copy(network)
    counts: list[int] = []

    def count(module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.get_parameter("weight")
        counts.append(output.numel() * (weight[0].numel() + PER_WRITTEN_NUMBER))

    for name in layers:
        duplicate.get_submodule(name).register_forward_hook(count)
    duplicate(example_images(duplicate, input_shape, num_images=1))
    return sum(counts)


def _weighs(module: nn.Module) -> bool:
    shape = layer_shape(module)
    return shape is not None and shape.weighs_inputs


def _kernel(module: nn.Module) -> int:
    return module.kernel_size[0] * module.kernel_size[1] if isinstance(module, nn.Conv2d) else 1
