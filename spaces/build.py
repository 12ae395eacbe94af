"""Ranges over dotted names, checked against the settings of a run.

What could go wrong with a proposed value is found here, before the first trial: the ends of every range are put into
the run, alone and together with their neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import cast

from optuna.distributions import BaseDistribution, FloatDistribution

from pruning_core.config import PruningConfig
from pruning_core.errors import InvalidSettingsError
from spaces.conditions import check_conditions, combinations, holds_in, parents_first, place_of, worlds
from spaces.distributions import describe, holds, make_distribution
from spaces.fields import Value, field_names, nearest_names, plain_value, vary
from spaces.ranges import Range
from spaces.space import SearchSpace

__all__ = ["FIXED_SECTIONS", "build_space", "spell_point"]

FIXED_SECTIONS = ("architecture", "dataset", "dense_training", "dense_seed", "latency_table")
"""What may not vary: a study compares slimmer versions of one dense network on the same images."""


def build_space(ranges: Mapping[str, Range], run: PruningConfig) -> SearchSpace:
    """Turn ranges over dotted names into a space, having tried their ends in the run.

    Raises:
        InvalidSettingsError: A name is unknown or may not vary, an end is not allowed there, a range is empty, or a
            condition cannot be evaluated. The text starts with the key: ``'search.budgets.macs': ...``.
    """
    if not ranges:
        raise InvalidSettingsError(
            "'search': at least one field must vary, such as budgets.macs: {low: 0.3, high: 0.8}"
        )
    for name in ranges:
        _check_name(name)
    check_conditions(ranges)
    ends = _try_ends(ranges, run)
    distributions = {
        name: make_distribution(f"'search.{name}'", ranges[name], ends[name])
        for name in parents_first(ranges)
    }
    return SearchSpace(
        distributions=distributions,
        priors={
            name: _prior(name, ranges[name], one)
            for name, one in distributions.items()
            if "prior" in ranges[name].model_fields_set
        },
        conditions={
            name: {
                parent: tuple(
                    cast(Value, ends[parent][place_of(one, ranges[parent].ends)]) for one in allowed
                )
                for parent, allowed in declared.when.items()
            }
            for name, declared in ranges.items()
            if declared.when
        },
    )


def spell_point(space: SearchSpace, run: PruningConfig, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return a configuration, complete or partial, as the space spells its values: ``50%`` becomes 0.5.

    Raises:
        InvalidSettingsError: A name does not vary, or a value is not allowed or outside its range.
    """
    space.check_names(values)
    config = vary(run, values)
    point = {name: plain_value(config, name) for name in values}
    space.check_point(point)
    return cast(dict[str, Value], point)


def _prior(name: str, declared: Range, distribution: BaseDistribution) -> Value:
    """Return a range's prior as the field spells it."""
    prior = declared.prior
    if isinstance(distribution, FloatDistribution) and isinstance(prior, int) and not isinstance(prior, bool):
        prior = float(prior)
    if not holds(distribution, prior):
        raise InvalidSettingsError(
            f"'search.{name}': prior must be {describe(distribution)}, but got {declared.prior!r}"
        )
    return prior


def _check_name(name: str) -> None:
    key = f"'search.{name}'"
    if name.split(".")[0] in FIXED_SECTIONS:
        raise InvalidSettingsError(
            f"{key}: may not vary, because a study compares slimmer versions of one dense network on the same "
            f"images. Set run.{name} and launch one study per value."
        )
    known = field_names()
    if name in known:
        return
    within = [full for full in known if full.startswith(f"{name}.")]
    if within:
        raise InvalidSettingsError(f"{key}: must name one field, but this is a section: {', '.join(within)}.")
    may_vary = tuple(full for full in known if full.split(".")[0] not in FIXED_SECTIONS)
    nearest = nearest_names(name, may_vary)
    hint = f"Did you mean {' or '.join(nearest)}?" if nearest else f"Known fields: {', '.join(may_vary)}."
    raise InvalidSettingsError(f"{key}: is no field of a run. {hint}")


def _try_ends(ranges: Mapping[str, Range], run: PruningConfig) -> dict[str, list[object]]:
    """Put all ends into the run, where they exist; return per field what the settings made of each end."""
    accepted: dict[str, list[object]] = {name: list(one.ends) for name, one in ranges.items()}
    by_section = sorted(ranges, key=_section)
    for world in worlds(ranges):
        for _, group in itertools.groupby(by_section, key=_section):
            names = [name for name in group if holds_in(ranges[name].when, world)]
            ends = [_ends(name, ranges[name], world) for name in names]
            for places in combinations([len(one) for one in ends]):
                point = {name: one[place] for name, one, place in zip(names, ends, places, strict=True)}
                config = _try_point({**world, **point}, run)
                for name, value in point.items():
                    place = place_of(value, ranges[name].ends)
                    accepted[name][place] = plain_value(config, name)
    return accepted


def _ends(name: str, declared: Range, world: Mapping[str, Value]) -> tuple[Value, ...]:
    return (world[name],) if name in world else declared.ends


def _section(name: str) -> str:
    return name.split(".")[0]


def _try_point(point: Mapping[str, Value], run: PruningConfig) -> PruningConfig:
    try:
        return vary(run, point)
    except InvalidSettingsError as error:
        key, _, detail = str(error).partition(": ")
        guilty = [key.strip("'")] if key.strip("'") in point else list(point)
    if len(guilty) == 1:
        raise InvalidSettingsError(f"'search.{guilty[0]}': {point[guilty[0]]!r} is not allowed: {detail}")
    together = ", ".join(f"{name}={point[name]!r}" for name in guilty)
    raise InvalidSettingsError(f"'search.{guilty[0]}': {together} do not fit together: {detail}")
