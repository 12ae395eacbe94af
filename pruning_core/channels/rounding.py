"""Which kept counts a group may have: multiples of a rounding step, never below a floor, or all channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pruning_core.channels.structures import ChannelGraph
from pruning_core.config import ChannelsConfig


def rounding_step(num_channels: int, round_to: Literal["auto"] | int) -> int:
    """Return what kept counts of a group of this size are multiples of (``auto``: hardware likes 8s)."""
    if round_to != "auto":
        return round_to
    for at_least, step in ((64, 8), (32, 4), (16, 2)):
        if num_channels >= at_least:
            return step
    return 1


def allowed_widths(num_channels: int, channels: ChannelsConfig) -> tuple[int, ...]:
    """Return the kept counts a group may have, ascending; the last one is the full width, rounded or not."""
    step = rounding_step(num_channels, channels.round_to)
    first = -(-max(channels.min_channels, step) // step) * step  # the floor, rounded up
    return (*range(first, num_channels, step), num_channels)


def nearest_allowed_width(allowed: Sequence[int], width: int) -> int:
    """Return the allowed width nearest to a wished one; the larger of two equally near."""
    return min(allowed, key=lambda candidate: (abs(candidate - width), -candidate))


def minimum_widths(graph: ChannelGraph, channels: ChannelsConfig) -> dict[str, int]:
    """Return the fewest channels each group may keep."""
    return {group.name: allowed_widths(group.num_channels, channels)[0] for group in graph.groups}
