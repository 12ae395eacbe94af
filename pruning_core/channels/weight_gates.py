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
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, ChannelSelection, Role
from pruning_core.errors import InvalidSettingsError

Placement = tuple[tuple[tuple[int, ...], ...], Tensor]


def gate_weights(network: nn.Module, graph: ChannelGraph, gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return gated weights for ``functional_call``, by parameter name; differentiable in the gates.

    Args:
        network: The network the graph was found in (or a copy).
        graph: Its channel groups.
        gates: Per group one number per channel; groups left out are open.

    Raises:
        InvalidSettingsError: A group is unknown, or has another number of channels.
    """
    _check_gates(graph, gates)
    placements: dict[str, list[Placement]] = defaultdict(list)
    for group in graph.groups:
        if group.name in gates:
            for use in group.uses:
                if use.role is Role.CONSUMES:
                    placements[use.layer].append((use.positions, gates[group.name]))
    overrides: dict[str, Tensor] = {}
    for layer, placed in placements.items():
        weight = network.get_parameter(f"{layer}.weight")
        scale_P = _spread(weight.shape[1], placed, like=weight)
        overrides[f"{layer}.weight"] = weight * scale_P.view(1, -1, *[1] * (weight.ndim - 2))
    return overrides


def gate_map(map_NCHW: Tensor, layer: str, graph: ChannelGraph, gates: Mapping[str, Tensor]) -> Tensor:
    """Return a tapped map as its reader sees it through the gates."""
    _check_gates(graph, gates)
    placed = [
        (tuple((position,) for position in positions), gates[group])
        for group, positions in _tap_uses(graph, layer)
        if group in gates
    ]
    if not placed:
        return map_NCHW
    return map_NCHW * _spread(map_NCHW.shape[1], placed, like=map_NCHW).view(1, -1, 1, 1)


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


def _spread(num_positions: int, placed: Sequence[Placement], *, like: Tensor) -> Tensor:
    """Lay gates out along a dimension, with ones where no gate lies."""
    source_P = torch.zeros(num_positions, dtype=torch.int64)  # 0 points to the constant one
    parts = [torch.ones(1, dtype=like.dtype, device=like.device)]
    start = 1
    for positions, gates_C in placed:
        places_CS = torch.tensor(positions)
        source_P[places_CS.flatten()] = torch.arange(start, start + len(gates_C)).repeat_interleave(
            places_CS.shape[1]
        )
        parts.append(gates_C.to(like.device, like.dtype))
        start += len(gates_C)
    return torch.cat(parts)[source_P.to(like.device)]


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
