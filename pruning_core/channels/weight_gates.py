"""Channel gates on weights: each consumer's weight is multiplied along its input channels.

A gate of exactly 1 leaves the outputs bit-identical; a gate of exactly 0 is the channel's removal, whatever
normalisation, activation or bias lies between its producer and its consumers. Nothing is changed in place:
the gated weights are overrides for ``torch.func.functional_call``.

Shape suffixes used in this file:
    C  channels of one group
    P  positions along a layer's input dimension, or a map's channel dimension
    N, H, W  images, height, width
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate

import torch
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, ChannelGroup, ChannelSelection, Role
from pruning_core.errors import InvalidSettingsError

Placement = tuple[tuple[tuple[int, ...], ...], int]
"""Positions of each channel of a group along a dimension, and where the group's gates start behind the constant one."""


class GatePlaces:
    """Where gates lie along the inputs of the weights and maps that read their channels: found once, for many steps.

    ``names``: the gated groups, in the graph's order; a vector of gates holds theirs one after another.

    Args:
        network: The network the graph was found in (or a copy), on the device where gates will be.
        graph: Its channel groups.
        groups: Names of the groups with gates; by default all. The others are open.
    """

    def __init__(
        self, network: nn.Module, graph: ChannelGraph, groups: Collection[str] | None = None
    ) -> None:
        gated = [group for group in graph.groups if groups is None or group.name in groups]
        self.names = tuple(group.name for group in gated)
        self._graph = graph
        self._network = network
        self._starts = _starts(gated)
        placed: dict[str, list[Placement]] = defaultdict(list)
        for group in gated:
            for use in group.uses:
                if use.role is Role.CONSUMES:
                    placed[f"{use.layer}.weight"].append((use.positions, self._starts[group.name]))
        self._weights = tuple(placed)
        self._sizes = [network.get_parameter(name).shape[1] for name in placed]
        sources = [_sources(size, uses) for size, uses in zip(self._sizes, placed.values(), strict=True)]
        device = next((parameter.device for parameter in network.parameters()), None)
        self._sources_P = torch.cat([torch.empty(0, dtype=torch.int64), *sources]).to(device)
        self._map_sources: dict[str, Tensor | None] = {}

    def join(self, gates: Mapping[str, Tensor]) -> Tensor:
        """Return the gates of all groups with gates as one vector.

        Raises:
            InvalidSettingsError: A group is unknown, or has another number of channels.
        """
        _check_gates(self._graph, gates)
        return torch.cat([gates[name] for name in self.names]) if self.names else torch.ones(0)

    def gate_weights(self, gates_C: Tensor) -> dict[str, Tensor]:
        """Return gated weights for ``functional_call``, by parameter name; differentiable in the gates."""
        if not self._weights:
            return {}
        scales_P = _after_one(gates_C.to(self._sources_P.device))[self._sources_P]
        overrides: dict[str, Tensor] = {}
        for name, scale_P in zip(self._weights, torch.split(scales_P, self._sizes), strict=True):
            weight = self._network.get_parameter(name)
            overrides[name] = weight * scale_P.to(weight.dtype).view(1, -1, *[1] * (weight.ndim - 2))
        return overrides

    def gate_map(self, map_NCHW: Tensor, layer: str, gates_C: Tensor) -> Tensor:
        """Return a tapped map as its reader sees it through the gates."""
        if layer not in self._map_sources:
            sources_P = _map_sources(self._graph, layer, self._starts, map_NCHW.shape[1])
            self._map_sources[layer] = None if sources_P is None else sources_P.to(map_NCHW.device)
        return _scale_map(map_NCHW, self._map_sources[layer], gates_C)


