"""Does a network prune safely? Removes channels for real and compares with the gated network and the cost formula.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pruning_core.architectures import build_network, load_checkpoint
from pruning_core.channels import (
    ChannelGraph,
    ChannelSelection,
    Cost,
    UntouchedLayer,
    build_run_cost_model,
    count_run_cost,
    find_channel_groups,
    full_selection,
    minimum_widths,
    remove_channels,
    verify_removal,
)
from pruning_core.config import ChannelsConfig, PruningConfig
from pruning_core.data import Batch, DataSplits, iterate_batches
from pruning_core.errors import UnsupportedNetworkError

__all__ = [
    "NetworkCheck",
    "RemovalCheck",
    "check_network",
    "load_dense_weights",
    "prove_network",
    "randomise_constants",
]

_NUM_IMAGES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalCheck:
    """One selection of channels, removed for real.

    ``difference``: max|slim - gated| / max|gated logit|. ``cost``: of the slim network, counted and by formula alike.
    """

    name: str
    num_kept: int
    difference: float
    cost: Cost


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCheck:
    """What was found out about a network. ``untouched``: layers left alone, and why."""

    num_groups: int
    num_channels: int
    dense: Cost
    removals: tuple[RemovalCheck, ...]
    untouched: tuple[UntouchedLayer, ...]


def check_network(config: PruningConfig, data: DataSplits) -> NetworkCheck:
    """Remove the most, some and none of a network's channels, and prove each time that nothing else changed.

    Weights are the checkpoint's, or random ones with random normalisation, so that a shift that leaks would show.

    Raises:
        InvalidCheckpointError: The checkpoint is for another network.
        UnsupportedNetworkError: The network cannot be pruned safely; names the layer.
    """
    network = _build(config, data)
    return prove_network(network, _some_images(data).images_NCHW, config)


def prove_network(network: nn.Module, images_NCHW: Tensor, config: PruningConfig) -> NetworkCheck:
    """Remove channels of a network in evaluation mode, and prove each time that nothing else changed.

    Args:
        network: Not changed.
        images_NCHW: Normalised images to compare on.
        config: Which groups may go, how narrow they may become, and what is counted: what has a budget.

    Raises:
        UnsupportedNetworkError: The network cannot be pruned safely; names the layer.
    """
    _, depth, height, width = images_NCHW.shape
    input_shape = (depth, height, width)
    graph = find_channel_groups(network, input_shape, scope=config.channels.scope)
    model = build_run_cost_model(network, graph, input_shape, config)
    removals = []
    for name, selection in _selections(graph, config.channels):
        slim = remove_channels(network, graph, selection)
        difference = verify_removal(network, slim, graph, selection, images_NCHW)
        counted = count_run_cost(slim, input_shape, config, graph=graph, dense=network)
        formula = model.exact([len(selection.kept[group]) for group in model.names])
        if counted != formula:
            raise UnsupportedNetworkError(
                f"the slim network must cost what the formula says, {formula}, but it costs {counted}"
            )
        num_kept = sum(map(len, selection.kept.values()))
        removals.append(RemovalCheck(name=name, num_kept=num_kept, difference=difference, cost=counted))
    return NetworkCheck(
        num_groups=len(graph.groups),
        num_channels=graph.num_channels,
        dense=model.dense,
        removals=tuple(removals),
        untouched=graph.untouched,
    )


def load_dense_weights(config: PruningConfig, data: DataSplits) -> nn.Module:
    """Build a run's dense network, with the weights that its settings name; random ones if they name none.

    Raises:
        InvalidCheckpointError: The weights are for another network.
        UnsupportedNetworkError: An attention model.
    """
    network = build_network(config.architecture, num_classes=data.num_classes, in_channels=data.in_channels)
    if config.architecture.checkpoint is not None:
        load_checkpoint(network, Path(config.architecture.checkpoint), architecture=config.architecture.name)
    return network


def _build(config: PruningConfig, data: DataSplits) -> nn.Module:
    network = load_dense_weights(config, data)
    if config.architecture.checkpoint is None and config.architecture.weights is None:
        randomise_constants(network)
    return network.eval()


@torch.no_grad()
def randomise_constants(network: nn.Module) -> None:
    """Draw, in place, what an untrained network has only constants for, so that no mistake hides behind them.

    These are the scales, shifts and statistics of normalisations, biases, and scales of whole branches (a branch scaled
    by 1e-6, as in ConvNeXt, adds nothing that could be wrong).
    """
    generator = torch.Generator().manual_seed(0)

    def fill(tensor: Tensor, centre: float, width: float) -> None:
        tensor.copy_(centre + width * (torch.rand(tensor.shape, generator=generator) - 0.5))

    for parameter in network.parameters():
        first = parameter.flatten()[0]
        if bool((parameter == first).all()):
            fill(parameter, float(bool(first != 0)), 1.0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
            assert module.running_var is not None
            fill(module.running_mean, 0.0, 0.5)
            fill(module.running_var, 1.0, 1.0)


def _some_images(data: DataSplits) -> Batch:
    return next(iterate_batches(data.train, data.normalisation, batch_size=_NUM_IMAGES))


def _selections(graph: ChannelGraph, channels: ChannelsConfig) -> Iterator[tuple[str, ChannelSelection]]:
    generator = torch.Generator().manual_seed(0)
    narrowest = minimum_widths(graph, channels)

    def draw(widths: dict[str, int]) -> ChannelSelection:
        kept = {}
        for group in graph.groups:
            order = torch.randperm(group.num_channels, generator=generator)[: widths[group.name]]
            kept[group.name] = tuple(sorted(order.tolist()))
        return ChannelSelection(kept=kept)

    between = {
        group.name: int(torch.randint(1, group.num_channels + 1, (1,), generator=generator))
        for group in graph.groups
    }
    yield "narrowest allowed", draw(narrowest)
    yield "random", draw(between)
    yield "nothing removed", full_selection(graph)
