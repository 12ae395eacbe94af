"""Which positions of which layers belong together: a union-find over (layer, side, position).

A channel is a connected set of positions; channels that touch the same layers equally often form a group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """The end of a layer that positions are counted along."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, order=True, slots=True)
class Dimension:
    """One end of one layer, or of one tapped map."""

    layer: str
    side: Side


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkedChannel:
    """A connected set. ``is_added``: an addition of several layers couples it (a residual stream)."""

    positions: Mapping[Dimension, tuple[int, ...]]
    is_added: bool


class PositionLinks:
    """Grows the connected sets, and remembers which of them must not be touched, and why."""

    def __init__(self, widths: Iterable[tuple[Dimension, int]]) -> None:
        self._start: dict[Dimension, int] = {}
        self._owner: list[tuple[Dimension, int]] = []
        for dimension, width in widths:
            self._start[dimension] = len(self._owner)
            self._owner.extend((dimension, position) for position in range(width))
        self._parent = list(range(len(self._owner)))
        self._barred: dict[int, str] = {}
        self._added: set[int] = set()

    def join(self, first: tuple[Dimension, int], second: tuple[Dimension, int]) -> None:
        """Say that two positions live and die together."""
        root_first, root_second = self._root(self._index(first)), self._root(self._index(second))
        self._parent[max(root_first, root_second)] = min(root_first, root_second)

    def bar(self, dimension: Dimension, positions: Iterable[int], reason: str) -> None:
        """Say that these positions, and all that hang together with them, must stay. The first reason counts."""
        for position in positions:
            self._barred.setdefault(self._index((dimension, position)), reason)

    def mark_as_added(self, dimension: Dimension, positions: Iterable[int]) -> None:
        """Say that an addition of several layers couples these positions and all that hang together with them."""
        self._added.update(self._index((dimension, position)) for position in positions)

    def channels(self) -> list[LinkedChannel]:
        """Return the connected sets that may go, ordered by their first position."""
        barred = self._barred_roots()
        added = {self._root(index) for index in self._added}
        return [
            LinkedChannel(positions=self._by_dimension(members), is_added=root in added)
            for root, members in self._members().items()
            if root not in barred
        ]

    def reasons_to_stay(self) -> dict[Dimension, str]:
        """Return why positions of a layer must stay, for every layer with such positions."""
        barred = self._barred_roots()
        reasons: dict[Dimension, str] = {}
        for index, (dimension, _position) in enumerate(self._owner):
            reason = barred.get(self._root(index))
            if reason is not None:
                reasons.setdefault(dimension, reason)
        return reasons

    def _barred_roots(self) -> dict[int, str]:
        roots: dict[int, str] = {}
        for index, reason in self._barred.items():
            roots.setdefault(self._root(index), reason)
        return roots

    def _members(self) -> dict[int, list[int]]:
        members: dict[int, list[int]] = defaultdict(list)
        for index in range(len(self._parent)):
            members[self._root(index)].append(index)
        return members

    def _by_dimension(self, members: list[int]) -> dict[Dimension, tuple[int, ...]]:
        positions: dict[Dimension, list[int]] = defaultdict(list)
        for index in members:
            dimension, position = self._owner[index]
            positions[dimension].append(position)
        return {dimension: tuple(sorted(found)) for dimension, found in positions.items()}

    def _index(self, place: tuple[Dimension, int]) -> int:
        return self._start[place[0]] + place[1]

    def _root(self, index: int) -> int:
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index
