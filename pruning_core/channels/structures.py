"""Which channels live and die together, and which of them stay: plain data, no network.

Words used here:
    group      channels of several layers that can only be kept or removed together
    use        one layer's part in a group
    position   index along a layer's output (or input) dimension
    kept       channel indices of a group that stay, ascending
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pruning_core.errors import InvalidSettingsError


class Role(StrEnum):
    """What a layer does with a group's channels."""

    PRODUCES = "produces"  # they are its output dimension (convolution, linear)
    FOLLOWS = "follows"  # it works on each channel alone (normalisation, depthwise convolution, PReLU)
    CONSUMES = "consumes"  # they are its input dimension (convolution, linear, a decoder's tap)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelUse:
    """One layer's part in a group.

    ``positions[c]`` are the indices along the layer's output dimension (``PRODUCES``, ``FOLLOWS``) or input
    dimension (``CONSUMES``) that belong to channel ``c``: one in most layers, H*W behind a flatten, shifted behind
    a concatenation.
    """

    layer: str
    role: Role
    positions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelGroup:
    """Channels that live and die together. ``is_inner``: no addition of several layers couples them (the residual
    stream is not inner; a product with squeeze-and-excitation gates is). Named after the first layer that produces
    them.
    """

    name: str
    num_channels: int
    is_inner: bool
    uses: tuple[ChannelUse, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UntouchedLayer:
    """A convolution or linear layer whose output channels all stay, and why."""

    layer: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelGraph:
    """The prunable groups of a network (in forward order), and the layers left alone.

    ``taps``: per tapped module the uses of the tapped map by the groups in it, as (group name, positions along
    the map's channel dimension); empty where no prunable group is in the map.
    """

    groups: tuple[ChannelGroup, ...]
    untouched: tuple[UntouchedLayer, ...]
    taps: Mapping[str, tuple[tuple[str, tuple[int, ...]], ...]]

    @property
    def num_channels(self) -> int:
        """All prunable channels."""
        return sum(group.num_channels for group in self.groups)

    def check_selection(self, selection: ChannelSelection) -> None:
        """Refuse a selection that is not about exactly these groups and channels.

        Raises:
            InvalidSettingsError: A group is missing or unknown, or a channel does not exist.
        """
        check_group_names(selection.kept, [group.name for group in self.groups], "the selection")
        for group in self.groups:
            last = selection.kept[group.name][-1]
            if last >= group.num_channels:
                raise InvalidSettingsError(
                    f"group {group.name!r} has {group.num_channels} channels, but the selection keeps channel {last}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelSelection:
    """The channels of each group that stay: ascending indices, at least one per group."""

    kept: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        for name, kept in self.kept.items():
            if not kept:
                raise InvalidSettingsError(
                    f"group {name!r} must keep at least 1 of its channels, but the selection keeps 0"
                )
            if list(kept) != sorted(set(kept)) or kept[0] < 0:
                raise InvalidSettingsError(
                    f"group {name!r}: kept channels must be ascending and different, but got {kept}"
                )

    def to_plain(self) -> dict[str, list[int]]:
        """Return what JSON can hold; ``from_plain`` reads it back."""
        return {name: list(kept) for name, kept in self.kept.items()}

    @classmethod
    def from_plain(cls, values: Mapping[str, list[int]]) -> ChannelSelection:
        """Read what ``to_plain`` wrote."""
        return cls(kept={name: tuple(int(c) for c in kept) for name, kept in values.items()})


def check_group_names(given: Iterable[str], names: Sequence[str], what: str) -> None:
    """Refuse values by group that miss a group or name an unknown one.

    Raises:
        InvalidSettingsError: Names ``what`` was given, and the first group that is missing or unknown.
    """
    missing, unknown = sorted(set(names) - set(given)), sorted(set(given) - set(names))
    if missing:
        raise InvalidSettingsError(f"{what} must cover every group, but {missing[0]!r} is missing")
    if unknown:
        raise InvalidSettingsError(
            f"{what} must be about known groups, but {unknown[0]!r} does not exist. Groups: {', '.join(names)}"
        )
