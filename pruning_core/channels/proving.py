"""Prove channel groups by removing channels of a scrambled network; groups that fail are left alone.

The weights are drawn anew, so that a network with zeroed branches or dead filters cannot hide a mistake.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.channels.layer_trace import example_images
from pruning_core.channels.removal import remove_channels
from pruning_core.channels.structures import (
    ChannelGraph,
    ChannelGroup,
    ChannelSelection,
    Role,
    UntouchedLayer,
)
from pruning_core.channels.tapping import read_maps
from pruning_core.channels.verification import relative_difference
from pruning_core.channels.weight_gates import full_selection, gate_weights, hard_gates, kept_map_positions
from pruning_core.errors import UnsupportedNetworkError

_TOLERANCE = 1e-9  # in float64
_SEED = 1
_UNPROVEN = "removing its channels would change the output in another way than gating them"


def leave_unproven_alone(
    scrambled: nn.Module, graph: ChannelGraph, input_shape: tuple[int, int, int]
) -> ChannelGraph:
    """Return the graph without the groups whose channels cannot be removed exactly.

    Args:
        scrambled: An evaluation copy of the network; its numbers are overwritten here.
        graph: Groups to prove.
        input_shape: (channels, height, width) of one image.

    Raises:
        UnsupportedNetworkError: Groups that are safe one by one are not so together.
    """
    _scramble(scrambled, input_shape)
    images_NCHW = example_images(scrambled, input_shape)
    if _removal_is_exact(scrambled, graph, graph.groups, images_NCHW):
        return graph
    proven = [group for group in graph.groups if _removal_is_exact(scrambled, graph, [group], images_NCHW)]
    if not _removal_is_exact(scrambled, graph, proven, images_NCHW):
        raise UnsupportedNetworkError(
            "channel groups that can be removed one by one must also be removable together, but they are not; "
            f"the network reshapes its channels in an unknown way (groups: {', '.join(g.name for g in proven)})"
        )
    return _without(graph, [group for group in graph.groups if group not in proven])


@torch.no_grad()
def _removal_is_exact(
    scrambled: nn.Module, graph: ChannelGraph, groups: Iterable[ChannelGroup], images_NCHW: Tensor
) -> bool:
    """Remove half of the channels of some groups and compare logits and tapped maps with the gated network's."""
    generator = torch.Generator().manual_seed(_SEED)
    kept = dict(full_selection(graph).kept)
    kept |= {group.name: _random_half(group.num_channels, generator) for group in groups}
    selection = ChannelSelection(kept=kept)
    taps = tuple(graph.taps)
    slim = remove_channels(scrambled, graph, selection)
    try:
        slim_NC, slim_maps = read_maps(slim, taps, images_NCHW)
    except (RuntimeError, ValueError, IndexError):
        return False  # the shapes no longer fit: the network relies on a width that was removed
    gated = _Gated(scrambled, gate_weights(scrambled, graph, hard_gates(graph, selection)))
    gated_NC, gated_maps = read_maps(gated, [f"network.{tap}" for tap in taps], images_NCHW)
    pairs = [(slim_NC, gated_NC)]
    for tap in taps:
        wide = gated_maps[f"network.{tap}"]
        pairs.append((slim_maps[tap], wide[:, kept_map_positions(tap, wide.shape[1], graph, selection)]))
    return all(
        slim_values.shape == gated_values.shape
        and relative_difference(slim_values, gated_values) <= _TOLERANCE
        for slim_values, gated_values in pairs
    )


class _Gated(nn.Module):
    """A network that always runs with some of its weights replaced."""

    def __init__(self, network: nn.Module, overrides: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        self._overrides = overrides

    def forward(self, images_NCHW: Tensor) -> Tensor:
        output: Tensor = functional_call(self.network, self._overrides, (images_NCHW,))
        return output


def _random_half(num_channels: int, generator: torch.Generator) -> tuple[int, ...]:
    order = torch.randperm(num_channels, generator=generator)
    return tuple(sorted(order[: (num_channels + 1) // 2].tolist()))


@torch.no_grad()
def _scramble(scrambled: nn.Module, input_shape: tuple[int, int, int]) -> None:
    """Draw weights and statistics anew, in float64, so that activations keep a sensible size."""
    scrambled.to(torch.float64)
    generator = torch.Generator().manual_seed(_SEED)
    for parameter in scrambled.parameters():
        if parameter.ndim > 1:
            bound = (6 / parameter[0].numel()) ** 0.5  # He initialisation
            parameter.uniform_(-bound, bound, generator=generator)
        else:
            centre = float(parameter.mean() > 0.5)  # scales stay near 1, shifts near 0
            parameter.uniform_(centre - 0.5, centre + 0.5, generator=generator)
    norms = [module for module in scrambled.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # take over the statistics of the one batch
    scrambled(example_images(scrambled, input_shape))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum


def _without(graph: ChannelGraph, refused: list[ChannelGroup]) -> ChannelGraph:
    names = {group.name for group in refused}
    layers = {use.layer for group in refused for use in group.uses if use.role is Role.PRODUCES}
    return replace(
        graph,
        groups=tuple(group for group in graph.groups if group.name not in names),
        untouched=(
            *graph.untouched,
            *(UntouchedLayer(layer=layer, reason=_UNPROVEN) for layer in sorted(layers)),
        ),
        taps={
            tap: tuple((name, positions) for name, positions in uses if name not in names)
            for tap, uses in graph.taps.items()
        },
    )
