"""Fields that vary only when others have certain values: ``{..., when: {method: [l1, taylor]}}``.

A field whose condition does not hold is not drawn, and keeps the value that the run gives it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from pruning_core.errors import InvalidSettingsError
from spaces.fields import Value
from spaces.ranges import Range

__all__ = [
    "Condition",
    "check_conditions",
    "combinations",
    "describe_condition",
    "holds_in",
    "parents_first",
    "place_of",
    "worlds",
]

Condition: TypeAlias = Mapping[str, tuple[Value, ...]]
"""Field to the values under which another exists; all must hold. A field that does not exist has no value."""

_MAX_COMBINATIONS = 4096


def holds_in(condition: Condition, values: Mapping[str, object]) -> bool:
    """Whether a condition holds in a configuration."""
    return all(name in values and _is_one_of(values[name], allowed) for name, allowed in condition.items())


def place_of(value: object, values: Sequence[Value]) -> int:
    """Return where a value stands among others, ``True`` and ``1`` being different."""
    return next(place for place, one in enumerate(values) if one == value and type(one) is type(value))


def describe_condition(condition: Condition) -> str:
    """Say when a field varies: ``method is l1 or taylor``."""
    return " and ".join(f"{name} is {' or '.join(map(str, allowed))}" for name, allowed in condition.items())


def check_conditions(ranges: Mapping[str, Range]) -> None:
    """Refuse conditions that cannot be evaluated, always hold, or never do.

    Raises:
        InvalidSettingsError: The text starts with the key: ``'search.gates.noise.when': ...``.
    """
    for name, one in ranges.items():
        for parent, allowed in one.when.items():
            _check_parent(f"'search.{name}.when'", parent, allowed, ranges)
    for name in ranges:
        _check_no_cycle(name, ranges)
    reachable = {name for world in worlds(ranges) for name in ranges if holds_in(ranges[name].when, world)}
    for name, one in ranges.items():
        if name not in reachable:
            raise InvalidSettingsError(
                f"'search.{name}.when': must be possible, but it never holds that {describe_condition(one.when)}"
            )


def parents_first(ranges: Mapping[str, Range]) -> list[str]:
    """Return the fields in the order of the spec, except that none comes before one that it depends on."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        for parent in ranges[name].when:
            add(parent)
        ordered.setdefault(name)

    for name in ranges:
        add(name)
    return list(ordered)


def worlds(ranges: Mapping[str, Range]) -> Iterator[dict[str, Value]]:
    """Yield the values that fields which others depend on can have together; one empty mapping if there are none."""
    parents = {parent for one in ranges.values() for parent in one.when}
    names = [name for name in parents_first(ranges) if name in parents]
    seen = set()
    for places in combinations([len(ranges[name].ends) for name in names]):
        world: dict[str, Value] = {}
        for name, place in zip(names, places, strict=True):
            if holds_in(ranges[name].when, world):
                world[name] = ranges[name].ends[place]
        if repr(world) not in seen:
            seen.add(repr(world))
            yield world


def combinations(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield all index tuples or, when there are too many, those that leave the first in one place only."""
    if math.prod(lengths) <= _MAX_COMBINATIONS:
        yield from itertools.product(*(range(length) for length in lengths))
        return
    for place, length in enumerate(lengths):
        for index in range(length):
            yield tuple(index if other == place else 0 for other in range(len(lengths)))


def _is_one_of(value: object, allowed: Sequence[Value]) -> bool:
    return any(value == one and type(value) is type(one) for one in allowed)


def _check_parent(key: str, parent: str, allowed: tuple[Value, ...], ranges: Mapping[str, Range]) -> None:
    if parent not in ranges:
        raise InvalidSettingsError(
            f"{key}: must name fields that vary, but {parent} does not. Fields that do: {', '.join(ranges)}."
        )
    choices = ranges[parent].choices
    if choices is None:
        raise InvalidSettingsError(
            f"{key}: must name fields with choices, but {parent} is a range from {ranges[parent].low} to "
            f"{ranges[parent].high}"
        )
    for value in allowed:
        if not _is_one_of(value, choices):
            raise InvalidSettingsError(
                f"{key}: must be among the choices of {parent}, {', '.join(map(str, choices))}, but got {value!r}"
            )
    if len(allowed) == len(choices) and not ranges[parent].when:
        raise InvalidSettingsError(
            f"{key}: holds for every choice of {parent}, so it has no effect; leave it out"
        )


def _check_no_cycle(name: str, ranges: Mapping[str, Range], path: tuple[str, ...] = ()) -> None:
    if name in path:
        circle = " -> ".join([*path[path.index(name) :], name])
        raise InvalidSettingsError(f"'search.{name}.when': must not lead back to itself, but got {circle}")
    for parent in ranges[name].when:
        _check_no_cycle(parent, ranges, (*path, name))