def gate_weights(network: nn.Module, graph: ChannelGraph, gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return gated weights for ``functional_call``, by parameter name; differentiable in the gates.

    Args:
        network: The network the graph was found in (or a copy).
        graph: Its channel groups.
        gates: Per group one number per channel; groups left out are open.

    Raises:
        InvalidSettingsError: A group is unknown, or has another number of channels.
    """
    places = GatePlaces(network, graph, gates.keys())
    return places.gate_weights(places.join(gates))


def gate_map(map_NCHW: Tensor, layer: str, graph: ChannelGraph, gates: Mapping[str, Tensor]) -> Tensor:
    """Return a tapped map as its reader sees it through the gates."""
    _check_gates(graph, gates)
    gated = [group for group in graph.groups if group.name in gates]
    sources_P = _map_sources(graph, layer, _starts(gated), map_NCHW.shape[1])
    gates_C = torch.cat([gates[group.name] for group in gated]) if gated else torch.ones(0)
    return _scale_map(map_NCHW, sources_P, gates_C)


def kept_map_positions(
    layer: str, num_channels: int, graph: ChannelGraph, selection: ChannelSelection
) -> Tensor:
    """Return which of a tapped map's ``num_channels`` dense channels the slim network still has, ascending."""
    graph.check_selection(selection)
    stays_P = torch.ones(num_channels, dtype=torch.bool)
    for group, positions in _tap_uses(graph, layer):
        kept = set(selection.kept[group])
        stays_P[[position for channel, position in enumerate(positions) if channel not in kept]] = False
    return stays_P.nonzero().flatten()


def hard_gates(graph: ChannelGraph, selection: ChannelSelection) -> dict[str, Tensor]:
    """Return gates of exactly 1 for kept channels and exactly 0 for the others."""
    graph.check_selection(selection)
    gates = {}
    for group in graph.groups:
        gates_C = torch.zeros(group.num_channels)
        gates_C[list(selection.kept[group.name])] = 1
        gates[group.name] = gates_C
    return gates


def full_selection(graph: ChannelGraph) -> ChannelSelection:
    """Keep every channel."""
    return ChannelSelection(kept={group.name: tuple(range(group.num_channels)) for group in graph.groups})


def _starts(gated: Iterable[ChannelGroup]) -> dict[str, int]:
    """Return where the gates of each group start, when a constant one comes before them all."""
    groups = list(gated)
    starts = accumulate((group.num_channels for group in groups), initial=1)
    return {group.name: start for group, start in zip(groups, starts, strict=False)}


def _sources(num_positions: int, placed: Iterable[Placement]) -> Tensor:
    """Return for each position along a dimension the index of its gate; 0, the constant one, where there is none."""
    sources_P = torch.zeros(num_positions, dtype=torch.int64)
    for positions, start in placed:
        places_CS = torch.tensor(positions)
        gates_C = torch.arange(start, start + len(positions))
        sources_P[places_CS.flatten()] = gates_C.repeat_interleave(places_CS.shape[1])
    return sources_P


def _map_sources(
    graph: ChannelGraph, layer: str, starts: Mapping[str, int], num_channels: int
) -> Tensor | None:
    """Return ``_sources`` of a tapped map, or None if no gate lies on it."""
    placed: list[Placement] = [
        (tuple((position,) for position in positions), starts[group])
        for group, positions in _tap_uses(graph, layer)
        if group in starts
    ]
    return _sources(num_channels, placed) if placed else None


def _scale_map(map_NCHW: Tensor, sources_P: Tensor | None, gates_C: Tensor) -> Tensor:
    if sources_P is None:
        return map_NCHW
    scale_P = _after_one(gates_C.to(map_NCHW))[sources_P.to(map_NCHW.device)]
    return map_NCHW * scale_P.view(1, -1, 1, 1)


def _after_one(gates_C: Tensor) -> Tensor:
    return torch.cat([gates_C.new_ones(1), gates_C])


def _tap_uses(graph: ChannelGraph, layer: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    if layer not in graph.taps:
        raise InvalidSettingsError(
            f"a gated map must be a tap of the channel graph, but {layer!r} is not. Taps: {', '.join(graph.taps)}"
        )
    return graph.taps[layer]


def _check_gates(graph: ChannelGraph, gates: Mapping[str, Tensor]) -> None:
    sizes = {group.name: group.num_channels for group in graph.groups}
    for name, gates_C in gates.items():
        if name not in sizes:
            raise InvalidSettingsError(f"gates must be for groups of the network, but {name!r} is not one")
        if gates_C.shape != (sizes[name],):
            raise InvalidSettingsError(
                f"group {name!r} needs one gate for each of its {sizes[name]} channels, but got shape "
                f"{tuple(gates_C.shape)}"
            )
