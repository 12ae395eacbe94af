"""Turn linked positions into channel groups, and name the layers that are left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pruning_core.channels.layer_shapes import LayerShape
from pruning_core.channels.position_links import Dimension, LinkedChannel, PositionLinks, Side
from pruning_core.channels.structures import ChannelGraph, ChannelGroup, ChannelUse, Role, UntouchedLayer
from pruning_core.channels.tapping import tap_name

_COUPLED = "coupled by an addition (residual stream); scope is 'inner'"
_UNREAD = "no convolution or linear layer reads its channels"
_IMAGES = "it works on the image's own channels"


def assemble_graph(
    links: PositionLinks, shapes: Mapping[str, LayerShape], taps: Sequence[str], *, scope: str
) -> ChannelGraph:
    """Build the graph of the groups within the scope.

    Args:
        links: Positions that hang together.
        shapes: The layers that can be sliced, in forward order.
        taps: Tapped modules.
        scope: ``inner`` or ``all``.
    """
    alike: dict[tuple[bool, tuple[tuple[Dimension, int], ...]], list[LinkedChannel]] = defaultdict(list)
    for channel in links.channels():
        touched = tuple((dimension, len(places)) for dimension, places in sorted(channel.positions.items()))
        alike[channel.is_added, touched].append(channel)
    reasons = {
        dimension.layer: why
        for dimension, why in links.reasons_to_stay().items()
        if dimension.side is Side.OUT
    }
    groups: list[ChannelGroup] = []
    tap_uses: dict[str, list[tuple[str, tuple[int, ...]]]] = {tap: [] for tap in taps}
    for channels in alike.values():
        uses = _uses(channels, shapes)
        producers = [use.layer for use in uses if use.role is Role.PRODUCES]
        is_inner = not channels[0].is_added
        problem = _problem(uses, producers, leave_alone=scope == "inner" and not is_inner)
        if problem is not None:
            for use in uses:
                if use.role is not Role.CONSUMES:  # only read for layers no output of which is in a group
                    reasons.setdefault(use.layer, problem)
            continue
        name = _unused_name(producers, groups)
        groups.append(ChannelGroup(name=name, num_channels=len(channels), is_inner=is_inner, uses=uses))
        for tap in taps:
            tap_uses[tap] += _tap_uses(channels, tap, name)
    return ChannelGraph(
        groups=tuple(_in_forward_order(groups, shapes)),
        untouched=_untouched(groups, reasons, shapes),
        taps={tap: tuple(uses) for tap, uses in tap_uses.items()},
    )


def _problem(uses: Sequence[ChannelUse], producers: Sequence[str], *, leave_alone: bool) -> str | None:
    if not producers:
        return _IMAGES
    if all(use.role is not Role.CONSUMES for use in uses):
        return _UNREAD
    return _COUPLED if leave_alone else None


def _uses(channels: Sequence[LinkedChannel], shapes: Mapping[str, LayerShape]) -> tuple[ChannelUse, ...]:
    """Describe what each layer does with a group's channels, in forward order, inputs first.

    The input side of a layer that does not mix channels says nothing that its output side does not.
    """
    uses = []
    for layer, shape in shapes.items():
        for side in (Side.IN, Side.OUT):
            dimension = Dimension(layer, side)
            if dimension not in channels[0].positions or (side is Side.IN and not shape.mixes_channels):
                continue
            role = (
                Role.CONSUMES if side is Side.IN else Role.PRODUCES if shape.mixes_channels else Role.FOLLOWS
            )
            positions = tuple(channel.positions[dimension] for channel in channels)
            uses.append(ChannelUse(layer=layer, role=role, positions=positions))
    return tuple(uses)


def _tap_uses(channels: Sequence[LinkedChannel], tap: str, group: str) -> list[tuple[str, tuple[int, ...]]]:
    """Say where a group lies in a tapped map: one entry, or one per position where a channel has several."""
    dimension = Dimension(tap_name(tap), Side.IN)
    places = [channel.positions[dimension] for channel in channels if dimension in channel.positions]
    return [(group, positions) for positions in zip(*places, strict=True)]


def _unused_name(producers: Sequence[str], groups: Sequence[ChannelGroup]) -> str:
    """Name a group after its first producer; a second group of the same layer gets a number."""
    taken = sum(group.name.split(" ")[0] == producers[0] for group in groups)
    return producers[0] if taken == 0 else f"{producers[0]} part {taken + 1}"


def _in_forward_order(groups: Sequence[ChannelGroup], shapes: Mapping[str, LayerShape]) -> list[ChannelGroup]:
    order = {layer: number for number, layer in enumerate(shapes)}
    return sorted(
        groups, key=lambda group: min(order[use.layer] for use in group.uses if use.role is Role.PRODUCES)
    )


def _untouched(
    groups: Sequence[ChannelGroup], reasons: Mapping[str, str], shapes: Mapping[str, LayerShape]
) -> tuple[UntouchedLayer, ...]:
    touched = {use.layer for group in groups for use in group.uses if use.role is not Role.CONSUMES}
    return tuple(
        UntouchedLayer(layer=layer, reason=reasons[layer])
        for layer, shape in shapes.items()
        if shape.weighs_inputs and layer not in touched
    )
