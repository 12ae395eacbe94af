"""The least that a training step has to move to and from a device's memory.

Counted are the outputs of convolutions and linear layers, the images and the weights; all else (normalisation,
activation functions, additions, losses) is taken as done on the way. An output is

    written once and read once in the forward pass, read once more in the backward pass,
    and its gradient is written once and read once:                                     5 times its numbers.

Nothing is recomputed, and nothing is found in a cache, which small batches of small images may well be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.setting_types import Precision

MOVES_OF_OUTPUT = 5
MOVES_OF_IMAGE = {"training": 2, "steering": 1}
"""Read by the first layer and again for the gradient of its weights; frozen weights have none."""
MOVES_OF_WEIGHT = {"training": 8, "steering": 3}
"""Read forward and backward, gradient written; SGD with momentum reads it, the weight and the momentum and writes
the latter two."""
BYTES_OF_OUTPUT: dict[Precision, int] = {"float32": 4, "bfloat16": 2}
_BYTES_OF_WEIGHT = 4  # weights, gradients and momenta are in single precision


@dataclass(frozen=True, kw_only=True, slots=True)
class StepNumbers:
    """Numbers, not bytes: ``outputs`` and ``pixels`` of one image, ``weights`` of all networks of the step."""

    outputs: int
    pixels: int
    weights: int

    def least_bytes(self, step: str, precision: Precision, batch: int) -> int:
        """Return what one ``training`` or ``steering`` step on a batch has to move at least."""
        per_image = MOVES_OF_OUTPUT * self.outputs + MOVES_OF_IMAGE[step] * self.pixels
        weights = MOVES_OF_WEIGHT[step] * _BYTES_OF_WEIGHT * self.weights
        return batch * per_image * BYTES_OF_OUTPUT[precision] + weights


@contextmanager
def counting_outputs(*networks: nn.Module) -> Iterator[list[int]]:
    """Give a list that fills with the sizes of the outputs of all convolutions and linear layers that run inside."""
    sizes: list[int] = []

    def note(_module: nn.Module, _args: object, output: Tensor) -> None:
        sizes.append(output.numel())

    handles = [
        module.register_forward_hook(note)
        for network in networks
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    try:
        yield sizes
    finally:
        for handle in handles:
            handle.remove()


def count_training(network: nn.Module, image_1CHW: Tensor) -> StepNumbers:
    """Count for a network in eval mode and one image."""
    with torch.no_grad(), counting_outputs(network) as sizes:
        network(image_1CHW)
    return StepNumbers(outputs=sum(sizes), pixels=image_1CHW.numel(), weights=num_weights(network))


def num_weights(*networks: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for network in networks for parameter in network.parameters())
