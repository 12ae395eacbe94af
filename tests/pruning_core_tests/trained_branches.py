"""A small network of two branches that has learned its images, and what it loses behind gates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.channels.structures import ChannelGraph
from pruning_core.channels.weight_gates import gate_weights
from pruning_core.importance.sensitivity import with_batch_statistics
from tests.pruning_core_tests.importance_cases import DepthwiseAndFlatten, class_images

NUM_IMAGES = 64  # one batch: every pass sees the same images
_RIGHT = slice(6, None)  # inputs of ``joined`` that the right branch writes


@cache
def trained_network(*, reads_right: bool) -> DepthwiseAndFlatten:
    """Train for 60 steps; with ``reads_right`` off, nothing reads the right branch. Tests must leave it as it is."""
    data = class_images(num_images=NUM_IMAGES)
    images_NCHW = data.normalisation.apply(data.train.read(torch.arange(NUM_IMAGES)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DepthwiseAndFlatten()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        loss = F.cross_entropy(network(images_NCHW), data.train.labels_N)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        if not reads_right:
            with torch.no_grad():
                network.joined.weight[:, _RIGHT] = 0
    return network.eval()


def gated_cross_entropy(network: nn.Module, graph: ChannelGraph, gates: Mapping[str, Tensor]) -> float:
    """Return the loss behind gates on all images at once, batch statistics in the normalisations."""
    data = class_images(num_images=NUM_IMAGES)
    images_NCHW = data.normalisation.apply(data.train.read(torch.arange(NUM_IMAGES)))
    copied = with_batch_statistics(network)
    with torch.no_grad():
        logits_NK = functional_call(copied, gate_weights(copied, graph, gates), (images_NCHW,))
        return float(F.cross_entropy(logits_NK, data.train.labels_N))
